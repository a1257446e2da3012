// Benchmarks installing an invented store from a registry on loopback: stave into an empty store and into a full one,
// `tar -xzf` of the same layers, two at a time, and real Spack if available, in one run.
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Store } from "../../lib/spack/store/store.ts";
import { systemClock } from "../../lib/util/time.ts";
import { makeStore } from "../make-store.ts";
import { type Candidate, measure } from "./measure.ts";
import { freePort, registryKinds, Server } from "./server.ts";
import { type SpackPeer, spackPeer } from "./spack.ts";
import { commandTable, type Table } from "./table.ts";

const SIZE = { bytes: 1200e6, files: 46_000, specs: 48, seed: 1 };
const ROUNDS = 3;
const TAR = "tar -xzf, two at a time";
// Long, because strings in programs cannot grow.
const ROOT = `/opt/software${"/__spack_path_placeholder__".repeat(4)}`;

/** Creates and pushes a store of `scale` times the usual size, installs it, and returns the table. */
export async function benchInstall(scratch: string, stave: string, scale: number): Promise<Table[]> {
  const sysroot = join(scratch, "built");
  const size = { ...SIZE, bytes: SIZE.bytes * scale, files: SIZE.files * scale };
  const made = makeStore(`${sysroot}${ROOT}`, { ...size, root: ROOT });
  const store = await Store.open(ROOT, { clock: systemClock, sysroot });
  const installed = [...store.records()].filter((record) => record.installed && record.node.external === undefined);
  const [kind = "stave serve"] = registryKinds();
  const server = new Server(kind, await freePort(), scratch, stave);
  const cache = `oci+http://${server.host}/bench/install`;
  const env = { HOME: join(scratch, "home"), XDG_CACHE_HOME: join(scratch, "cache"), SPACK_ROOT: "" };
  const specs = installed.map(({ node }) => `/${node.hash}`);
  try {
    await server.restart();
    const from = ["--sysroot", sysroot, "--store", ROOT, "--no-env", "--unsigned", "--update-index", "-q"];
    const pushed = [stave, "push", cache, ...from, "--compression", "gzip", ...specs];
    execFileSync(process.execPath, pushed, { env: { ...process.env, ...env }, stdio: ["ignore", "ignore", "inherit"] });
    const to = fresh(scratch, "stave");
    const install = [
      process.execPath,
      stave,
      "install",
      cache,
      "--no-env",
      "--unsigned",
      "--otherarch",
      "-q",
      ...specs,
    ];
    const command = (round: number): string[] => [...install, "--store", to(round)];
    const forget = async (): Promise<void> => rmSync(env.XDG_CACHE_HOME, { recursive: true, force: true });
    const candidates: Candidate[] = [
      { name: `stave from ${kind}`, env, command, prepare: (round) => written(to(round)).then(forget) },
      { name: "stave, all installed", env, command },
      tarAlone(server.gzipBlobs(), fresh(scratch, "tar")),
    ];
    const root = fresh(scratch, "spack");
    const packages = [...store.database.graph.nodes()].map(({ name }) => name);
    const spack = spackPeer({ scratch, root: root(0), packages, mirror: cache });
    const files = installed.map(({ node }) => `${sysroot}${store.prefixOf(node)}/.spack/spec.json`);
    if (spack) candidates.push(spackInstall(spack, root, kind, files));
    const figures = await measure(candidates, ROUNDS, 0);
    const what = `${made.specs} specs, ${(made.bytes / 1e6).toFixed(0)} MB in ${made.files} files`;
    return [commandTable(`${what}${spack ? `, Spack ${spack.version}` : ""}`, figures, { bases: [TAR, "Spack "] })];
  } finally {
    await server.stop();
  }
}

type Place = (round: number) => string;

// Each round uses a new folder: ext4 skips the inodes of what was removed in the last minute, one by one.
const fresh =
  (scratch: string, name: string): Place =>
  (round) =>
    join(scratch, `${name}-${round}`);

// Flush earlier writes to disk before measuring, so that no command waits for another one's pages.
async function written(folder: string): Promise<void> {
  mkdirSync(folder);
  execFileSync("sync");
}

function tarAlone(layers: readonly string[], to: Place): Candidate {
  const all = `to=$1; shift; printf '%s\n' "$@" | xargs -P 2 -I{} tar -xzf {} -C "$to"`;
  return {
    name: TAR,
    command: (round) => ["sh", "-c", all, "sh", to(round), ...layers],
    prepare: (round) => written(to(round)),
  };
}

function spackInstall({ command, env }: SpackPeer, root: Place, kind: string, files: string[]): Candidate {
  const args = ["install", "--cache-only", "--no-check-signature", ...files];
  const into = (round: number): string[] => ["-c", `config:install_tree:root:${root(round)}`];
  return {
    name: `Spack from ${kind}`,
    env,
    command: (round) => command("-c", "concretizer:unify:false", ...into(round), ...args),
    prepare: (round) => written(root(round)),
  };
}
