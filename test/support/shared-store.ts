// A store that stave and real Spack both use, with the specs of the golden cache.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { stave } from "./cli.ts";
import { golden } from "./golden.ts";
import { installation, isOld, skip, spackEnv, spackScope } from "./spack.ts";

/** The cache to install from. */
export const CACHE: string = `oci-layout:${golden("spack-1.2/plain.oci")}`;
/** Why tests of a shared store are skipped; false if they are not. */
export const skipShared: string | false = skip || (isOld && "the specs are of Spack 1");

/** A store, and what uses it. */
export interface SharedStore {
  /** A folder for files of the test; the store is in it. */
  readonly work: string;
  /** Runs stave with the store. Returns what it prints; a failure throws. */
  stave(...args: string[]): Promise<string>;
  /** Runs Spack with the store. Returns what it prints; a failure throws. */
  spack(...args: string[]): string;
}

/** Makes an empty store with more files in Spack's configuration, runs a test on it, and removes it. */
export async function withSharedStore(
  test: (store: SharedStore) => Promise<void>,
  files: (work: string) => Readonly<Record<string, string>> = () => ({}),
): Promise<void> {
  // The binaries of the cache fit only a short path.
  const work = mkdtempSync("/tmp/");
  try {
    const root = join(work, "s");
    const scope = spackScope(root, files(work));
    await test({
      work,
      stave: async (...args) => {
        const [end, own] = [args.indexOf("--"), ["--store", root, "--no-env"]];
        const words = end < 0 ? [...args, ...own] : args.toSpliced(end, 0, ...own);
        const ran = await stave(words, { cwd: work, env: { HOME: work, XDG_CACHE_HOME: "", SPACK_ROOT: "" } });
        assert.equal(ran.status, 0, `${args.join(" ")}: ${ran.stderr}`);
        return ran.stdout;
      },
      spack: (...args) =>
        execFileSync(join(installation?.root ?? "", "bin/spack"), ["-C", scope, ...args], {
          encoding: "utf8",
          env: spackEnv(work),
        }),
    });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
