/** What a V8 CPU profile says of functions: the time that each spent in itself. */

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
}

export interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  /** Node that was running at each sample. */
  readonly samples: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[];
}

export interface SelfTime {
  readonly name: string;
  /** `file:line`, empty for V8's own such as the garbage collector. */
  readonly place: string;
  readonly ms: number;
  /** Of all samples but the idle ones. */
  readonly share: number;
}

/** The `count` functions with the most self time, the most first. `root` is cut from the beginning of paths. */
export function mostSelfTime(profile: CpuProfile, count: number, root: string): SelfTime[] {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node.callFrame]));
  const times = new Map<string, { name: string; place: string; us: number }>();
  let total = 0;
  profile.samples.forEach((id, i) => {
    const frame = nodes.get(id);
    if (frame === undefined || frame.functionName === '(idle)') return;
    const us = profile.timeDeltas[i];
    total += us;
    const place = frame.url === '' ? '' : `${shortPath(frame.url, root)}:${frame.lineNumber + 1}`;
    const key = `${frame.functionName} ${place}`;
    const time = times.get(key);
    if (time !== undefined) time.us += us;
    else times.set(key, { name: frame.functionName === '' ? '(anonymous)' : frame.functionName, place, us });
  });
  return [...times.values()]
    .sort((a, b) => b.us - a.us || (a.place < b.place ? -1 : 1))
    .slice(0, count)
    .map(({ name, place, us }) => ({ name, place, ms: us / 1000, share: us / total }));
}

function shortPath(url: string, root: string): string {
  const path = url.replace(/^file:\/\//, '');
  return path.startsWith(`${root}/`) ? path.slice(root.length + 1) : path;
}
