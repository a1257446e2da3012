// Fits the specs of an image into a number of layers, so that updates re-send few bytes. Pure and deterministic: no
// layer is read or written here.
import { StaveError } from "../errors.ts";
import { BitSet } from "./bit-set.ts";
import { dependencyOrder } from "./dependency-order.ts";

/** A spec to place in a layer. */
export interface BudgetSpec {
  /** Identifies its content: the DAG hash. */
  readonly id: string;
  readonly name: string;
  /** The size of its layer in bytes. */
  readonly size: number;
  /** The ids of the specs that it depends on; others than those in the list are ignored. */
  readonly needs: readonly string[];
  /** Its layer must be compressed again to be joined with others, which is avoided if possible. */
  readonly isRigid?: boolean;
}

/** A layer of the previous image. */
export interface PreviousLayer {
  /** The ids of its specs, in their order. */
  readonly ids: readonly string[];
  readonly size: number;
}

/** The input of planBudget. */
export interface BudgetInput {
  /** Distinct specs; the order matters only if nothing is joined. */
  readonly specs: readonly BudgetSpec[];
  /** The most layers, at least 1. */
  readonly budget: number;
  /** The layers of the image that this one replaces, from the bottom up. */
  readonly previous?: readonly PreviousLayer[];
}

/** What goes into a layer as a whole: one spec, or a layer of the previous image. */
export interface LayerPart {
  /** Dependencies first. */
  readonly ids: readonly string[];
  /** The previous image has it as a layer. */
  readonly isKept: boolean;
}

/** The parts of one layer, dependencies first. */
export type LayerGroup = readonly LayerPart[];

/** How many updates of a package the transfer of one unchanged layer is worth. */
const UPDATES = 8;

/**
 * Plans the layers of an image, those of dependencies first. Specs share a layer if that adds least to the bytes that
 * updates re-send: an update of any dependency changes a spec, so a layer of `size` bytes whose specs have `count`
 * dependencies in total, themselves included, counts as `size × count`. Layers of the previous image stay together if
 * all their specs are still there. Throws BUDGET_EXCEEDED for a budget below 1.
 */
export function planBudget(input: BudgetInput): LayerGroup[] {
  const { budget, previous = [] } = input;
  if (!(budget >= 1))
    throw new StaveError("BUDGET_EXCEEDED", `${input.specs.length} specs do not fit into ${budget} layers`);
  const specs = orderSpecs(input.specs);
  const units = unitsOf(specs, previous);
  if (units.every(({ members }) => members.length === 1) && units.length <= budget) {
    const kept = new Set(units.flatMap(({ parts: [part] }) => (part?.isKept ? part.ids : [])));
    return input.specs.map(({ id }) => [{ ids: [id], isKept: kept.has(id) }]);
  }
  const joined = new Joining(specs, units);
  while (joined.count > budget) joined.joinCheapest();
  return joined.inOrder().map(({ parts }) => parts.map(({ ids, isKept }) => ({ ids, isKept })));
}

/** The layers of the previous image that stay if their specs are all in `ids`; each spec is in one at most. */
export function keptLayers<T extends Pick<PreviousLayer, "ids">>(
  previous: readonly T[],
  ids: { has(id: string): boolean },
): T[] {
  const taken = new Set<string>();
  return previous.filter((layer) => {
    const isKept = layer.ids.length > 0 && layer.ids.every((id) => ids.has(id) && !taken.has(id));
    if (isKept) for (const id of layer.ids) taken.add(id);
    return isKept;
  });
}

interface Spec extends BudgetSpec {
  /** The positions of the specs that it depends on directly. */
  readonly below: readonly number[];
  /** The positions of all that it depends on, and its own. */
  readonly closure: BitSet;
}

// Specs with their closures, dependencies first, the rest by name and id.
function orderSpecs(given: readonly BudgetSpec[]): Spec[] {
  const indices = new Map(given.map(({ id }, at) => [id, at]));
  const below = given.map(({ needs }) => needs.flatMap((id) => indices.get(id) ?? []));
  const rank = rankOf(given);
  const order = dependencyOrder(below, (at) => rank[at] ?? 0);
  if (order.length < given.length) throw new StaveError("INTERNAL", "the specs of an image depend on each other");
  const positions = new Map(order.map((index, at) => [index, at]));
  const specs: Spec[] = [];
  for (const [at, index] of order.entries()) {
    const closure = new BitSet(given.length);
    closure.add(at);
    const positionsBelow = (below[index] ?? []).flatMap((other) => positions.get(other) ?? []);
    for (const other of positionsBelow) closure.addAll(specs[other]?.closure ?? closure);
    const spec = given[index];
    if (spec !== undefined) specs.push({ ...spec, below: positionsBelow, closure });
  }
  return specs;
}

function rankOf(specs: readonly BudgetSpec[]): number[] {
  const compare = (a: string, b: string): number => (a < b ? -1 : Number(a > b));
  const sorted = [...specs.keys()].sort((a, b) => {
    const [one, other] = [specs[a], specs[b]];
    return compare(one?.name ?? "", other?.name ?? "") || compare(one?.id ?? "", other?.id ?? "");
  });
  const rank: number[] = [];
  for (const [at, index] of sorted.entries()) rank[index] = at;
  return rank;
}

interface Part extends LayerPart {
  /** Its position among all parts, dependencies first. */
  order: number;
}

/** Specs that share a layer. */
interface Unit {
  parts: readonly Part[];
  /** The positions of its specs. */
  members: readonly number[];
  readonly closure: BitSet;
  size: number;
  /** Its bytes that the previous image has. */
  kept: number;
  /** Its bytes in layers that must be compressed again to be joined. */
  rigid: number;
  /** Its place in the previous image; infinite for a new one. */
  place: number;
}

function unitsOf(specs: readonly Spec[], previous: readonly PreviousLayer[]): Unit[] {
  const positions = new Map(specs.map(({ id }, at) => [id, at]));
  const kept = keptLayers(previous, positions).map((layer) => ({
    members: layer.ids.flatMap((id) => positions.get(id) ?? []),
    size: layer.size,
    place: previous.indexOf(layer),
  }));
  for (;;) {
    const units = kept.map((layer) => unit(specs, layer.members, layer.size, layer.place));
    const taken = new Set(units.flatMap(({ members }) => members));
    for (const [at, { size }] of specs.entries()) if (!taken.has(at)) units.push(unit(specs, [at], size));
    units.sort((a, b) => Math.min(...a.members) - Math.min(...b.members));
    const order = dependencyOrder(needsOf(specs, units), (at) => at);
    for (const [at, index] of order.entries()) for (const part of units[index]?.parts ?? []) part.order = at;
    if (order.length === units.length) return units;
    const ordered = new Set(order);
    const stuck = new Set(units.flatMap(({ members }, at) => (ordered.has(at) ? [] : members)));
    // An image that was made by other means may hold layers that need each other: they are dissolved.
    for (let at = kept.length - 1; at >= 0; at--)
      if (kept[at]?.members.some((member) => stuck.has(member)) && (kept[at]?.members.length ?? 0) > 1)
        kept.splice(at, 1);
  }
}

function unit(specs: readonly Spec[], members: readonly number[], size: number, place?: number): Unit {
  const closure = new BitSet(specs.length);
  let rigid = 0;
  for (const at of members) {
    const spec = specs[at];
    if (spec === undefined) continue;
    closure.addAll(spec.closure);
    if (spec.isRigid) rigid += spec.size;
  }
  const isKept = place !== undefined;
  const part = { ids: members.map((at) => specs[at]?.id ?? ""), isKept, order: 0 };
  const kept = isKept ? size : 0;
  return { parts: [part], members, closure, size, kept, rigid, place: place ?? Number.POSITIVE_INFINITY };
}

// For each unit, those that it needs directly.
function needsOf(specs: readonly Spec[], units: readonly Unit[]): number[][] {
  const unitOf: number[] = [];
  for (const [at, { members }] of units.entries()) for (const member of members) unitOf[member] = at;
  return units.map(({ members }, self) => {
    const needed = new Set<number>();
    for (const member of members) for (const other of specs[member]?.below ?? []) needed.add(unitOf[other] ?? self);
    needed.delete(self);
    return [...needed];
  });
}

interface Pair {
  readonly cost: number;
  readonly with: number;
}

// Units while they are joined. A joined unit takes the place of its first half; the second half becomes undefined.
class Joining {
  readonly #specs: readonly Spec[];
  readonly #units: (Unit | undefined)[];
  /** The units that each needs, and those that need it, directly or not. */
  readonly #below: BitSet[];
  readonly #above: BitSet[];
  /** For each unit, the cheapest partner behind it. */
  readonly #pairs: (Pair | undefined)[];
  count: number;

  constructor(specs: readonly Spec[], units: readonly Unit[]) {
    this.#specs = specs;
    this.#units = [...units];
    this.count = units.length;
    this.#below = units.map(() => new BitSet(units.length));
    this.#above = units.map(() => new BitSet(units.length));
    const needs = needsOf(specs, units);
    for (const at of dependencyOrder(needs, (each) => each))
      for (const other of needs[at] ?? []) {
        this.#below[at]?.add(other);
        this.#below[at]?.addAll(this.#bits(this.#below, other));
      }
    for (const [at, below] of this.#below.entries()) for (const other of below) this.#above[other]?.add(at);
    this.#pairs = units.map((_, at) => this.#cheapest(at));
  }

  joinCheapest(): void {
    for (;;) {
      let best: number | undefined;
      for (const [at, pair] of this.#pairs.entries()) {
        const least = best === undefined ? undefined : this.#pairs[best];
        if (pair !== undefined && (least === undefined || pair.cost < least.cost)) best = at;
      }
      const pair = best === undefined ? undefined : this.#pairs[best];
      // Neighbours in a topological order can always be joined.
      if (best === undefined || pair === undefined) throw new StaveError("INTERNAL", "no layers can be joined");
      if (this.#mayJoin(best, pair.with)) {
        this.#join(best, pair.with);
        return;
      }
      // Units joined meanwhile lie between these two.
      this.#pairs[best] = this.#cheapest(best);
    }
  }

  /** Dependencies first; among others, first those of the previous image in its order. */
  inOrder(): Unit[] {
    const units = this.#units.filter((each) => each !== undefined);
    const byPlace = [...units.keys()].sort((a, b) => {
      const [one, other] = [units[a], units[b]];
      const places = (one?.place ?? 0) - (other?.place ?? 0);
      return places || (one?.parts[0]?.order ?? 0) - (other?.parts[0]?.order ?? 0);
    });
    const rank: number[] = [];
    for (const [at, index] of byPlace.entries()) rank[index] = at;
    const order = dependencyOrder(needsOf(this.#specs, units), (at) => rank[at] ?? 0);
    return order.flatMap((at) => units[at] ?? []);
  }

  #bits(sets: readonly BitSet[], at: number): BitSet {
    return sets[at] ?? new BitSet(0);
  }

  // No unit may lie between the two: it would have to come before and after the joined one.
  #mayJoin(a: number, b: number): boolean {
    const [belowA, belowB] = [this.#bits(this.#below, a), this.#bits(this.#below, b)];
    if (belowA.has(b)) return !belowA.meets(this.#bits(this.#above, b));
    if (belowB.has(a)) return !belowB.meets(this.#bits(this.#above, a));
    return true;
  }

  // What joining two units costs; infinite if that is more than `most`.
  #cost(a: Unit, b: Unit, most = Number.POSITIVE_INFINITY): number {
    const [countA, countB] = [a.closure.count, b.closure.count];
    const fixed = UPDATES * (a.kept + b.kept + a.rigid + b.rigid) - countA * a.size - countB * b.size;
    // Most pairs are ruled out without counting what they have in common.
    if (Math.max(countA, countB) * (a.size + b.size) + fixed > most) return Number.POSITIVE_INFINITY;
    return a.closure.countWith(b.closure) * (a.size + b.size) + fixed;
  }

  #cheapest(at: number): Pair | undefined {
    const unit = this.#units[at];
    if (unit === undefined) return undefined;
    let best: Pair | undefined;
    for (let other = at + 1; other < this.#units.length; other++) {
      const second = this.#units[other];
      if (second === undefined) continue;
      const cost = this.#cost(unit, second, best?.cost);
      if ((best === undefined || cost < best.cost) && this.#mayJoin(at, other)) best = { cost, with: other };
    }
    return best;
  }

  #join(a: number, b: number): void {
    const [one, other] = [this.#units[a], this.#units[b]];
    if (one === undefined || other === undefined) return;
    // Paths between two halves lead through them only, so any order of all parts is right for these.
    one.parts = [...one.parts, ...other.parts].sort((first, second) => first.order - second.order);
    one.members = [...one.members, ...other.members];
    one.closure.addAll(other.closure);
    one.size += other.size;
    // Bytes that are re-sent now need not be counted again, nor those that are compressed again.
    one.kept = 0;
    one.rigid = 0;
    one.place = Math.min(one.place, other.place);
    this.#units[b] = undefined;
    this.#pairs[b] = undefined;
    this.count--;
    this.#link(this.#below, this.#above, a, b);
    this.#link(this.#above, this.#below, a, b);
    for (let at = 0; at < b; at++) {
      const unit = this.#units[at];
      const pair = this.#pairs[at];
      if (unit === undefined) continue;
      if (at === a || pair?.with === a || pair?.with === b) this.#pairs[at] = this.#cheapest(at);
      else if (at < a) {
        const cost = this.#cost(unit, one, pair?.cost);
        const isBetter = pair === undefined || cost < pair.cost || (cost === pair.cost && a < pair.with);
        if (isBetter && this.#mayJoin(at, a)) this.#pairs[at] = { cost, with: a };
      }
    }
  }

  // Gives the joined unit what both halves lead to, and passes it on to those that lead to it.
  #link(forward: readonly BitSet[], back: readonly BitSet[], a: number, b: number): void {
    const joined = this.#bits(forward, a);
    joined.addAll(this.#bits(forward, b));
    joined.delete(a);
    joined.delete(b);
    const leading = new BitSet(this.#units.length);
    leading.addAll(this.#bits(back, a));
    leading.addAll(this.#bits(back, b));
    for (const at of leading) {
      if (at === a || at === b) continue;
      const set = this.#bits(forward, at);
      set.addAll(joined);
      set.add(a);
      set.delete(b);
    }
  }
}
