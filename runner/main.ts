#!/usr/bin/env node
/** The command line: parses arguments, calls one function a command, and turns errors into messages and exit codes. */
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import pc from 'picocolors';
import { ResultsError } from '../reports/results-error.ts';
import { formatInputError, InputError } from '../scenarios/errors.ts';
import { EXIT_BAD_INPUT, EXIT_FAILED_TRIALS } from './exit-codes.ts';
import { defaultWorkers, versions } from './host.ts';

function program(): Command {
  const cli = new Command('chainwalk')
    .description("What a Kubernetes Service costs on the wire and during change, in kube-proxy's modes")
    .version(versions().chainwalk)
    .showHelpAfterError('(add --help for the options)');

  scenarioOptions(
    cli
      .command('sweep')
      .description('run experiments and write CSV, charts and a report')
      .argument('[files...]', 'experiment files; none: the experiments marked `default: true`'),
  )
    .option('--all', 'every experiment in scenarios/experiments')
    .option('--out <dir>', 'results folder', 'out')
    .option('--workers <n>', 'worker threads', positiveInteger('--workers', 256), defaultWorkers())
    .option('--no-report', 'write CSV only')
    .action(lazily(async () => (await import('./commands/sweep.ts')).sweepCommand));
  scenarioOptions(
    cli
      .command('plan')
      .description('list the trials of experiments, run nothing')
      .argument('[files...]', 'experiment files; none: the default experiments'),
  )
    .option('--all', 'every experiment in scenarios/experiments')
    .action(lazily(async () => (await import('./commands/plan.ts')).planCommand));
  scenarioOptions(
    cli
      .command('run')
      .description('run one trial and print its observation and timeline')
      .argument('<file>', 'experiment file'),
  )
    .option('--engine <name>', 'engine of the trial (default: the first of the experiment)')
    .option('--replication <n>', 'replication of the trial', positiveInteger('--replication', 1_000_000), 1)
    .option(
      '--point <name=value>',
      'an axis value of the trial (may be repeated; default: the first of each axis)',
      collect,
    )
    .option('--timeline', 'print what `kubectl get endpoints --watch`, the probes and kube-proxy would show')
    .action(lazily(async () => (await import('./commands/run.ts')).runCommand));
  cli
    .command('report')
    .description('rebuild charts and HTML from a results folder')
    .argument('[dir]', 'results folder', 'out')
    .action(lazily(async () => (await import('./commands/report.ts')).reportCommand));
  cli
    .command('gate')
    .description('compare a quick run of the experiments with baselines/, exactly')
    .option('--results <dir>', 'compare existing results instead of running')
    .option('--baselines <dir>', 'folder of baselines')
    .option('--update', 'write new baselines')
    .option('--reason <text>', 'why they change (with --update)')
    .option('--workers <n>', 'worker threads', positiveInteger('--workers', 256), defaultWorkers())
    .action(lazily(async () => (await import('./commands/gate.ts')).gateCommand));
  cli
    .command('bench')
    .description('measure how fast our code runs on this machine, beside C, C++ and other simulators')
    .option('--suite <name>', 'a suite, or all', 'all')
    .option('--size <size>', 'smoke (seconds, judges nothing) or full', 'full')
    .option('--out <dir>', 'folder of host.csv, growth.csv, charts and report.html', 'out/bench')
    .option('--profile <suite>', 'run our own side of a suite under a profiler; names the functions that take the time')
    .option('--install', 'as root on Debian: install what the peers need')
    .option('--json', 'print the rows as JSON')
    .action(lazily(async () => (await import('./commands/bench.ts')).benchCommand));
  proxyOptions(
    cli
      .command('dump')
      .description("print the rules of manifests, or of an experiment's cluster, in native form")
      .argument('<files...>', 'Kubernetes manifests, or one experiment'),
  )
    .option('--form <form>', 'kernel (loadable state) or restore (what kube-proxy feeds to the tools)', 'kernel')
    .action(lazily(async () => (await import('./commands/dump.ts')).dumpCommand));
  proxyOptions(
    cli
      .command('trace')
      .description('follow a packet through the rules, rule by rule')
      .argument('<files...>', 'Kubernetes manifests, or one experiment')
      .requiredOption('--from <ip>', 'source of the packet; an address of the node: sent by the node itself')
      .requiredOption('--to <target>', 'IP:PORT[/PROTOCOL], IPv6 as [IP]:PORT, or SERVICE[:PORT]'),
  )
    .option('--protocol <name>', "tcp, udp or sctp (default: the Service's, else tcp)")
    .option('--in-interface <name>', 'interface by which the packet comes in')
    .action(lazily(async () => (await import('./commands/trace.ts')).traceCommand));
  cli
    .command('conformance')
    .description("run golden cases: kube-proxy's own expectations of its rules and of packet flows")
    .argument('<dir>', 'folder of cases, or of folders of cases')
    .option('--mode <mode>', 'iptables, ipvs or nftables alone')
    .option('--case <name>', 'one case alone')
    .action(lazily(async () => (await import('./commands/conformance.ts')).conformanceCommand));
  cli
    .command('validate')
    .description('hold a cost profile against measured rows of a real kernel')
    .option('--measured <files...>', 'CSV with rows of `chainwalk measure`')
    .option('--profile <name>', 'profile, by its name or file', 'linux-6.18-native')
    .option('--published [files...]', 'hold the models against published points instead; files: more of them (YAML)')
    .option('--workers <n>', 'worker threads for --published', positiveInteger('--workers', 256), defaultWorkers())
    .option('--max-median <percent>', 'fail (exit 1) when the median error is above', percentage('--max-median'))
    .option('--min-coverage <percent>', 'fail (exit 1) when fewer rows are predicted', percentage('--min-coverage'))
    .option('--held-out', 'fit the numbers anew to a part of the rows and test them on the rest, in two ways')
    .option('--out <file>', 'write the errors by engine and mode as JSON')
    .option('--json', 'print JSON')
    .action(lazily(async () => (await import('./commands/validate.ts')).validateCommand));
  cli
    .command('calibrate')
    .description('fit a cost profile to measured rows of a real kernel')
    .option('--measured <files...>', 'CSV with rows of `chainwalk measure`')
    .option('--out <file>', 'the new profile, a YAML file')
    .option('--base <name>', 'profile to take numbers from that the rows cannot tell')
    .option('--name <name>', "the new profile's name (default: the file's)")
    .option('--l2-bytes <n>', 'size of the L2 cache of a core', positiveInteger('--l2-bytes', 0x1_0000_0000))
    .action(lazily(async () => (await import('./commands/calibrate.ts')).calibrateCommand));
  cli
    .command('measure')
    .description(
      "measure this machine's kernel as root, in a network namespace of its own, or a guest's in instructions",
    )
    .option('--engine <name...>', 'ipt-legacy, ipt-nft, nft, ipset; with --guest also ipvs (default: all)')
    .option('--quick', 'sizes enough for slopes, in about a minute')
    .option('--out <file>', 'CSV file; a JSON file beside it describes the machine (default: in out/measure)')
    .option('--profile <name>', 'hold slopes and ratios against a profile; judged where the processor is its own')
    .option('--guest', 'IPVS, iptables and nftables of a Debian kernel in an emulated guest, in instructions')
    .option(
      '--guest-kernel <dir>',
      'an unpacked linux-image package for the guest (default: download one with apt-get)',
    )
    .action(lazily(async () => (await import('./commands/measure.ts')).measureCommand));
  cli
    .command('schema')
    .description('print the JSON Schema of an experiment file')
    .action(lazily(async () => (await import('./commands/schema.ts')).schemaCommand));
  return cli;
}

/** An action whose module, and all that it needs, is loaded when the command runs: `--help` waits for none of it. */
function lazily<Arguments extends unknown[]>(
  load: () => Promise<(...args: Arguments) => void | Promise<void>>,
): (...args: Arguments) => Promise<void> {
  return async (...args) => {
    const run = await load();
    await run(...args);
  };
}

function scenarioOptions(command: Command): Command {
  return command
    .option('--seed <n>', 'seed in place of the one in the file', nonNegativeInteger('--seed'))
    .option('--set <path=value>', 'change a value of the scenario, e.g. services=100 (may be repeated)', collect)
    .option('--quick', 'small sizes, same columns');
}

/** Options of the commands that compile whole rule sets. */
function proxyOptions(command: Command): Command {
  return scenarioOptions(command)
    .option('--engine <name>', 'iptables, ipvs, nftables or userspace', 'iptables')
    .option('--kube-proxy <version>', 'version of kube-proxy, such as v1.31 (default: the current one)')
    .option('--family <family>', 'ipv4 or ipv6 (default of dump: ipv4)')
    .option('--node <name>', 'the node whose rules they are (default: the first by name)')
    .option('--masquerade-all', 'masquerade all traffic to cluster IPs')
    .option('--detect-local-cidr <cidr>', "what counts as local traffic (default: the cluster's pods)")
    .option('--detect-local-bridge <name>', 'local traffic comes in by this bridge')
    .option('--detect-local-prefix <name>', 'local traffic comes in by interfaces with this prefix')
    .option(
      '--nodeport-addresses <cidr>',
      'where node ports are open, or "primary" (may be repeated; default: all, in nftables mode primary)',
      collect,
    )
    .option('--ipvs-scheduler <name>', 'scheduler of ipvs mode')
    .option('--nfacct', 'the node has the counters of xt_nfacct');
}

/** An option that may be given several times. */
function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

function positiveInteger(name: string, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < 1 || value > most) {
      throw new InvalidArgumentError(`${name} expects an integer from 1 to ${most}.`);
    }
    return value;
  };
}

function nonNegativeInteger(name: string): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) {
      throw new InvalidArgumentError(`${name} expects an integer from 0 to 2^53 - 1.`);
    }
    return value;
  };
}

/** `5` and `5%` are five percent. */
function percentage(name: string): (text: string) => number {
  return (text) => {
    const match = /^(\d+(?:\.\d+)?) ?%?$/.exec(text);
    if (match === null) throw new InvalidArgumentError(`${name} expects a percentage, such as 5 or 0.5.`);
    return Number(match[1]);
  };
}

async function main(): Promise<void> {
  const cli = program();
  for (const command of [cli, ...cli.commands]) command.exitOverride();
  try {
    await cli.parseAsync(process.argv);
  } catch (error) {
    if (error instanceof CommanderError) {
      // Help and version are not errors; commander has printed its own message for the rest.
      process.exitCode = error.exitCode === 0 ? 0 : EXIT_BAD_INPUT;
    } else fail(error);
  }
}

/** One line for what a user or the machine did; a stack only for a bug of ours. */
function fail(error: unknown): void {
  if (error instanceof InputError) {
    process.stderr.write(`${pc.red('error:')} ${formatInputError(error)}\n`);
    process.exitCode = EXIT_BAD_INPUT;
  } else if (error instanceof ResultsError) {
    process.stderr.write(`${pc.red('error:')} ${error.message}\n`);
    process.exitCode = EXIT_BAD_INPUT;
  } else if (error instanceof Error && 'syscall' in error) {
    process.stderr.write(`${pc.red('error:')} ${error.message}. What had been written before is whole.\n`);
    process.exitCode = EXIT_FAILED_TRIALS;
  } else {
    process.stderr.write(`${pc.red('internal error:')} ${error instanceof Error ? error.stack : String(error)}\n`);
    process.exitCode = EXIT_FAILED_TRIALS;
  }
}

// A reader that has seen enough (`| head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

await main();
