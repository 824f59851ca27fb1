/** Text into HTML and SVG. */

/** Text as it may stand in elements and in attributes. */
export function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

/** A number with no more digits than a drawing needs. */
export function short(value: number): string {
  return String(Number(value.toFixed(3)));
}
