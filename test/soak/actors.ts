// The processes of the soak, and the disturbances they meet.
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Fault } from "../support/registry.ts";
import { SPACK_1 } from "../support/stores.ts";
import { type Kill, runStave } from "./command.ts";
import type { Cache, World } from "./world.ts";

const FAULTS: readonly Fault[] = [
  { status: 500 },
  { status: 503, headers: { "retry-after": "1" } },
  { status: 429, headers: { "retry-after": "1" } },
  { delay: 300 },
  "reset",
  { resetAfter: 100 },
  { truncate: 40 },
  "lost commit",
  "wrong content",
  "ignore range",
  { drip: 2 },
  "portal",
  "yes man",
  { status: 403 },
];
const NETWORK = ["--timeout", "5", "--connect-timeout", "5", "--retries", "3", "-q"];

/** The counters of a round. */
export interface Tally {
  operations: number;
  kills: number;
  full: number;
  faults: number;
  readonly statuses: Map<string, number>;
  readonly problems: string[];
}

type Random = () => number;
const pick = <T>(random: Random, items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;

/** Runs one command after the other until the end. */
export async function act(world: World, random: Random, until: number, tally: Tally, log: string): Promise<void> {
  while (Date.now() < until) {
    const kill: Kill | undefined =
      random() < 0.3
        ? { signal: random() < 0.5 ? "SIGKILL" : "SIGINT", after: Math.floor(random() ** 2 * 4000) }
        : undefined;
    const fileBlocks = !world.isOwnDisk && random() < 0.1 ? 4 : undefined;
    const scratch: string[] = [];
    const args = operation(world, random, scratch);
    const ended = await runStave(world, args, { kill, log, fileBlocks });
    for (const folder of scratch) rmSync(folder, { recursive: true, force: true });
    tally.operations++;
    if (kill) tally.kills++;
    if (fileBlocks !== undefined) tally.full++;
    const key = `${args[0]} ${ended.status ?? "killed"}`;
    tally.statuses.set(key, (tally.statuses.get(key) ?? 0) + 1);
    tally.problems.push(...ended.problems);
  }
}

function operation(world: World, random: Random, scratch: string[]): string[] {
  const cache = pick(random, world.caches);
  const other = pick(random, world.caches);
  const spec = pick(random, world.specs);
  const { at } = world;
  const dice = random();
  if (dice < 0.25)
    return ["push", cache.location, spec, ...world.source, ...NETWORK, ...(random() < 0.5 ? ["--update-index"] : [])];
  if (dice < 0.5)
    return [
      "install",
      cache.location,
      spec,
      ...at,
      ...NETWORK,
      "--mirror",
      other.location,
      ...(random() < 0.1 ? ["--force"] : []),
    ];
  if (dice < 0.65) return ["uninstall", spec, "-y", "-R", ...at, "-q"];
  if (dice < 0.75) return ["index", cache.location, ...NETWORK, ...(random() < 0.2 ? ["--full"] : [])];
  if (dice < 0.82) return ["copy", "--all-tags", cache.location, other.location, ...NETWORK];
  if (dice < 0.9) return ["verify", ...at, "-q"];
  if (dice < 0.95) return pruneArguments(world, cache, random, "10m");
  const tree = mkdtempSync(join(world.disk, "tree-"));
  scratch.push(tree);
  try {
    cpSync(join(world.untouched[0] ?? "", SPACK_1.root, "linux-x86_64"), tree, {
      recursive: true,
      verbatimSymlinks: true,
    });
  } catch {
    // On a full disk there is less to relocate.
  }
  return ["relocate", tree, "--from", SPACK_1.root, "--to", "/opt/q", "-q"];
}

/** The arguments that remove all specs except some. */
export function pruneArguments(world: World, cache: Cache, random: Random, grace: string): string[] {
  const list = join(world.work, `keep-${Math.floor(random() * 1e9)}`);
  writeFileSync(list, random() < 0.5 ? "" : "uwlohrquwwehihrnbieawl7jsmu7l2ww\n");
  return ["prune", cache.location, "--keeplist", list, "--grace", grace, "--yes", ...NETWORK];
}

// False if there is no space for it.
function append(file: string, size: number): boolean {
  try {
    writeFileSync(file, Buffer.alloc(size), { flag: "a" });
    return true;
  } catch {
    return false;
  }
}

/** Fills the disk now and then, and makes the registry fail, until the end. */
export async function disturb(world: World, random: Random, until: number, tally: Tally): Promise<void> {
  const filler = join(world.disk, "filler");
  const { rules } = world.registry;
  while (Date.now() < until) {
    if (random() < 0.5) {
      rules.splice(0, rules.length, {
        fault: pick(random, FAULTS),
        times: 1 + Math.floor(random() * 3),
        after: Math.floor(random() * 4),
      });
      tally.faults++;
    }
    if (world.isOwnDisk && random() < 0.15) {
      tally.full++;
      // Down to the last page: each write takes what is left.
      for (let size = 1 << 20; size >= 4096; ) if (!append(filler, size)) size >>= 1;
      await sleep(200 + random() * 1500);
      rmSync(filler, { force: true });
    }
    await sleep(random() * 600);
  }
  rules.length = 0;
  rmSync(filler, { force: true });
}
