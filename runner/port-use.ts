/** Source ports that clients have in use, by destination: a kernel gives no two live connections the same four-tuple [inet_hash_connect]. */

const PORT_RANGE = 65_536;

export class PortUse {
  /** Client address and port -> destination addresses and ports of live connections. */
  readonly #live = new Map<number, Set<number>>();

  /** Takes `wanted`, or of the `count` ports from there on the first that is free; undefined when none is. `following`: the one after a port. */
  takeFree(
    wanted: number,
    count: number,
    following: (port: number) => number,
    [client, dstAddress, dstPort]: readonly [client: number, dstAddress: number, dstPort: number],
  ): number | undefined {
    let port = wanted;
    for (let tries = 0; tries < count; tries++, port = following(port)) {
      if (this.#isUsed(client, port, dstAddress, dstPort)) continue;
      this.#take(client, port, dstAddress, dstPort);
      return port;
    }
    return undefined;
  }

  release(client: number, port: number, dstAddress: number, dstPort: number): void {
    this.#live.get(client * PORT_RANGE + port)?.delete(dstAddress * PORT_RANGE + dstPort);
  }

  #isUsed(client: number, port: number, dstAddress: number, dstPort: number): boolean {
    return this.#live.get(client * PORT_RANGE + port)?.has(dstAddress * PORT_RANGE + dstPort) === true;
  }

  #take(client: number, port: number, dstAddress: number, dstPort: number): void {
    const key = client * PORT_RANGE + port;
    const destinations = this.#live.get(key);
    if (destinations === undefined) this.#live.set(key, new Set([dstAddress * PORT_RANGE + dstPort]));
    else destinations.add(dstAddress * PORT_RANGE + dstPort);
  }
}
