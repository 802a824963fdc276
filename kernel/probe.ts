/**
 * A script of its own for a namespace: servers that answer with their own address and the client's as they see it, and clients that
 * ask them in turn. Reads a ProbePlan from the file plan.json and prints a ProbeAnswer for each question, as JSON.
 */
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';

export interface ProbePlan {
  /** `name` is what the server answers with. */
  readonly servers: readonly { readonly name: string; readonly address: string; readonly port: number }[];
  readonly questions: readonly ProbeQuestion[];
  /** After which a client gives up. */
  readonly patienceMilliseconds: number;
}

export interface ProbeQuestion {
  readonly protocol: 'tcp' | 'udp';
  readonly from: string;
  readonly to: string;
  readonly port: number;
  readonly times: number;
}

/** For each time `SERVER from CLIENT`, `refused`, `silent`, or an error's code. */
export type ProbeAnswer = readonly string[];

type Server = ProbePlan['servers'][number];

const plan = JSON.parse(readFileSync('plan.json', 'utf8')) as ProbePlan;

function serveTcp({ name, address, port }: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.end(`${name} from ${socket.remoteAddress}`);
    });
    server.on('error', reject);
    server.listen(port, address, () => resolve());
  });
}

function serveUdp({ name, address, port }: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.on('error', reject);
    socket.on('message', (_, client) => socket.send(`${name} from ${client.address}`, client.port, client.address));
    socket.bind(port, address, () => resolve());
  });
}

function outcomeOf(error: NodeJS.ErrnoException): string {
  return error.code === 'ECONNREFUSED' ? 'refused' : (error.code ?? error.message);
}

function askTcp({ from, to, port }: ProbeQuestion): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect({ host: to, port, localAddress: from });
    const end = (outcome: string): void => {
      socket.destroy();
      resolve(outcome);
    };
    socket.setTimeout(plan.patienceMilliseconds, () => end('silent'));
    socket.on('data', (data) => (text += data.toString()));
    socket.on('end', () => end(text));
    socket.on('error', (error) => end(outcomeOf(error)));
  });
}

function askUdp({ from, to, port }: ProbeQuestion): Promise<string> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    const timer = setTimeout(() => end('silent'), plan.patienceMilliseconds);
    function end(outcome: string): void {
      clearTimeout(timer);
      socket.removeAllListeners('error').on('error', () => undefined);
      socket.close();
      resolve(outcome);
    }
    socket.once('message', (data) => end(data.toString()));
    socket.once('error', (error) => end(outcomeOf(error)));
    socket.bind(0, from, () => {
      // Connected, for the kernel to tell of refusals.
      socket.connect(port, to, () => {
        socket.send('?', (error) => {
          // A packet that the rules drop or reject on its way out: only what comes, or does not come, back tells which.
          if (error && (error as NodeJS.ErrnoException).code !== 'EPERM') end(outcomeOf(error));
        });
      });
    });
  });
}

for (const server of plan.servers) {
  await serveTcp(server);
  await serveUdp(server);
}
const answers: ProbeAnswer[] = [];
for (const question of plan.questions) {
  const answer: string[] = [];
  for (let i = 0; i < question.times; i++) {
    answer.push(await (question.protocol === 'tcp' ? askTcp(question) : askUdp(question)));
  }
  answers.push(answer);
}
process.stdout.write(JSON.stringify(answers), () => process.exit(0));
