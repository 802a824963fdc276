// Builds dist/ from the TypeScript sources and the report's browser bundle; does nothing when dist/ is newer than every source.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = import.meta.dirname;
const rooms = ['model', 'sim', 'scenarios', 'control', 'engines', 'costs', 'kernel', 'runner', 'reports'];
const stamp = join(root, 'dist', '.built');

function newest(path) {
  const info = statSync(path);
  if (!info.isDirectory()) return /\.(ts|css|json|c|h|sh)$/.test(path) && !path.endsWith('.test.ts') ? info.mtimeMs : 0;
  let latest = info.mtimeMs;
  for (const name of readdirSync(path)) latest = Math.max(latest, newest(join(path, name)));
  return latest;
}

const sources = [...rooms, 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json'].map((name) => join(root, name));
const latest = Math.max(...sources.map(newest));
if (!existsSync(stamp) || statSync(stamp).mtimeMs < latest) {
  mkdirSync(join(root, 'dist'), { recursive: true });
  try {
    execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'], {
      cwd: root,
      stdio: 'inherit',
    });
    // Sources that `measure` builds with the machine's own compiler.
    cpSync(join(root, 'kernel/load'), join(root, 'dist/kernel/load'), { recursive: true });
    const { buildSite } = await import(join(root, 'dist/reports/site/build.js'));
    await buildSite(join(root, 'dist/reports/site'), join(root, 'reports/site'));
  } catch (error) {
    if (error.status === undefined) console.error(error);
    console.error('The build failed: see the messages above.');
    process.exit(1);
  }
  writeFileSync(stamp, '');
  utimesSync(stamp, new Date(latest), new Date(latest));
}
