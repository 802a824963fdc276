/** The scheduler of a name, as kube-proxy's `--ipvs-scheduler` gives it. */
import type { Rng } from '../../../sim/rng.ts';
import type { IpvsScheduler } from '../../engine.ts';
import type { RealServers } from '../real-servers.ts';
import { AddressHash } from './address-hash.ts';
import { Failover } from './failover.ts';
import { LeastConnection, ShortestExpectedDelay, WeightedLeastConnection } from './least-connection.ts';
import { Locality, ReplicatedLocality } from './locality.ts';
import { Maglev } from './maglev.ts';
import { RoundRobin } from './round-robin.ts';
import type { Scheduler } from './scheduler.ts';
import { TwoChoices } from './two-choices.ts';
import { WeightedRoundRobin } from './weighted-round-robin.ts';

export function createScheduler(name: IpvsScheduler, servers: RealServers, rng: Rng): Scheduler {
  switch (name) {
    case 'rr':
      return new RoundRobin(servers);
    case 'wrr':
      return new WeightedRoundRobin(servers);
    case 'lc':
      return new LeastConnection(servers);
    case 'wlc':
      return new WeightedLeastConnection(servers);
    case 'sed':
      return new ShortestExpectedDelay(servers, false);
    case 'nq':
      return new ShortestExpectedDelay(servers, true);
    case 'sh':
      return new AddressHash(servers, true);
    case 'dh':
      return new AddressHash(servers, false);
    case 'mh':
      return new Maglev(servers);
    case 'lblc':
      return new Locality(servers);
    case 'lblcr':
      return new ReplicatedLocality(servers);
    case 'fo':
      return new Failover(servers, false);
    case 'ovf':
      return new Failover(servers, true);
    case 'twos':
      return new TwoChoices(servers, rng.stream('scheduler'));
  }
}
