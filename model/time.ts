/** Simulated time: an integer number of nanoseconds since the start of a trial, below 2^53 (104 days). */
export type SimTime = number;

export const NS_PER_US = 1e3;
export const NS_PER_MS = 1e6;
export const NS_PER_S = 1e9;
