// Remembers what `run` found out, so that the same run later needs neither a cache nor the database of the store.
import { createHash } from "node:crypto";
import * as z from "zod";
import type { EnvModification } from "../../spack/environment/env-modifications.ts";
import type { DiskCache } from "../../util/disk-cache.ts";
import { kindAt } from "../../util/inspect-path.ts";

/** What a run needs, if everything is installed. */
export interface RememberedRun {
  /** The DAG hashes of the specs that are used. */
  readonly specs: readonly string[];
  /** The names and versions of these specs. */
  readonly names: readonly string[];
  /** The prefixes that must be there. */
  readonly prefixes: readonly string[];
  readonly modifications: readonly EnvModification[];
}

const modification = z.union([
  z.strictObject({ op: z.literal("set"), name: z.string(), value: z.string() }),
  z.strictObject({ op: z.literal("unset"), name: z.string() }),
  z.strictObject({
    op: z.enum([
      ...(["prepend-path", "append-path", "remove-path", "remove-first-path", "remove-last-path"] as const),
      ...(["append-flags", "remove-flags"] as const),
    ]),
    name: z.string(),
    value: z.string(),
    separator: z.string(),
  }),
  z.strictObject({
    op: z.enum(["prune-duplicate-paths", "deprioritize-system-paths"]),
    name: z.string(),
    separator: z.string(),
  }),
]);
const schema = z.strictObject({
  specs: z.array(z.string()),
  names: z.array(z.string()),
  prefixes: z.array(z.string()),
  modifications: z.array(modification),
});

const KIND = "run";

/** The most runs that are considered at once. */
const MOST_RUNS = 10_000;

/** Remembers runs by what was asked for, so that the next one needs neither a cache nor the store's database. */
export class RunMemory {
  readonly #memory: DiskCache;
  readonly #key: string;

  /** `asked` is everything that the answer depends on. */
  constructor(memory: DiskCache, asked: unknown) {
    this.#memory = memory;
    this.#key = createHash("sha256").update(JSON.stringify(asked)).digest("hex");
  }

  /** The runs that were started since a time in milliseconds, whatever was asked for. */
  static recent(memory: DiskCache, since: number): RememberedRun[] {
    return memory.recent(KIND, since, MOST_RUNS).flatMap((bytes) => {
      try {
        return [schema.parse(JSON.parse(bytes.toString("utf8")))];
      } catch {
        // An entry of another version is no longer used.
        return [];
      }
    });
  }

  /** The run, if it is remembered and all its prefixes are there. */
  get(): RememberedRun | undefined {
    const bytes = this.#memory.get(KIND, this.#key);
    if (bytes === undefined) return undefined;
    try {
      const run = schema.parse(JSON.parse(bytes.toString("utf8")));
      return run.prefixes.every((prefix) => kindAt(prefix, undefined) === "folder") ? run : undefined;
    } catch {
      return undefined;
    }
  }

  /** The folder that keeps runs from being remembered because others may change it; undefined if there is none. */
  get foreignFolder(): string | undefined {
    return this.#memory.foreignFolder(KIND, this.#key);
  }

  /** Remembers a run; does nothing if that fails. */
  set(run: RememberedRun): void {
    this.#memory.set(KIND, this.#key, Buffer.from(JSON.stringify(run)));
  }
}
