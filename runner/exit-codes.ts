/** Exit codes of every command: docs/architecture.md lists them. */
export const EXIT_CHECK_FAILED = 1;
export const EXIT_BAD_INPUT = 2;
export const EXIT_FAILED_TRIALS = 3;
export const EXIT_INTERRUPTED = 130;
