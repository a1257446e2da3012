// Simulates how an environment changes, and counts the bytes that each way of grouping its specs into layers re-sends.
import { type BudgetSpec, type PreviousLayer, planBudget } from "../lib/image/budget.ts";
import { dice } from "./dice.ts";

/** What changes with each update. */
export type Change = "leaves" | "any" | "deep" | "grows";
export const CHANGES: readonly Change[] = ["leaves", "any", "deep", "grows"];

/** A way to group specs; `previous` is the image before. */
export type Grouping = (specs: readonly BudgetSpec[], budget: number, previous: readonly PreviousLayer[]) => string[][];

/** The ways that are compared; the first is the planner's. */
export const GROUPINGS: Readonly<Record<string, Grouping>> = {
  "cheapest pairs, aware of the previous image": (specs, budget, previous) => groups({ specs, budget, previous }),
  "cheapest pairs, without memory": (specs, budget) => groups({ specs, budget }),
  "equal parts in order": (specs, budget) => inEqualParts(specs, budget),
  "largest half alone, the rest by hash of the name": (specs, budget) => largestAlone(specs, budget),
  "one layer per spec (lower bound)": (specs) => specs.map(({ id }) => [id]),
};

const UPDATES = 30;

interface Package {
  readonly name: string;
  readonly size: number;
  readonly needs: readonly number[];
  version: number;
}

/** The bytes that 30 updates re-send. */
export function resent(grouping: Grouping, change: Change, specs: number, budget: number, seed: number): number {
  const random = dice(seed);
  const packages = makePackages(specs, random);
  let previous: PreviousLayer[] = [];
  let sent = 0;
  for (let update = 0; update <= UPDATES; update++) {
    if (update > 0) changeSome(packages, change, random);
    const now = specsOf(packages);
    const sizes = new Map(now.map(({ id, size }) => [id, size]));
    const before = new Set(previous.map(({ ids }) => ids.join(" ")));
    previous = grouping(now, budget, previous).map((ids) => ({
      ids,
      size: ids.reduce((sum, id) => sum + (sizes.get(id) ?? 0), 0),
    }));
    for (const { ids, size } of previous) if (update > 0 && !before.has(ids.join(" "))) sent += size;
  }
  return sent;
}

/** The specs of an environment with the shape of real ones: few are needed by most, and chains are long. */
export function makeSpecs(count: number, seed: number): BudgetSpec[] {
  return specsOf(makePackages(count, dice(seed)));
}

function makePackages(count: number, random: () => number): Package[] {
  const packages: Package[] = [];
  while (packages.length < count) packages.push(makePackage(packages.length, random));
  return packages;
}

function makePackage(at: number, random: () => number): Package {
  const needs = new Set<number>();
  const wanted = at === 0 ? 0 : Math.min(at, Math.floor(random() * 5) + 1);
  // Half of the edges lead to the few packages at the bottom, the others to any.
  while (needs.size < wanted)
    needs.add(Math.floor(random() < 0.5 ? Math.min(at, 12) * random() : at * (1 - random() ** 2)));
  const size = Math.round(60e3 * (40e6 / 60e3) ** random());
  return { name: `package-${Math.floor(random() * 1e9).toString(36)}-${at}`, size, needs: [...needs], version: 1 };
}

// A package's identity includes those of all that it needs, as a DAG hash does.
function specsOf(packages: readonly Package[]): BudgetSpec[] {
  const ids: string[] = [];
  return packages.map(({ name, size, needs, version }) => {
    const below = needs.map((need) => ids[need] ?? "");
    const id = `${name}@${version}/${digits([version, ...below].join())}`;
    ids.push(id);
    return { id, name, size, needs: below };
  });
}

// Two FNV hashes of 32 bits: short, and the same everywhere.
function digits(text: string): string {
  let [one, other] = [0x811c9dc5, 0x1234567];
  for (let at = 0; at < text.length; at++) {
    one = Math.imul(one ^ text.charCodeAt(at), 0x01000193);
    other = Math.imul(other ^ text.charCodeAt(at), 0x01000193);
  }
  return (one >>> 0).toString(36) + (other >>> 0).toString(36);
}

function changeSome(packages: Package[], change: Change, random: () => number): void {
  const dependents = packages.map(() => new Set<number>());
  for (let at = packages.length - 1; at >= 0; at--)
    for (const need of packages[at]?.needs ?? [])
      for (const other of [at, ...(dependents[at] ?? [])]) dependents[need]?.add(other);
  const candidates = packages.filter((_, at) => {
    const count = dependents[at]?.size ?? 0;
    if (change === "leaves") return count === 0;
    return change === "deep" ? count > packages.length / 20 : true;
  });
  const count = Math.floor(random() * 5) + 1;
  for (let n = 0; n < count; n++) {
    const changed = candidates[Math.floor(random() * candidates.length)];
    if (changed) changed.version++;
  }
  if (change === "grows") packages.push(makePackage(packages.length, random));
}

function groups(input: Parameters<typeof planBudget>[0]): string[][] {
  return planBudget(input).map((parts) => parts.flatMap(({ ids }) => ids));
}

function inEqualParts(specs: readonly BudgetSpec[], budget: number): string[][] {
  const total = specs.reduce((sum, { size }) => sum + size, 0);
  const parts: string[][] = [];
  let done = 0;
  for (const { id, size } of specs) {
    const part = Math.min(budget - 1, Math.floor((done / total) * budget));
    const ids = parts[part];
    if (ids === undefined) parts[part] = [id];
    else ids.push(id);
    done += size;
  }
  return parts.filter((ids) => ids !== undefined);
}

// Ignores that files of dependencies come first.
function largestAlone(specs: readonly BudgetSpec[], budget: number): string[][] {
  const bySize = specs.toSorted((a, b) => b.size - a.size);
  const alone = Math.floor(budget / 2);
  const rest = Map.groupBy(bySize.slice(alone), ({ name }) => Number.parseInt(digits(name), 36) % (budget - alone));
  return [...bySize.slice(0, alone).map(({ id }) => [id]), ...[...rest.values()].map((all) => all.map(({ id }) => id))];
}
