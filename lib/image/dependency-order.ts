// A topological order in which only dependencies and a rank decide.

/**
 * The numbers from 0 in an order in which each comes after those that it needs, and otherwise the lowest rank first.
 * Numbers on a circle, or that need one, are left out.
 */
export function dependencyOrder(needs: readonly (readonly number[])[], rank: (at: number) => number): number[] {
  const waiting: number[] = [];
  const dependents: number[][] = needs.map(() => []);
  for (const [at, all] of needs.entries()) {
    const needed = new Set(all);
    waiting[at] = needed.size;
    for (const other of needed) dependents[other]?.push(at);
  }
  const ready = new Ready(rank);
  for (const [at, count] of waiting.entries()) if (count === 0) ready.push(at);
  const order: number[] = [];
  for (let at = ready.pop(); at !== undefined; at = ready.pop()) {
    order.push(at);
    for (const other of dependents[at] ?? []) {
      const left = (waiting[other] ?? 0) - 1;
      waiting[other] = left;
      if (left === 0) ready.push(other);
    }
  }
  return order;
}

// Numbers sorted by descending rank; the lowest is taken from the end.
class Ready {
  readonly #rank: (at: number) => number;
  readonly #sorted: number[] = [];

  constructor(rank: (at: number) => number) {
    this.#rank = rank;
  }

  push(at: number): void {
    const rank = this.#rank(at);
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#rank(this.#sorted[middle] ?? 0) > rank) low = middle + 1;
      else high = middle;
    }
    this.#sorted.splice(low, 0, at);
  }

  pop(): number | undefined {
    return this.#sorted.pop();
  }
}
