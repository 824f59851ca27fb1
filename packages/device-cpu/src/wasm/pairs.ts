/** Pairs of 128-bit vectors, which V8 fuses where its revectorization is on (flags.ts). */

/**
 * The order in which `count` neighbouring vectors are stored: of each pair the upper half first. V8 puts a fused store where
 * the second of the two was, and leaves a lower half that came before it standing: it would be stored twice.
 */
export function storeOrder(count: number): number[] {
  return Array.from({ length: count }, (_, k) => ((k ^ 1) < count ? k ^ 1 : k));
}
