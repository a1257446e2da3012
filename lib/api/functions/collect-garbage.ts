// `gc` and `planGc`: remove installed specs that nothing needs.
import { type GcOptions, type GcReport, gc as gcAll, planGc as planAll } from "../../ops/store/gc.ts";
import type { StoreLocks } from "../../store/locks.ts";
import { recoverStore } from "../../store/recover.ts";
import { gcOptions } from "../from-spack/gc-roots.ts";
import { checkOptions, checkText } from "./check-options.ts";
import { COMMON, type CommonOptions, surroundingsOf } from "./common.ts";
import { SPACK, type SpackOptions, spackFiles } from "./open-cache.ts";

/** What stays. */
export interface CollectOptions extends SpackOptions, Pick<CommonOptions, "signal" | "surroundings" | "onProgress"> {
  /** Keep what was installed within this time, in milliseconds. Default: a day. */
  readonly grace?: number | undefined;
  /** Keep what `stave run` and `stave shell` have used within this time, in milliseconds. Default: 30 days. */
  readonly keepRuns?: number | undefined;
  /** Also keep what the kept specs were built with. */
  readonly keepBuildDependencies?: boolean | undefined;
}

const DAY = 86_400_000;

/**
 * Removes the specs of a store that no root needs, as `stave gc` does: dependents first, never what another process has
 * locked. Throws NOT_FOUND without a store, PARTIAL if prefixes could not be deleted.
 */
export async function gc(store: string, options: CollectOptions = {}): Promise<GcReport> {
  return await withStore("gc", { store, options, changes: true }, async (all, locks) =>
    gcAll({ ...all, locks, clock: surroundingsOf(options).clock }),
  );
}

/** Reports what `gc` would do with the same arguments; changes nothing. */
export async function planGc(store: string, options: CollectOptions = {}): Promise<GcReport> {
  return await withStore("planGc", { store, options, changes: false }, (all) => Promise.resolve(planAll(all)));
}

interface Call {
  readonly store: string;
  readonly options: CollectOptions;
  readonly changes: boolean;
}

async function withStore(
  name: string,
  { store: root, options, changes }: Call,
  work: (all: GcOptions, locks: StoreLocks) => Promise<GcReport>,
): Promise<GcReport> {
  checkText(`${name}: the store`, root);
  const { signal, surroundings, onProgress } = COMMON;
  checkOptions(name, options, {
    ...{ ...SPACK, signal, surroundings, onProgress },
    ...{ grace: "count", keepRuns: "count", keepBuildDependencies: "boolean" },
  });
  options.signal?.throwIfAborted();
  const around = surroundingsOf(options);
  const files = spackFiles(options, around, root);
  const store = await files.store();
  await using locks = files.locks(store, (text) => options.onProgress?.({ type: "note", text }));
  if (changes) await recoverStore(store, locks, options.signal);
  const { grace = DAY, keepRuns = 30 * DAY, keepBuildDependencies = false, sysroot } = options;
  const choices = { files, around, grace, runs: keepRuns, sysroot, keepsBuildDependencies: keepBuildDependencies };
  return await work(await gcOptions(store, choices), locks);
}
