import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { afterAll, describe, expect, it } from 'vitest';
import { measuredRow } from '../../costs/measured-row.ts';
import type { MeasuredRow } from '../../costs/measured-row.ts';
import { missingForGuest, thisMachine } from '../measure/requirements.ts';
import { RowFile } from '../measure/row-file.ts';
import { stepsProgress } from '../measure/steps-progress.ts';
import { Interrupted } from '../measure/tool.ts';
import { findKernel, NoGuestKernel } from './kernel-package.ts';
import { Answers, guestSource, measureGuest, qemuArguments } from './measure-guest.ts';
import { GUEST_ENGINES, guestPlan, writeBase } from './plan.ts';
import { GuestScript } from './script.ts';

const folder = mkdtempSync(join(tmpdir(), 'chainwalk-guest-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

function scriptOf(engine: (typeof GUEST_ENGINES)[number]): GuestScript {
  const script = new GuestScript();
  writeBase(script);
  for (const part of guestPlan('smoke', [engine]).flat()) part.write(script);
  return script;
}

function readRows(path: string): MeasuredRow[] {
  return parse<Record<string, string>>(readFileSync(path, 'utf8'), { columns: true }).map((record) =>
    measuredRow(record, ''),
  );
}

describe('the plan of a guest', () => {
  it('has a guest for each part at full size, and one for all at quick size', () => {
    expect(guestPlan('full', GUEST_ENGINES).map((parts) => parts.length)).toEqual(Array(8).fill(1));
    expect(guestPlan('quick', GUEST_ENGINES)).toHaveLength(1);
  });

  it('creates virtual servers in the order of their addresses', () => {
    const lines = (scriptOf('ipvs').files.get('servers-300') ?? '').trimEnd().split('\n');
    const services = lines.filter((line) => line.startsWith('-A')).map((line) => line.split(' ')[2]);
    expect([services.length, services[2], services[10], services[299]]).toEqual([
      300,
      '10.96.0.2:80',
      '10.96.0.10:80',
      '10.96.1.43:80',
    ]);
    expect(lines[1]).toBe('-a -u 10.96.0.0:80 -r 10.16.0.0:8080 -m -w 1');
  });

  it('takes back what it adds one by one', () => {
    const { files } = scriptOf('ipvs');
    const first = (name: string): string | undefined => files.get(`single-300-${name}`)?.split('\n')[0];
    expect(first('added')).toBe('-A -u 10.96.1.44:80 -s rr');
    expect(first('second')).toMatch(/^-a -u 10\.96\.1\.44:80 -r 10\.16\.\S+ -m -w 1$/);
    expect(first('gone')).toMatch(/^-d -u 10\.96\.1\.44:80 -r 10\.16\.\S+$/);
    expect(first('deleted')).toBe('-D -u 10.96.1.44:80');
  });

  it('is a script that a shell reads', () => {
    for (const engine of GUEST_ENGINES) {
      const { status, stderr } = spawnSync('sh', ['-n'], { input: scriptOf(engine).text(), encoding: 'utf8' });
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    }
  });

  it('asks for variants by the names of the shared measurements', () => {
    const variants = new Set(scriptOf('ipvs').asked.map(({ point }) => point.variant));
    for (const name of ['bare', 'bulk', 'single', 'kube-rules', 'kube-rules+kube-ipvs0'])
      expect(variants).toContain(name);
    expect(scriptOf('ipt-legacy').asked.some(({ point }) => point.position === 'index19')).toBe(true);
  });
});

describe('answers of a guest', () => {
  it('become rows; what fails is told and counted', () => {
    const script = scriptOf('nft');
    const lines: string[] = [];
    const path = join(folder, 'answers.csv');
    const rows = new RowFile(path, guestSource('6.1.0-56-amd64'));
    const answers = new Answers(
      script.asked,
      rows,
      stepsProgress(1, (line) => lines.push(line)),
    );
    answers.read('@ 0 {"what":"first","min":1,"p10":2,"median":3,"mean":4,"p90":5,"stddev":6,"repeats":192}');
    answers.read('@ 1 the packet did not reach an endpoint');
    answers.read('@step nft 1 Services');
    answers.read('insmod: no such file');
    answers.read('@failed insmod x');
    expect(answers.missing()).toBe(script.asked.length - 1 + 1);
    expect(answers.ended).toBe(false);
    answers.read('@end');
    expect(answers.ended).toBe(true);
    rows.close();
    expect(lines).toEqual([
      '  failed (none  direct): the packet did not reach an endpoint',
      '  nft 1 Services',
      '  failed (insmod x): insmod: no such file',
    ]);
    expect(readFileSync(path, 'utf8')).toMatch(
      /\nqemu-6\.1-tcg,none,first,0,0,direct,0,3\.0,instructions\/packet,192,/,
    );
  });
});

describe('the kernel of a guest', () => {
  it('is found in an unpacked package, of either layout', () => {
    for (const modules of ['lib/modules', 'usr/lib/modules']) {
      const root = mkdtempSync(join(folder, 'kernel-'));
      mkdirSync(join(root, modules, '6.1.0-1-amd64'), { recursive: true });
      expect(() => findKernel(root)).toThrow(NoGuestKernel);
      mkdirSync(join(root, 'boot'));
      writeFileSync(join(root, 'boot', 'vmlinuz-6.1.0-1-amd64'), '');
      expect(findKernel(root).release).toBe('6.1.0-1-amd64');
    }
  });

  it('is told from any other folder, with what was expected', () => {
    expect(() => findKernel(folder)).toThrow(/holds no kernel: expected boot\/vmlinuz-RELEASE/);
  });

  it('counts instructions and has no network', () => {
    const words = qemuArguments('image', 'archive').join(' ');
    expect(words).toContain('-icount shift=0,sleep=off -cpu max,la57=off');
    expect(words).toContain('-nic none');
  });
});

/** An unpacked kernel package may be given; else it is downloaded. */
const KERNEL = process.env['CHAINWALK_GUEST_KERNEL'];
const MISSING = missingForGuest(KERNEL !== undefined, thisMachine()) ?? missingPackage();

function missingPackage(): string | undefined {
  if (KERNEL !== undefined) return undefined;
  const known = spawnSync('apt-cache', ['show', 'linux-image-amd64'], { encoding: 'utf8' }).status === 0;
  return known ? undefined : 'needs the kernel package linux-image-amd64: apt-get update';
}

async function measure(name: string, signal: AbortSignal): Promise<MeasuredRow[]> {
  const path = join(folder, `${name}.csv`);
  const lines: string[] = [];
  let rows: RowFile | undefined;
  try {
    const outcome = await measureGuest({
      size: 'smoke',
      engines: GUEST_ENGINES,
      ...(KERNEL === undefined ? {} : { kernelFolder: KERNEL }),
      open: (source) => (rows = new RowFile(path, source)),
      signal,
      say: (line) => lines.push(line),
    });
    expect(outcome, lines.join('\n')).toEqual({ failed: 0 });
  } finally {
    rows?.close();
  }
  return readRows(path);
}

describe('an emulated guest, at the smallest size', () => {
  it('counts instructions of IPVS, iptables and nftables', async (ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    const rows = await measure('guest', new AbortController().signal);
    const value = (engine: string, variant: string, position: string): number =>
      rows.find(
        (row) => row.engine === engine && row.mode === 'first' && row.variant === variant && row.position === position,
      )?.value ?? NaN;
    const bare = value('none', '', 'direct');
    expect(bare).toBeGreaterThan(5000);
    expect(value('ipvs', 'bare', 'index0')).toBeGreaterThan(bare);
    expect(value('ipvs', 'kube-rules', 'index0')).toBeGreaterThan(value('ipvs', 'bare', 'index0'));
    expect(value('ipt-legacy', 'comments=1', 'index19') - value('ipt-legacy', 'comments=1', 'index0')).toBeGreaterThan(
      19 * 15,
    );
    expect(value('nft', '', 'index19')).toBeLessThan(1.02 * value('nft', '', 'index0'));
    expect(value('ipt-nft', '', 'index0')).toBeGreaterThan(bare);
    expect(rows.some(({ position, unit }) => position === 'add-service' && unit === 'instructions/request')).toBe(true);
  });

  it('is let go of when it is interrupted', async (ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 500);
    await expect(measure('interrupted', controller.signal)).rejects.toBeInstanceOf(Interrupted);
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith(`chainwalk-measure-${process.pid}-`))).toEqual([]);
  });
});
