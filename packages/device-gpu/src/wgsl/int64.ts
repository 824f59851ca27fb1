/** 64-bit integers in WGSL, which has none: pairs of words, low first. Two's complement, wrapping. */
export const int64Functions: Readonly<Record<string, string>> = {
  t_i64_add: `fn t_i64_add(a: vec2u, b: vec2u) -> vec2u {
  let low = a.x + b.x;
  return vec2u(low, a.y + b.y + select(0u, 1u, low < a.x));
}`,
  t_i64_neg: `fn t_i64_neg(a: vec2u) -> vec2u {
  return vec2u(~a.x + 1u, ~a.y + select(0u, 1u, a.x == 0u));
}`,
  t_i64_sub: `fn t_i64_sub(a: vec2u, b: vec2u) -> vec2u {
  return vec2u(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}`,
  t_u32_mul: `fn t_u32_mul(a: u32, b: u32) -> vec2u {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let middle = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
  let other = (a & 0xffffu) * (b >> 16u) + (middle & 0xffffu);
  return vec2u((other << 16u) | (low & 0xffffu), (a >> 16u) * (b >> 16u) + (middle >> 16u) + (other >> 16u));
}`,
  t_mulhi: `fn t_mulhi(a: i32, b: i32) -> i32 {
  return i32(t_u32_mul(u32(a), u32(b)).y);
}`,
  t_i64_mul: `fn t_i64_mul(a: vec2u, b: vec2u) -> vec2u {
  let low = t_u32_mul(a.x, b.x);
  return vec2u(low.x, low.y + a.x * b.y + a.y * b.x);
}`,
  t_i64_eq: `fn t_i64_eq(a: vec2u, b: vec2u) -> bool {
  return a.x == b.x && a.y == b.y;
}`,
  t_u64_lt: `fn t_u64_lt(a: vec2u, b: vec2u) -> bool {
  return a.y < b.y || (a.y == b.y && a.x < b.x);
}`,
  t_i64_lt: `fn t_i64_lt(a: vec2u, b: vec2u) -> bool {
  return t_u64_lt(vec2u(a.x, a.y ^ 0x80000000u), vec2u(b.x, b.y ^ 0x80000000u));
}`,
  t_i64_abs: `fn t_i64_abs(a: vec2u) -> vec2u {
  if ((a.y >> 31u) == 1u) { return t_i64_neg(a); }
  return a;
}`,
  t_i64_shl: `fn t_i64_shl(a: vec2u, count: vec2u) -> vec2u {
  let n = count.x & 63u;
  if (n == 0u) { return a; }
  if (n >= 32u) { return vec2u(0u, a.x << (n - 32u)); }
  return vec2u(a.x << n, (a.y << n) | (a.x >> (32u - n)));
}`,
  t_i64_shr: `fn t_i64_shr(a: vec2u, count: vec2u) -> vec2u {
  let n = count.x & 63u;
  if (n == 0u) { return a; }
  if (n >= 32u) { return vec2u(a.y >> (n - 32u), 0u); }
  return vec2u((a.x >> n) | (a.y << (32u - n)), a.y >> n);
}`,
  t_i64_sar: `fn t_i64_sar(a: vec2u, count: vec2u) -> vec2u {
  let n = count.x & 63u;
  let sign = select(0u, 0xffffffffu, (a.y >> 31u) == 1u);
  if (n == 0u) { return a; }
  if (n >= 32u) { return vec2u(u32(i32(a.y) >> (n - 32u)), sign); }
  return vec2u((a.x >> n) | (a.y << (32u - n)), u32(i32(a.y) >> n));
}`,
  /** Quotient in xy, remainder in zw; by long division. Both 0 for a zero divisor. */
  t_u64_divmod: `fn t_u64_divmod(a: vec2u, b: vec2u) -> vec4u {
  if (b.x == 0u && b.y == 0u) { return vec4u(0u); }
  if (a.y == 0u && b.y == 0u) { return vec4u(a.x / b.x, 0u, a.x % b.x, 0u); }
  var quotient = vec2u(0u);
  var rest = vec2u(0u);
  for (var i = 63; i >= 0; i--) {
    let carry = rest.y >> 31u;
    let bit = t_i64_shr(a, vec2u(u32(i), 0u)).x & 1u;
    rest = vec2u((rest.x << 1u) | bit, (rest.y << 1u) | (rest.x >> 31u));
    if (carry == 1u || !t_u64_lt(rest, b)) {
      rest = t_i64_sub(rest, b);
      quotient = quotient | t_i64_shl(vec2u(1u, 0u), vec2u(u32(i), 0u));
    }
  }
  return vec4u(quotient, rest);
}`,
  t_i64_div: `fn t_i64_div(a: vec2u, b: vec2u) -> vec2u {
  let quotient = t_u64_divmod(t_i64_abs(a), t_i64_abs(b)).xy;
  if (((a.y ^ b.y) >> 31u) == 1u) { return t_i64_neg(quotient); }
  return quotient;
}`,
  t_i64_fmod: `fn t_i64_fmod(a: vec2u, b: vec2u) -> vec2u {
  let rest = t_u64_divmod(t_i64_abs(a), t_i64_abs(b)).zw;
  if ((a.y >> 31u) == 1u) { return t_i64_neg(rest); }
  return rest;
}`,
  t_i64_mod: `fn t_i64_mod(a: vec2u, b: vec2u) -> vec2u {
  let rest = t_i64_fmod(a, b);
  if ((rest.x != 0u || rest.y != 0u) && ((rest.y ^ b.y) >> 31u) == 1u) { return t_i64_add(rest, b); }
  return rest;
}`,
  t_i64_pow: `fn t_i64_pow(a: vec2u, b: vec2u) -> vec2u {
  var result = vec2u(1u, 0u);
  if ((b.y >> 31u) == 1u) {
    let unit = t_i64_eq(a, vec2u(1u, 0u)) || t_i64_eq(a, vec2u(0xffffffffu));
    if (!unit) { return vec2u(0u); }
    if ((b.x & 1u) == 1u) { return a; }
    return result;
  }
  var power = a;
  var exponent = b;
  while (exponent.x != 0u || exponent.y != 0u) {
    if ((exponent.x & 1u) == 1u) { result = t_i64_mul(result, power); }
    power = t_i64_mul(power, power);
    exponent = t_i64_shr(exponent, vec2u(1u, 0u));
  }
  return result;
}`,
  t_i64_from_i32: `fn t_i64_from_i32(a: i32) -> vec2u {
  return vec2u(u32(a), u32(a >> 31u));
}`,
  /** Truncates and saturates; NaN gives 0. */
  t_i64_from_f32: `fn t_i64_from_f32(x: f32) -> vec2u {
  let bits = bitcast<u32>(x);
  let exponent = i32((bits >> 23u) & 0xffu) - 127;
  let negative = (bits >> 31u) == 1u;
  if ((bits & 0x7fffffffu) > 0x7f800000u || exponent < 0) { return vec2u(0u); }
  if (exponent >= 63) { return select(vec2u(0xffffffffu, 0x7fffffffu), vec2u(0u, 0x80000000u), negative); }
  let significand = vec2u((bits & 0x7fffffu) | 0x800000u, 0u);
  var magnitude = t_i64_shl(significand, vec2u(u32(max(exponent - 23, 0)), 0u));
  if (exponent < 23) { magnitude = vec2u(significand.x >> u32(23 - exponent), 0u); }
  if (negative) { return t_i64_neg(magnitude); }
  return magnitude;
}`,
  /** Rounded once, to even. */
  t_i64_to_f32: `fn t_i64_to_f32(a: vec2u) -> f32 {
  let magnitude = t_i64_abs(a);
  let sign = a.y & 0x80000000u;
  if (magnitude.x == 0u && magnitude.y == 0u) { return 0.0f; }
  let top = select(31 - i32(countLeadingZeros(magnitude.x)), 63 - i32(countLeadingZeros(magnitude.y)), magnitude.y != 0u);
  var significand = magnitude.x;
  if (top <= 23) {
    significand = magnitude.x << u32(23 - top);
  } else {
    let cut = u32(top - 23);
    significand = t_i64_shr(magnitude, vec2u(cut, 0u)).x;
    let lost = t_i64_sub(magnitude, t_i64_shl(vec2u(significand, 0u), vec2u(cut, 0u)));
    let half = t_i64_shl(vec2u(1u, 0u), vec2u(cut - 1u, 0u));
    if (t_u64_lt(half, lost) || (t_i64_eq(half, lost) && (significand & 1u) == 1u)) { significand += 1u; }
  }
  return bitcast<f32>(sign | ((u32(top + 126) << 23u) + significand));
}`,
};
