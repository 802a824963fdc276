/** Stops the program at a broken assumption of our own; what a user did wrong is an InputError at the edge instead. */

/** Throws when `condition` is false. In a hot loop test first and call this in the failing branch, so that no message is built. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`Assertion failed: ${message}`);
}
