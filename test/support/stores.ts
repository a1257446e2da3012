// Copies of golden stores that a test may change, and their locks.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { LockSettings } from "../../lib/spack/config/settings.ts";
import { LEGACY_PROJECTIONS } from "../../lib/spack/store/projection.ts";
import { Store, type StoreOptions } from "../../lib/spack/store/store.ts";
import { StoreLocks } from "../../lib/store/locks.ts";
import { systemClock } from "../../lib/util/time.ts";
import { unpackGolden } from "./golden.ts";
import { temporaryFolder } from "./tree.ts";

/** One of the golden stores. */
export interface GoldenStore {
  readonly name: string;
  readonly folder: string;
  readonly root: string;
  readonly version: number;
  readonly explicit: readonly string[];
}

export const SPACK_1: GoldenStore = {
  name: "spack-1.2/store",
  folder: "store",
  root: "/opt/harbor/store",
  version: 8,
  explicit: ["hull", "fleet"],
};
export const SPACK_0: GoldenStore = {
  name: "spack-0.23/store",
  folder: "store23",
  root: "/opt/harbor/store23",
  version: 7,
  explicit: ["fleet"],
};
export const FROM_CACHE: GoldenStore = {
  ...SPACK_1,
  name: "spack-1.2/installed-at-opt-q-st",
  folder: "st",
  root: "/opt/q/st",
};

export const LOCKS: LockSettings = { isEnabled: true, databaseTimeout: 60, packageTimeout: undefined };

/** A copy of a golden store at its recorded path below a new folder. */
export async function copyOf(golden: GoldenStore): Promise<string> {
  const sysroot = temporaryFolder();
  const place = join(sysroot, golden.root);
  mkdirSync(dirname(place), { recursive: true });
  cpSync(join(await unpackGolden(golden.name), golden.folder), place, { recursive: true, verbatimSymlinks: true });
  return sysroot;
}

/** Opens a store below a sysroot. */
export function openStore(
  golden: Pick<GoldenStore, "root" | "version">,
  sysroot: string,
  more: Partial<StoreOptions> = {},
): Promise<Store> {
  const layout = golden.version === 7 ? { layout: { projections: LEGACY_PROJECTIONS, hashLength: undefined } } : {};
  return Store.open(golden.root, { clock: systemClock, sysroot, mayBeEmpty: true, ...layout, ...more });
}

/** The real locks of a store. */
export function locksOf(store: Store, settings: Partial<LockSettings> = {}): StoreLocks {
  return new StoreLocks(store, { clock: systemClock, settings: { ...LOCKS, ...settings } });
}

/** The path of a file of the database. */
export function databaseFile(golden: Pick<GoldenStore, "root">, sysroot: string, name = "index.json"): string {
  return join(sysroot, golden.root, ".spack-db", name);
}

type Installs = Record<string, Record<string, unknown> & { spec: { name: string } }>;

/** The records of an index, as JSON. */
export function installsOf(file: string): Installs {
  return JSON.parse(readFileSync(file, "utf8")).database.installs;
}

/** Replaces an index with an empty one. */
export function emptyIndex(golden: GoldenStore, sysroot: string): void {
  writeFileSync(databaseFile(golden, sysroot), `{"database":{"version":"${golden.version}","installs":{}}}`);
}
