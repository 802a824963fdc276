/** Which slot belongs to which name, and which slots are ports of one Service. */

export class ServiceNames {
  readonly #slotOfIdentity = new Map<string, number>();
  /** First slot of a Service; the others hang on #next. */
  readonly #firstSlot = new Map<string, number>();
  readonly #next: number[] = [];
  readonly #identity: string[] = [];
  readonly #service: string[] = [];
  readonly #comment: string[] = [];

  slot(identity: string): number | undefined {
    return this.#slotOfIdentity.get(identity);
  }

  identity(slot: number): string {
    return this.#identity[slot];
  }

  /** The comment of the service port's elements; known until the slot gets another name. */
  comment(slot: number): string {
    return this.#comment[slot];
  }

  slotsOf(service: string): number[] {
    const slots: number[] = [];
    for (let slot = this.#firstSlot.get(service) ?? -1; slot >= 0; slot = this.#next[slot]) slots.push(slot);
    return slots;
  }

  add(slot: number, identity: string, service: string, comment: string): void {
    this.#slotOfIdentity.set(identity, slot);
    this.#identity[slot] = identity;
    this.#service[slot] = service;
    this.#comment[slot] = comment;
    this.#next[slot] = this.#firstSlot.get(service) ?? -1;
    this.#firstSlot.set(service, slot);
  }

  remove(slot: number): void {
    this.#slotOfIdentity.delete(this.#identity[slot]);
    const service = this.#service[slot];
    const after = this.#next[slot];
    const first = this.#firstSlot.get(service);
    if (first === slot) {
      if (after < 0) this.#firstSlot.delete(service);
      else this.#firstSlot.set(service, after);
      return;
    }
    let before = first ?? -1;
    while (before >= 0 && this.#next[before] !== slot) before = this.#next[before];
    this.#next[before] = after;
  }
}
