/** int32 functions in WGSL where the built-in ones leave a case open: zero divisors, the least integer, powers. */
export const int32Functions: Readonly<Record<string, string>> = {
  t_i32_div: `fn t_i32_div(a: i32, b: i32) -> i32 {
  if (b == 0) { return 0; }
  if (b == -1) { return -a; }
  return a / b;
}`,
  t_i32_fmod: `fn t_i32_fmod(a: i32, b: i32) -> i32 {
  if (b == 0 || b == -1) { return 0; }
  return a % b;
}`,
  t_i32_mod: `fn t_i32_mod(a: i32, b: i32) -> i32 {
  let rest = t_i32_fmod(a, b);
  return select(rest, rest + b, rest != 0 && (rest < 0) != (b < 0));
}`,
  t_i32_pow: `fn t_i32_pow(a: i32, b: i32) -> i32 {
  if (b < 0) { return select(0, select(1, a, (b & 1) == 1), a == 1 || a == -1); }
  var result = 1;
  var power = a;
  var exponent = b;
  while (exponent > 0) {
    if ((exponent & 1) == 1) { result *= power; }
    power *= power;
    exponent = exponent >> 1u;
  }
  return result;
}`,
};
