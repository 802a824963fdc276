/** The package has no types, and exports nothing: it puts `Sim` on a `window`. sim/hold-peers.bench.ts has what it uses of it. */
declare module 'simjs';
