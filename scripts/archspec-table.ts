// Writes lib/spack/spec/archspec-targets.json from a clone of archspec's data
// (https://github.com/archspec/archspec-json): today's microarchitectures in archspec's order, and how earlier releases
// described those that changed since. The newest description may come from a release of archspec itself.
// usage: tsx scripts/archspec-table.ts <clone> [<microarchitectures.json>]
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const FILE = "cpu/microarchitectures.json";

/** A target in archspec's file. */
interface Entry {
  from: string | string[] | null;
  vendor: string;
  features: string[];
  generation?: number;
  cpupart?: string;
}

/** What Spack writes about a target, besides its name. */
interface Description {
  vendor: string;
  parents: string[];
  features: string;
  generation?: number;
  cpupart?: string;
}

const [, , clone, release] = process.argv;
if (clone === undefined) throw new Error("usage: tsx scripts/archspec-table.ts <clone> [<microarchitectures.json>]");

const git = (...args: string[]): string =>
  execFileSync("git", ["-C", clone, ...args], { encoding: "utf8", maxBuffer: 1 << 28 });

function table(text: string): Map<string, Entry> {
  const { microarchitectures } = JSON.parse(text) as {
    microarchitectures: Record<string, Entry>;
  };
  return new Map(Object.entries(microarchitectures));
}

const parentsOf = ({ from }: Entry): string[] => (typeof from === "string" ? [from] : (from ?? []));

function describe(entry: Entry): Description {
  return {
    vendor: entry.vendor,
    parents: parentsOf(entry),
    features: [...new Set(entry.features)].sort().join(" "),
    ...(entry.generation ? { generation: entry.generation } : {}),
    ...(entry.cpupart ? { cpupart: entry.cpupart } : {}),
  };
}

function familyOf(name: string, all: ReadonlyMap<string, Entry>): string {
  const entry = all.get(name);
  const [parent] = entry ? parentsOf(entry) : [];
  return parent === undefined ? name : familyOf(parent, all);
}

const commits = git("log", "--format=%H", "--", FILE).trim().split("\n");
const history = commits.map((commit) => git("show", `${commit}:${FILE}`));
if (release !== undefined) history.unshift(readFileSync(release, "utf8"));
const [newest = new Map<string, Entry>(), ...older] = history.map(table);

// Parents before children, the order of archspec's table; the first of equal candidates is the host's target.
const ordered = new Map<string, Entry>();
function place(name: string): void {
  const entry = newest.get(name);
  if (!entry || ordered.has(name)) return;
  for (const parent of parentsOf(entry)) place(parent);
  ordered.set(name, entry);
}
for (const name of newest.keys()) place(name);

const texts = new Map<string, Set<string>>(
  [...ordered].map(([name, entry]) => [name, new Set([JSON.stringify(describe(entry))])]),
);
for (const one of older)
  for (const [name, entry] of one)
    if (entry.vendor !== "generic") texts.get(name)?.add(JSON.stringify(describe(entry)));

const lines = [...texts].map(([name, [now = "", ...before]]) => {
  const known = { ...(JSON.parse(now) as Description), family: familyOf(name, ordered) };
  const earlier = before.map((text) => JSON.parse(text) as Description);
  return `${JSON.stringify(name)}: ${JSON.stringify(earlier.length > 0 ? { ...known, earlier } : known)}`;
});
writeFileSync(join(import.meta.dirname, "../lib/spack/spec/archspec-targets.json"), `{\n${lines.join(",\n")}\n}\n`);
