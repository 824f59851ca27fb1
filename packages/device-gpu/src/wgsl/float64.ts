/**
 * The little of float64 that kernels compute inside (ranges, random masks), in software: pairs of words that hold the
 * bits. Rounded to even, as IEEE 754 says; denormals count as 0.
 */
export const float64Functions: Readonly<Record<string, string>> = {
  t_f64_nan: `fn t_f64_nan(a: vec2u) -> bool {
  let high = a.y & 0x7fffffffu;
  return high > 0x7ff00000u || (high == 0x7ff00000u && a.x != 0u);
}`,
  /** From a sign bit, an exponent, and a significand of 56 bits (3 more than are kept, the last one sticky). */
  t_f64_pack: `fn t_f64_pack(sign: u32, exponent: i32, significand: vec2u) -> vec2u {
  if (significand.x == 0u && significand.y == 0u) { return vec2u(0u, sign); }
  var e = exponent;
  var m = significand;
  let top = select(31 - i32(countLeadingZeros(m.x)), 63 - i32(countLeadingZeros(m.y)), m.y != 0u);
  if (top < 55) {
    m = t_i64_shl(m, vec2u(u32(55 - top), 0u));
  } else if (top > 55) {
    let cut = u32(top - 55);
    let kept = t_i64_shr(m, vec2u(cut, 0u));
    let lost = !t_i64_eq(t_i64_shl(kept, vec2u(cut, 0u)), m);
    m = vec2u(kept.x | select(0u, 1u, lost), kept.y);
  }
  e += top - 55;
  let low = m.x & 7u;
  m = t_i64_shr(m, vec2u(3u, 0u));
  if (low > 4u || (low == 4u && (m.x & 1u) == 1u)) { m = t_i64_add(m, vec2u(1u, 0u)); }
  if ((m.y >> 21u) == 1u) {
    m = t_i64_shr(m, vec2u(1u, 0u));
    e += 1;
  }
  if (e >= 2047) { return vec2u(0u, sign | 0x7ff00000u); }
  if (e <= 0) { return vec2u(0u, sign); }
  return vec2u(m.x, sign | (u32(e) << 20u) | (m.y & 0xfffffu));
}`,
  t_f64_significand: `fn t_f64_significand(a: vec2u) -> vec2u {
  if ((a.y & 0x7ff00000u) == 0u) { return vec2u(0u); }
  return vec2u(a.x, (a.y & 0xfffffu) | 0x100000u);
}`,
  t_f64_add: `fn t_f64_add(a: vec2u, b: vec2u) -> vec2u {
  if (t_f64_nan(a) || t_f64_nan(b)) { return vec2u(0u, 0x7ff80000u); }
  let swap = t_u64_lt(vec2u(a.x, a.y & 0x7fffffffu), vec2u(b.x, b.y & 0x7fffffffu));
  let p = select(a, b, swap);
  let q = select(b, a, swap);
  let ep = i32((p.y >> 20u) & 0x7ffu);
  let eq = i32((q.y >> 20u) & 0x7ffu);
  if (ep == 2047) {
    if (eq == 2047 && p.y != q.y) { return vec2u(0u, 0x7ff80000u); }
    return p;
  }
  let mp = t_i64_shl(t_f64_significand(p), vec2u(3u, 0u));
  var mq = t_i64_shl(t_f64_significand(q), vec2u(3u, 0u));
  let distance = ep - eq;
  if (distance > 57) {
    mq = vec2u(select(0u, 1u, mq.x != 0u || mq.y != 0u), 0u);
  } else if (distance > 0) {
    let kept = t_i64_shr(mq, vec2u(u32(distance), 0u));
    let lost = !t_i64_eq(t_i64_shl(kept, vec2u(u32(distance), 0u)), mq);
    mq = vec2u(kept.x | select(0u, 1u, lost), kept.y);
  }
  let sign = p.y & 0x80000000u;
  if (((p.y ^ q.y) >> 31u) == 0u) { return t_f64_pack(sign, ep, t_i64_add(mp, mq)); }
  let difference = t_i64_sub(mp, mq);
  return t_f64_pack(select(sign, 0u, difference.x == 0u && difference.y == 0u), ep, difference);
}`,
  t_f64_neg: `fn t_f64_neg(a: vec2u) -> vec2u {
  return vec2u(a.x, a.y ^ 0x80000000u);
}`,
  t_f64_sub: `fn t_f64_sub(a: vec2u, b: vec2u) -> vec2u {
  return t_f64_add(a, t_f64_neg(b));
}`,
  t_f64_mul: `fn t_f64_mul(a: vec2u, b: vec2u) -> vec2u {
  let sign = (a.y ^ b.y) & 0x80000000u;
  let ea = i32((a.y >> 20u) & 0x7ffu);
  let eb = i32((b.y >> 20u) & 0x7ffu);
  if (t_f64_nan(a) || t_f64_nan(b)) { return vec2u(0u, 0x7ff80000u); }
  if (ea == 2047 || eb == 2047) {
    if (ea == 0 || eb == 0) { return vec2u(0u, 0x7ff80000u); }
    return vec2u(0u, sign | 0x7ff00000u);
  }
  if (ea == 0 || eb == 0) { return vec2u(0u, sign); }
  let ma = t_f64_significand(a);
  let mb = t_f64_significand(b);
  let low = t_u32_mul(ma.x, mb.x);
  let cross = t_i64_add(t_u32_mul(ma.x, mb.y), t_u32_mul(ma.y, mb.x));
  let middle = t_i64_add(cross, vec2u(low.y, 0u));
  let high = t_i64_add(t_u32_mul(ma.y, mb.y), vec2u(middle.y, 0u));
  // The product's 106 bits: of the lower 64 the upper 15 are kept, and whether anything is below.
  let rest = (middle.x & 0x1ffffu) | low.x;
  let kept = vec2u((high.x << 15u) | (middle.x >> 17u), (high.y << 15u) | (high.x >> 17u));
  return t_f64_pack(sign, ea + eb - 1023, vec2u(kept.x | select(0u, 1u, rest != 0u), kept.y));
}`,
  t_f64_eq: `fn t_f64_eq(a: vec2u, b: vec2u) -> bool {
  if (t_f64_nan(a) || t_f64_nan(b)) { return false; }
  return t_i64_eq(a, b) || (a.x == 0u && b.x == 0u && ((a.y | b.y) & 0x7fffffffu) == 0u);
}`,
  t_f64_lt: `fn t_f64_lt(a: vec2u, b: vec2u) -> bool {
  if (t_f64_nan(a) || t_f64_nan(b) || t_f64_eq(a, b)) { return false; }
  let negative = (a.y >> 31u) == 1u;
  if (negative != ((b.y >> 31u) == 1u)) { return negative; }
  return t_u64_lt(a, b) != negative;
}`,
  t_f64_from_i64: `fn t_f64_from_i64(a: vec2u) -> vec2u {
  return t_f64_pack(a.y & 0x80000000u, 1078, t_i64_abs(a));
}`,
  t_f64_from_i32: `fn t_f64_from_i32(a: i32) -> vec2u {
  return t_f64_from_i64(t_i64_from_i32(a));
}`,
  t_f64_from_f32: `fn t_f64_from_f32(x: f32) -> vec2u {
  let bits = bitcast<u32>(x);
  let sign = bits & 0x80000000u;
  let exponent = (bits >> 23u) & 0xffu;
  let fraction = bits & 0x7fffffu;
  if (exponent == 255u) { return vec2u(0u, sign | select(0x7ff00000u, 0x7ff80000u, fraction != 0u)); }
  if (exponent == 0u) { return vec2u(0u, sign); }
  return vec2u(fraction << 29u, sign | ((exponent + 896u) << 20u) | (fraction >> 3u));
}`,
  t_f64_to_f32: `fn t_f64_to_f32(a: vec2u) -> f32 {
  let sign = a.y & 0x80000000u;
  let exponent = i32((a.y >> 20u) & 0x7ffu) - 896;
  if (t_f64_nan(a)) { return bitcast<f32>(t_nan_bits); }
  if (exponent >= 255) { return bitcast<f32>(sign | t_infinity_bits); }
  if (exponent <= 0) { return bitcast<f32>(sign); }
  let fraction = ((a.y & 0xfffffu) << 3u) | (a.x >> 29u);
  let lost = a.x & 0x1fffffffu;
  let up = lost > 0x10000000u || (lost == 0x10000000u && (fraction & 1u) == 1u);
  return bitcast<f32>(sign | ((u32(exponent) << 23u) + fraction + select(0u, 1u, up)));
}`,
  /** Truncates and saturates; NaN gives 0. */
  t_f64_to_i64: `fn t_f64_to_i64(a: vec2u) -> vec2u {
  let exponent = i32((a.y >> 20u) & 0x7ffu) - 1023;
  let negative = (a.y >> 31u) == 1u;
  if (t_f64_nan(a) || exponent < 0) { return vec2u(0u); }
  if (exponent >= 63) { return select(vec2u(0xffffffffu, 0x7fffffffu), vec2u(0u, 0x80000000u), negative); }
  var magnitude = t_f64_significand(a);
  if (exponent < 52) {
    magnitude = t_i64_shr(magnitude, vec2u(u32(52 - exponent), 0u));
  } else {
    magnitude = t_i64_shl(magnitude, vec2u(u32(exponent - 52), 0u));
  }
  if (negative) { return t_i64_neg(magnitude); }
  return magnitude;
}`,
  t_f64_to_i32: `fn t_f64_to_i32(a: vec2u) -> i32 {
  let wide = t_f64_to_i64(a);
  if (wide.y == 0u && wide.x < 0x80000000u) { return i32(wide.x); }
  if (wide.y == 0xffffffffu && wide.x >= 0x80000000u) { return i32(wide.x); }
  return select(0x7fffffff, i32(0x80000000u), (wide.y >> 31u) == 1u);
}`,
};
