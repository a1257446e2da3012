// The verbs that know a cache, at three sizes: made-up caches in directories, whose index lacks ten specs.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeCacheFolder } from "../make-cache.ts";
import { type Candidate, figuresTable, measure } from "./measure.ts";

const SIZES = [1000, 10_000, 50_000];
/** Made anew in whole only up to here: the images of more specs do not fit on small disks. */
const FULL = 1000;
const MISSING = 10;
const ENVIRONMENT = 500;
const ROUNDS = 3;

/** Makes the caches, measures each verb in processes of their own, and returns the tables as Markdown. */
export async function benchCache(scratch: string, stave: string): Promise<string> {
  const tables: string[] = [];
  for (const specs of SIZES) {
    const folder = join(scratch, `cache-${specs}`);
    const allImages = specs <= FULL;
    await writeCacheFolder(folder, { specs, missing: MISSING, allImages, seed: 1 });
    const environment = join(scratch, `env-${specs}`);
    writeEnvironment(folder, environment);
    const run = (...args: string[]): string[] => [process.execPath, stave, ...args];
    const where = `oci-layout:${folder}`;
    const restore = restorer(folder);
    const candidates: Candidate[] = [
      { name: "node alone", command: () => [process.execPath, "-e", "0"] },
      { name: `index, ${MISSING} new`, command: () => run("index", where), prepare: restore },
      { name: "list hdf5", command: () => run("list", where, "-a", "hdf5") },
      { name: "list", command: () => run("list", where, "-a") },
      { name: `check of ${ENVIRONMENT} specs`, command: () => run("check", "-e", environment, "-m", where) },
      ...(allImages ? [{ name: "index --full", command: () => run("index", "--full", where) }] : []),
    ];
    tables.push(figuresTable(`a cache of ${specs} specs`, await measure(candidates, ROUNDS)));
    rmSync(folder, { recursive: true });
  }
  return tables.join("\n");
}

/** Takes back what an update of the index has written. */
function restorer(folder: string): () => Promise<void> {
  const blobs = join(folder, "blobs/sha256");
  const present = new Set(readdirSync(blobs));
  const [index, kept] = [join(folder, "index.json"), join(folder, "..", "index.json.kept")];
  copyFileSync(index, kept);
  return async () => {
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
