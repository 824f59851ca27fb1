/**
 * float32 functions in WGSL where the built-in ones drop NaN, lose digits or do not exist. What core rewrites into
 * arithmetic (exp, log, sin, pow, ...) is printed from that arithmetic (library.ts) and may be called from here.
 */
export const float32Functions: Readonly<Record<string, string>> = {
  t_isnan: `fn t_isnan(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}`,
  t_eq: `fn t_eq(a: f32, b: f32) -> bool {
  let p = bitcast<u32>(a);
  let q = bitcast<u32>(b);
  return (p == q && !t_isnan(a)) || ((p | q) << 1u) == 0u;
}`,
  t_nan: `fn t_nan() -> f32 {
  return bitcast<f32>(t_nan_bits);
}`,
  t_infinity: `fn t_infinity() -> f32 {
  return bitcast<f32>(t_infinity_bits);
}`,
  t_max: `fn t_max(a: f32, b: f32) -> f32 {
  if (t_isnan(a)) { return a; }
  if (t_isnan(b)) { return b; }
  return select(b, a, a > b || (a == b && (bitcast<u32>(b) >> 31u) == 1u));
}`,
  t_min: `fn t_min(a: f32, b: f32) -> f32 {
  if (t_isnan(a)) { return a; }
  if (t_isnan(b)) { return b; }
  return select(b, a, a < b || (a == b && (bitcast<u32>(a) >> 31u) == 1u));
}`,
  t_sqrt: `fn t_sqrt(x: f32) -> f32 {
  if (x < 0.0f) { return t_nan(); }
  return sqrt(x);
}`,
  t_sign: `fn t_sign(x: f32) -> f32 {
  return select(0.0f, 1.0f, x > 0.0f) - select(0.0f, 1.0f, x < 0.0f);
}`,
  t_copysign: `fn t_copysign(x: f32, y: f32) -> f32 {
  return bitcast<f32>((bitcast<u32>(x) & 0x7fffffffu) | (bitcast<u32>(y) & 0x80000000u));
}`,
  /** Exact, by long division of the significands (musl's fmodf). */
  t_fmod: `fn t_fmod(x: f32, y: f32) -> f32 {
  var ux = bitcast<u32>(x) & 0x7fffffffu;
  let uy = bitcast<u32>(y) & 0x7fffffffu;
  let sign = bitcast<u32>(x) & 0x80000000u;
  if (uy < 0x00800000u || ux >= 0x7f800000u || uy > 0x7f800000u) { return t_nan(); }
  if (ux < uy) { return x; }
  var ex = i32(ux >> 23u);
  let ey = i32(uy >> 23u);
  var mx = (ux & 0x7fffffu) | 0x800000u;
  let my = (uy & 0x7fffffu) | 0x800000u;
  while (ex > ey) {
    if (mx >= my) { mx -= my; }
    mx = mx << 1u;
    ex -= 1;
  }
  if (mx >= my) { mx -= my; }
  if (mx == 0u) { return bitcast<f32>(sign); }
  while (mx < 0x800000u) {
    mx = mx << 1u;
    ex -= 1;
  }
  if (ex <= 0) { return bitcast<f32>(sign); }
  return bitcast<f32>(sign | (mx & 0x7fffffu) | (u32(ex) << 23u));
}`,
  t_mod: `fn t_mod(x: f32, y: f32) -> f32 {
  let rest = t_fmod(x, y);
  if (rest != 0.0f && (rest < 0.0f) != (y < 0.0f)) { return rest + y; }
  return rest;
}`,
  t_nextafter: `fn t_nextafter(x: f32, y: f32) -> f32 {
  if (t_isnan(x) || t_isnan(y)) { return t_nan(); }
  let a = bitcast<i32>(x);
  let b = bitcast<i32>(y);
  if (a == b) { return y; }
  if ((a & 0x7fffffff) == 0) {
    if ((b & 0x7fffffff) == 0) { return y; }
    return bitcast<f32>((bitcast<u32>(y) & 0x80000000u) | 1u);
  }
  // As integers the bits of floats of one sign are ordered; a step away from 0 is +1.
  let ordered_a = select(a, -(a & 0x7fffffff), a < 0);
  let ordered_b = select(b, -(b & 0x7fffffff), b < 0);
  return bitcast<f32>(a + select(-1, 1, (ordered_b > ordered_a) == (a > 0)));
}`,
  t_f32_to_i32: `fn t_f32_to_i32(x: f32) -> i32 {
  if (t_isnan(x)) { return 0; }
  if (x >= 2147483648.0f) { return 2147483647; }
  if (x <= -2147483648.0f) { return i32(0x80000000u); }
  return i32(x);
}`,
  t_tan: `fn t_tan(x: f32) -> f32 {
  return t_sin(x) / t_cos(x);
}`,
  /** Cephes, asinf. */
  t_asin: `fn t_asin(x: f32) -> f32 {
  let a = abs(x);
  if (!(a <= 1.0f)) { return t_nan(); }
  let large = a > 0.5f;
  let z = select(a * a, 0.5f * (1.0f - a), large);
  let s = select(a, sqrt(z), large);
  let series = ((((4.2163199048e-2f * z + 2.4181311049e-2f) * z + 4.5470025998e-2f) * z + 7.4953002686e-2f) * z
    + 1.6666752422e-1f) * z * s + s;
  return t_copysign(select(series, 1.5707963268f - 2.0f * series, large), x);
}`,
  t_acos: `fn t_acos(x: f32) -> f32 {
  if (!(abs(x) <= 1.0f)) { return t_nan(); }
  if (x > 0.5f) { return 2.0f * t_asin(sqrt(0.5f * (1.0f - x))); }
  if (x < -0.5f) { return 3.1415926536f - 2.0f * t_asin(sqrt(0.5f * (1.0f + x))); }
  return 1.5707963268f - t_asin(x);
}`,
  /** Cephes, atanf. */
  t_atan: `fn t_atan(x: f32) -> f32 {
  if (t_isnan(x)) { return x; }
  var a = abs(x);
  var base = 0.0f;
  if (a > 2.414213562373095f) {
    base = 1.5707963268f;
    a = -1.0f / a;
  } else if (a > 0.4142135623730950f) {
    base = 0.7853981634f;
    a = (a - 1.0f) / (a + 1.0f);
  }
  let z = a * a;
  let y = base + ((((8.05374449538e-2f * z - 1.38776856032e-1f) * z + 1.99777106478e-1f) * z - 3.33329491539e-1f) * z * a + a);
  return t_copysign(y, x);
}`,
  t_atan2: `fn t_atan2(y: f32, x: f32) -> f32 {
  if (t_isnan(x) || t_isnan(y)) { return t_nan(); }
  let left = (bitcast<u32>(x) >> 31u) == 1u;
  let ay = abs(y);
  let ax = abs(x);
  var angle = 0.0f;
  if (ay == 0.0f) {
    angle = 0.0f;
  } else if (ax >= 3.4e38f && ay >= 3.4e38f && ax == ay) {
    angle = 0.7853981634f;
  } else {
    // Scaled, so that the quotient neither overflows nor vanishes before the angle does.
    angle = select(t_atan(ay / ax), 1.5707963268f, ax == 0.0f);
  }
  return t_copysign(select(angle, 3.1415926536f - angle, left), y);
}`,
  t_sinh: `fn t_sinh(x: f32) -> f32 {
  let a = abs(x);
  if (a > 88.0f) {
    let half = t_exp(0.5f * a);
    return t_copysign((0.5f * half) * half, x);
  }
  if (t_isnan(x)) { return x; }
  let e = t_expm1(a);
  return t_copysign(0.5f * (e + e / (e + 1.0f)), x);
}`,
  t_cosh: `fn t_cosh(x: f32) -> f32 {
  let a = abs(x);
  if (a > 88.0f) {
    let half = t_exp(0.5f * a);
    return (0.5f * half) * half;
  }
  let e = t_exp(a);
  return 0.5f * (e + 1.0f / e);
}`,
  t_asinh: `fn t_asinh(x: f32) -> f32 {
  let a = abs(x);
  if (t_isnan(x) || a < 1e-4f) { return x; }
  if (a > 1e9f) { return t_copysign(t_log(a) + 0.69314718056f, x); }
  return t_copysign(t_log1p(a + a * a / (1.0f + sqrt(a * a + 1.0f))), x);
}`,
  t_acosh: `fn t_acosh(x: f32) -> f32 {
  if (!(x >= 1.0f)) { return t_nan(); }
  if (x > 1e9f) { return t_log(x) + 0.69314718056f; }
  let t = x - 1.0f;
  return t_log1p(t + sqrt(2.0f * t + t * t));
}`,
  t_atanh: `fn t_atanh(x: f32) -> f32 {
  let a = abs(x);
  if (a < 1e-4f) { return x; }
  if (!(a <= 1.0f)) { return t_nan(); }
  if (a == 1.0f) { return t_copysign(t_infinity(), x); }
  return t_copysign(0.5f * t_log1p(2.0f * a / (1.0f - a)), x);
}`,
  /** 1 - erf near 0; else Chebyshev (Numerical Recipes, erfcc), with the square in the exponent split. */
  t_erfc: `fn t_erfc(x: f32) -> f32 {
  if (t_isnan(x)) { return x; }
  if (abs(x) < 0.5f) { return 1.0f - t_erf(x); }
  let z = min(abs(x), 12.0f);
  let t = 1.0f / (1.0f + 0.5f * z);
  let high = bitcast<f32>(bitcast<u32>(z) & 0xfffff000u);
  let p = -1.26551223f + t * (1.00002368f + t * (0.37409196f + t * (0.09678418f + t * (-0.18628806f
    + t * (0.27886807f + t * (-1.13520398f + t * (1.48851587f + t * (-0.82215223f + t * 0.17087277f))))))));
  let y = t * t_exp(-high * high) * t_exp((high - z) * (high + z) + p);
  return select(y, 2.0f - y, x < 0.0f);
}`,
  /** M. Giles, "Approximating the erfinv function", single precision. */
  t_erfinv: `fn t_erfinv(x: f32) -> f32 {
  if (!(abs(x) <= 1.0f)) { return t_nan(); }
  if (abs(x) == 1.0f) { return t_copysign(t_infinity(), x); }
  var w = -(t_log1p(x) + t_log1p(-x));
  var p = 0.0f;
  if (w < 5.0f) {
    w = w - 2.5f;
    p = 2.81022636e-08f;
    p = 3.43273939e-07f + p * w;
    p = -3.5233877e-06f + p * w;
    p = -4.39150654e-06f + p * w;
    p = 0.00021858087f + p * w;
    p = -0.00125372503f + p * w;
    p = -0.00417768164f + p * w;
    p = 0.246640727f + p * w;
    p = 1.50140941f + p * w;
  } else {
    w = sqrt(w) - 3.0f;
    p = -0.000200214257f;
    p = 0.000100950558f + p * w;
    p = 0.00134934322f + p * w;
    p = -0.00367342844f + p * w;
    p = 0.00573950773f + p * w;
    p = -0.0076224613f + p * w;
    p = 0.00943887047f + p * w;
    p = 1.00167406f + p * w;
    p = 2.83297682f + p * w;
  }
  return p * x;
}`,
  /** lgamma(x) on [1, 2], where it is (x - 1)(x - 2) times a polynomial, with both factors given exactly. */
  t_lgamma_unit: `fn t_lgamma_unit(x: f32, from_one: f32, from_two: f32) -> f32 {
  let z = x - 1.5f;
  var p = 1.0771549e-4f;
  p = p * z - 1.6865016e-4f;
  p = p * z + 2.7089503e-4f;
  p = p * z - 4.3802245e-4f;
  p = p * z + 7.1156503e-4f;
  p = p * z - 1.1644126e-3f;
  p = p * z + 1.9229132e-3f;
  p = p * z - 3.2120741e-3f;
  p = p * z + 5.446458e-3f;
  p = p * z - 9.4256224e-3f;
  p = p * z + 1.6797099e-2f;
  p = p * z - 3.1308487e-2f;
  p = p * z + 6.2911401e-2f;
  p = p * z - 1.459599e-1f;
  p = p * z + 4.8312895e-1f;
  return from_one * from_two * p;
}`,
  t_lgamma_positive: `fn t_lgamma_positive(x: f32) -> f32 {
  if (x < 1.0f) { return t_lgamma_unit(x + 1.0f, x, x - 1.0f) - t_log(x); }
  if (x <= 2.0f) { return t_lgamma_unit(x, x - 1.0f, x - 2.0f); }
  if (x < 3.0f) { return t_lgamma_unit(x - 1.0f, x - 2.0f, x - 3.0f) + t_log1p(x - 2.0f); }
  if (x < 8.0f) {
    var product = 1.0f;
    var y = x;
    while (y >= 3.0f) {
      y -= 1.0f;
      product *= y;
    }
    return t_lgamma_unit(y - 1.0f, y - 2.0f, y - 3.0f) + t_log1p(y - 2.0f) + t_log(product);
  }
  let z = 1.0f / (x * x);
  return (x - 0.5f) * (t_log(x) - 1.0f) + 0.41893853f + (8.3333333e-2f + z * (-2.7777778e-3f + z * 7.9365079e-4f)) / x;
}`,
  t_lgamma: `fn t_lgamma(x: f32) -> f32 {
  if (t_isnan(x)) { return x; }
  if (abs(x) > 3.4028234e38f || x == 0.0f) { return t_infinity(); }
  if (x > 0.0f) { return t_lgamma_positive(x); }
  if (floor(x) == x) { return t_infinity(); }
  let fraction = x - round(x);
  return 1.1447298858f - t_log(abs(t_sin(3.1415926536f * fraction))) - t_lgamma_positive(1.0f - x);
}`,
  t_digamma_positive: `fn t_digamma_positive(x: f32) -> f32 {
  var y = x;
  var sum = 0.0f;
  while (y < 6.0f) {
    sum -= 1.0f / y;
    y += 1.0f;
  }
  let z = 1.0f / (y * y);
  let series = z * (8.3333333e-2f + z * (-8.3333333e-3f + z * (3.9682540e-3f + z * (-4.1666667e-3f + z * 7.5757576e-3f))));
  return sum + t_log(y) - 0.5f / y - series;
}`,
  t_digamma: `fn t_digamma(x: f32) -> f32 {
  if (t_isnan(x)) { return x; }
  if (x == 0.0f) { return t_copysign(t_infinity(), -x); }
  if (x > 0.0f) {
    if (x > 3.4028234e38f) { return x; }
    return t_digamma_positive(x);
  }
  if (floor(x) == x) { return t_nan(); }
  let fraction = x - round(x);
  return t_digamma_positive(1.0f - x) - 3.1415926536f / t_tan(3.1415926536f * fraction);
}`,
};
