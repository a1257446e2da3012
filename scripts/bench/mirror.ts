// Benchmarks a mirror in a folder: pushing an invented store to it and installing from it, beside real Spack if there.
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Store } from "../../lib/spack/store/store.ts";
import { systemClock } from "../../lib/util/time.ts";
import { makeStore } from "../make-store.ts";
import { type Candidate, measure } from "./measure.ts";
import { type SpackPeer, spackPeer } from "./spack.ts";
import { commandTable, type Table } from "./table.ts";

const SIZE = { bytes: 1200e6, files: 46_000, specs: 48, seed: 1 };
const ROUNDS = 3;

/** Creates a store of `scale` times the usual size, pushes it, and installs what was pushed; returns the tables. */
export async function benchMirror(scratch: string, stave: string, scale: number): Promise<Table[]> {
  // Strings in programs cannot grow, and Spack accepts no root of more than 127 characters.
  const root = join(scratch, `store${"/__spack_path_placeholder__".repeat(2)}`);
  const made = makeStore(root, { ...SIZE, bytes: SIZE.bytes * scale, files: SIZE.files * scale });
  const store = await Store.open(root, { clock: systemClock });
  const installed = [...store.records()].filter((record) => record.installed && record.node.external === undefined);
  const specs = installed.map(({ node }) => `/${node.hash}`);
  const packages = [...store.database.graph.nodes()].map(({ name }) => name);
  const env = { HOME: join(scratch, "home"), XDG_CACHE_HOME: join(scratch, "cache"), SPACK_ROOT: "" };
  const mirror = (name: string, round: number): string => join(scratch, `${name}-mirror-${round}`);
  const into = (name: string, round: number): string => join(scratch, `${name}-${round}`);
  const spack = spackPeer({ scratch, root, packages, mirror: "file:///unused" });
  const run = [process.execPath, stave];
  const flags = ["--no-env", "--unsigned", "-q"];
  const pushes: Candidate[] = [
    {
      name: "stave push",
      env,
      command: (round) => [...run, "push", `file://${mirror("stave", round)}`, "--store", root, ...flags, ...specs],
      prepare: async () => {
        rmSync(env.XDG_CACHE_HOME, { recursive: true, force: true });
        execFileSync("sync");
      },
    },
  ];
  if (spack) pushes.push(spackPush(spack, (round) => `file://${mirror("spack", round)}`, specs));
  const what = `${made.specs} specs, ${(made.bytes / 1e6).toFixed(0)} MB in ${made.files} files${spack ? `, Spack ${spack.version}` : ""}`;
  const pushed = await measure(pushes, ROUNDS, 0);
  const from = `file://${mirror("stave", 1)}`;
  execFileSync(process.execPath, [stave, "index", from, "--no-env", "-q"], { env: { ...process.env, ...env } });
  const installs: Candidate[] = [
    {
      name: "stave install",
      env,
      command: (round) => [...run, "install", from, "--otherarch", ...flags, ...specs, "--store", into("stave", round)],
      prepare: (round) => written(into("stave", round)),
    },
  ];
  const files = installed.map(({ node }) => join(store.prefixOf(node), ".spack/spec.json"));
  if (spack) installs.push(spackInstall(spack, from, (round) => into("spack", round), files));
  const placed = await measure(installs, ROUNDS, 0);
  return [
    commandTable(`push to a folder: ${what}`, pushed, { bases: ["Spack "] }),
    commandTable(`install from a folder: ${what}`, placed, { bases: ["Spack "] }),
  ];
}

// Flush earlier writes to disk before measuring, so that no command waits for another one's pages.
async function written(folder: string): Promise<void> {
  mkdirSync(folder);
  execFileSync("sync");
}

function spackPush({ command, env }: SpackPeer, url: (round: number) => string, specs: readonly string[]): Candidate {
  return {
    name: "Spack buildcache push",
    env,
    command: (round) => command("buildcache", "push", "--unsigned", url(round), ...specs),
    prepare: async () => void execFileSync("sync"),
  };
}

function spackInstall(
  { command, env }: SpackPeer,
  url: string,
  root: (round: number) => string,
  files: readonly string[],
): Candidate {
  const args = ["install", "--cache-only", "--no-check-signature", ...files];
  const settings = (round: number): string[] => [
    ...["-c", "concretizer:unify:false", "-c", `config:install_tree:root:${root(round)}`],
    ...["-c", `mirrors:bench:url:'${url}'`],
  ];
  return {
    name: "Spack install",
    env,
    command: (round) => command(...settings(round), ...args),
    prepare: (round) => written(root(round)),
  };
}
