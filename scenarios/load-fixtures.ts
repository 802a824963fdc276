/** Experiments for the tests of this folder, loaded from text. */
import { formatInputError, InputError } from './errors.ts';
import { loadExperiment } from './load.ts';
import type { LoadedExperiment, LoadOptions } from './load.ts';

export const HEAD = 'experiment: trial\nquestion: Does it load?\n';
export const CLUSTER = 'cluster:\n  synthetic:\n    services: 10\n';

export const MANIFEST = `apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
        - name: web
          readinessProbe: { tcpSocket: { port: 80 } }
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { selector: { app: web }, ports: [{ port: 80 }] }
`;

/** Loads text as if it stood in e.yaml; other files come from `files`. */
export function load(
  text: string | Uint8Array,
  options: LoadOptions = {},
  files: Readonly<Record<string, string>> = {},
): LoadedExperiment {
  const readFile = (path: string): string | Uint8Array => {
    if (path === 'e.yaml') return text;
    const found = Object.entries(files).find(([name]) => path.endsWith(`/${name}`));
    if (found === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
    return found[1];
  };
  return loadExperiment('e.yaml', { readFile, ...options });
}

/** The formatted InputError of an action that has to fail with one. */
export function failure(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof InputError) return formatInputError(error);
    throw error;
  }
  throw new Error('Nothing was refused');
}

export const fails = (
  text: string | Uint8Array,
  options: LoadOptions = {},
  files: Readonly<Record<string, string>> = {},
) => failure(() => load(text, options, files));
