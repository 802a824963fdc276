/** Keys of an experiment for clients that wait and try again: good values, and mistakes with their place. */
import { describe, expect, it } from 'vitest';
import { CLUSTER, fails, HEAD, load } from './load-fixtures.ts';

const text = (traffic: string, others = '') => `${HEAD}${CLUSTER}traffic: { ${traffic} }\n${others}`;
const traffic = (keys: string) => load(text(keys)).resolvePoint({}).traffic;

describe('keys of clients', () => {
  it('are off unless given', () => {
    const plain = traffic('connections: 5');
    expect(plain).toMatchObject({ retries: 0, retryBackoffSeconds: 0.1 });
    for (const key of ['clientKernel', 'connectTimeoutSeconds', 'clientPorts']) expect(plain).not.toHaveProperty(key);
  });

  it('reach the spec', () => {
    expect(
      traffic('client_kernel: "5.15", connect_timeout_s: 2.5, retries: 3, retry_backoff_s: 0.5, client_ports: 10'),
    ).toMatchObject({
      clientKernel: [5, 15],
      connectTimeoutSeconds: 2.5,
      retries: 3,
      retryBackoffSeconds: 0.5,
      clientPorts: 10,
    });
  });

  it('may be swept', () => {
    const loaded = load(
      text('connections: 5', 'sweep: { traffic.client_kernel: ["6.1", "6.8"], traffic.retries: [0, 2] }\n'),
    );
    const spec = loaded.resolvePoint({ 'traffic.client_kernel': '6.8', 'traffic.retries': 2 }).traffic;
    expect(spec).toMatchObject({ clientKernel: [6, 8], retries: 2 });
  });

  it.each([
    // 6.10 without quotes would be 6.1.
    ['client_kernel: 6.10', '6:27', '"traffic.client_kernel" must be'],
    ['client_kernel: "6"', '6:27', 'must be a Linux version such as "6.1", in quotes'],
    ['connect_timeout_s: 0', '6:31', '"traffic.connect_timeout_s" must be'],
    ['retries: 11', '6:21', '"traffic.retries" must be'],
    ['client_ports: 28233', '6:26', '"traffic.client_ports" must be'],
  ])('refuse %s', (keys, place, message) => {
    const failure = fails(text(keys));
    expect(failure).toContain(`e.yaml:${place}: `);
    expect(failure).toContain(message);
  });
});
