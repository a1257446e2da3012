// Benchmarks the verbs that use a cache, at three sizes: invented caches behind `stave serve`, whose index lacks ten
// specs.
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { JOURNAL_NAME } from "../../lib/target/layout/layout-journal.ts";
import { writeCacheFolder } from "../make-cache.ts";
import { type Candidate, measure, median } from "./measure.ts";
import { freePort, Server } from "./server.ts";
import { commandTable, type Table } from "./table.ts";

const SIZES = [1000, 10_000, 50_000];
const MISSING = 10;
/** How many specs depend on each other: an image holds the DAG of its spec, here 50 kB of it. */
const STACK = 60;
const ENVIRONMENT = 500;
const ROUNDS = 3;
/** Above this number of specs, a full update is measured only once. */
const LARGE = 10_000;

/** Creates the caches, measures each verb in separate processes, and returns the tables. */
export async function benchCache(scratch: string, stave: string, scale: number): Promise<Table[]> {
  const tables: Table[] = [];
  const server = new Server("stave serve", await freePort(), scratch, stave);
  try {
    for (const size of SIZES) tables.push(await benchSize(Math.round(size * scale), { scratch, stave, server }));
  } finally {
    await server.stop();
  }
  return tables;
}

interface Place {
  scratch: string;
  stave: string;
  server: Server;
}

async function benchSize(specs: number, { scratch, stave, server }: Place): Promise<Table> {
  await server.restart();
  const folder = server.repository("cache");
  await writeCacheFolder(folder, { specs, missing: MISSING, allImages: true, stack: STACK, seed: 1 });
  const environment = join(scratch, `env-${specs}`);
  writeEnvironment(folder, environment);
  const where = `oci+http://${server.host}/cache`;
  const undo = restorer(folder);
  const memory = join(scratch, "cache-folder");
  const env = { HOME: join(scratch, "home"), XDG_CACHE_HOME: memory, SPACK_ROOT: "", SPACK_ENV: "" };
  const requests = new Map<string, number[]>();
  const candidate = (name: string, args: string[], makeReady: () => void | Promise<void> = () => {}): Candidate => {
    let before = 0;
    return {
      name,
      env,
      command: () => [process.execPath, stave, ...args],
      prepare: async () => {
        await makeReady();
        before = server.requests();
      },
      finish: () => {
        requests.set(name, [...(requests.get(name) ?? []), server.requests() - before]);
      },
    };
  };
  const forget = (): void => rmSync(memory, { recursive: true, force: true });
  const restore = async (): Promise<void> => {
    await undo();
    // `stave serve` reads index.json again with the next request: now, not while it is measured.
    await fetch(`http://${server.host}/v2/cache/tags/list?n=1`);
  };
  const restoreAndForget = async (): Promise<void> => {
    await restore();
    forget();
  };
  const restoreAndRead = async (): Promise<void> => {
    await restore();
    execFileSync(process.execPath, [stave, "list", where, "-a", "hdf5"], {
      env: { ...process.env, ...env },
      stdio: "ignore",
    });
  };
  const figures = await measure(
    [
      { name: "node alone", command: () => [process.execPath, "-e", "0"] },
      candidate("list hdf5, the first time", ["list", where, "-a", "hdf5"], forget),
      candidate("list hdf5", ["list", where, "-a", "hdf5"]),
      candidate("list", ["list", where, "-a"]),
      candidate(`check of ${ENVIRONMENT} specs`, ["check", "-e", environment, "-m", where]),
      candidate(`index, ${MISSING} new, the first time`, ["index", where], restoreAndForget),
      candidate(`index, ${MISSING} new`, ["index", where], restoreAndRead),
    ],
    ROUNDS,
  );
  const full = [candidate("index --full", ["index", "--full", where], forget)];
  figures.push(...(await measure(full, specs > LARGE ? 1 : ROUNDS, 0)));
  rmSync(folder, { recursive: true });
  return commandTable(`a cache of ${specs} specs`, figures, {
    received: (name) => {
      const asked = requests.get(name);
      return asked && { requests: median(asked) };
    },
  });
}

/** Restores what an update of the index changed. */
function restorer(folder: string): () => Promise<void> {
  const blobs = join(folder, "blobs/sha256");
  const present = new Set(readdirSync(blobs));
  const [index, kept] = [join(folder, "index.json"), `${folder}.index.json`];
  copyFileSync(index, kept);
  return async () => {
    // Until the server has written its journal to index.json.
    while (existsSync(join(folder, JOURNAL_NAME))) await setTimeout(50);
    copyFileSync(kept, index);
    for (const name of readdirSync(blobs)) if (!present.has(name)) rmSync(join(blobs, name));
  };
}

/** A lock file of the first specs of the cache's index. */
function writeEnvironment(folder: string, environment: string): void {
  const document = (digest: string) =>
    JSON.parse(readFileSync(join(folder, "blobs", digest.replace(":", "/")), "utf8"));
  const { manifests } = JSON.parse(readFileSync(join(folder, "index.json"), "utf8"));
  const index = manifests.find(
    (entry: { annotations: Record<string, string> }) =>
      entry.annotations["org.opencontainers.image.ref.name"] === "index.spack",
  );
  const { installs } = document(document(index.digest).layers[0].digest).database;
  const concrete = new Map<string, { name: string; hash: string }>();
  const add = (hash: string): void => {
    if (concrete.has(hash)) return;
    const { spec } = installs[hash];
    concrete.set(hash, spec);
    for (const dependency of spec.dependencies ?? []) add(dependency.hash);
  };
  for (const hash of Object.keys(installs)) if (concrete.size < ENVIRONMENT) add(hash);
  mkdirSync(environment, { recursive: true });
  const lock = {
    _meta: { "file-type": "spack-lockfile", "lockfile-version": 6, "specfile-version": 5 },
    roots: Array.from(concrete, ([hash, { name }]) => ({ hash, spec: name })),
    concrete_specs: Object.fromEntries(concrete),
  };
  writeFileSync(join(environment, "spack.lock"), JSON.stringify(lock));
  writeFileSync(join(environment, "spack.yaml"), "spack:\n  specs: []\n");
}
