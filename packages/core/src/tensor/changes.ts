/** Changes that no message shows but that what is issued depends on: captured steps from before one are out of date. */

let count = 0;

/** Notes that a tensor lies elsewhere or wants a gradient, or that a module trains or no longer does. */
export function noteChange(): void {
  count += 1;
}

/** How many changes there were. */
export function changes(): number {
  return count;
}
