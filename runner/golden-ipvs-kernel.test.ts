/** What golden cases give as the state that IPVS mode finds. */
import { describe, expect, it } from 'vitest';
import { readIpvsList } from './golden-ipvs-kernel.ts';

describe('readIpvsList', () => {
  it('reads virtual servers of all protocols and both families with their real servers', () => {
    const text = `
      # ipvsadm -S -n
      -A -t 10.50.0.1:80 -s rr
      -a -t 10.50.0.1:80 -r 10.60.0.1:8080 -m -w 0
      -A -u 10.50.0.1:80 -s sh -p 300
      -A --sctp-service [FD00::1]:3868
      -a --sctp-service [fd00::1]:3868 -r [fd00:0::2]:3868
      -a -t 10.50.0.1:80 -r 10.60.0.2:8080 -m -w 3
    `;
    expect(readIpvsList(text)).toEqual([
      {
        ...{ address: '10.50.0.1', port: 80, protocol: 'tcp', scheduler: 'rr', flags: 0, timeoutSeconds: 0 },
        realServers: [
          { address: '10.60.0.1', port: 8080, weight: 0 },
          { address: '10.60.0.2', port: 8080, weight: 3 },
        ],
      },
      {
        ...{ address: '10.50.0.1', port: 80, protocol: 'udp', scheduler: 'sh', flags: 1, timeoutSeconds: 300 },
        realServers: [],
      },
      {
        ...{ address: 'fd00::1', port: 3868, protocol: 'sctp', scheduler: 'wlc', flags: 0, timeoutSeconds: 0 },
        realServers: [{ address: 'fd00::2', port: 3868, weight: 1 }],
      },
    ]);
    expect(readIpvsList('')).toEqual([]);
  });

  it.each([
    ['-D -t 10.50.0.1:80', 'Cannot read'],
    ['-A -t 10.50.0:80 -s rr', 'No address and port'],
    ['-A -t 10.50.0.1 -s rr', 'No address and port'],
    ['-a -t 10.50.0.1:80 -r 10.60.0.1:80 -m -w 1', 'No virtual server stands before'],
  ])('names what it cannot read in %s', (line, message) => {
    expect(() => readIpvsList(line)).toThrow(message);
  });
});
