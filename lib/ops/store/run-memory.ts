// Remembers what `run` found out, so that the same run later needs neither a cache nor the database of the store.
import { createHash } from "node:crypto";
import type { EnvModification } from "../../spack/environment/env-modifications.ts";
import type { DiskCache } from "../../util/disk-cache.ts";
import { kindAt } from "../../util/inspect-path.ts";
import { isRecord, isTexts, parsed } from "../../util/json-entry.ts";
import type { Question } from "../../util/remembered-answer.ts";

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

/** The members of each kind of modification besides `op` and `name`; all are texts. */
const MEMBERS: Readonly<Record<EnvModification["op"], readonly string[]>> = {
  set: ["value"],
  unset: [],
  "prepend-path": ["value", "separator"],
  "append-path": ["value", "separator"],
  "remove-path": ["value", "separator"],
  "remove-first-path": ["value", "separator"],
  "remove-last-path": ["value", "separator"],
  "append-flags": ["value", "separator"],
  "remove-flags": ["value", "separator"],
  "prune-duplicate-paths": ["separator"],
  "deprioritize-system-paths": ["separator"],
};

// Checked by hand: loading a schema library takes longer than all else that a remembered run needs.
function isModification(value: unknown): value is EnvModification {
  if (!isRecord(value)) return false;
  const { op } = value;
  if (typeof op !== "string" || !Object.hasOwn(MEMBERS, op)) return false;
  const members = ["op", "name", ...MEMBERS[op as EnvModification["op"]]];
  return Object.keys(value).length === members.length && members.every((name) => typeof value[name] === "string");
}

/** Reads an entry; undefined for one that is damaged, or of another version. */
function parseRun(bytes: Buffer | undefined): RememberedRun | undefined {
  const value = parsed(bytes);
  if (!isRecord(value)) return undefined;
  const { specs, names, prefixes, modifications } = value;
  if (!isTexts(specs) || !isTexts(names) || !isTexts(prefixes) || !Array.isArray(modifications)) return undefined;
  return modifications.every(isModification) ? { specs, names, prefixes, modifications } : undefined;
}

const KIND = "run";

/** The most runs that are considered at once. */
const MOST_RUNS = 10_000;

/** Which run a command line means, as a question; the answer is the key of the run. */
export const runQuestion = (memory: DiskCache, key: string): Question => ({ memory, kind: "run-line", key });

/** Remembers runs by what was asked for, so that the next one needs neither a cache nor the store's database. */
export class RunMemory {
  readonly #memory: DiskCache;
  /** The key of the run in the memory. */
  readonly key: string;

  constructor(memory: DiskCache, key: string) {
    this.#memory = memory;
    this.key = key;
  }

  /** The key of a run; `asked` is everything that decides what is run. */
  static keyOf(asked: unknown): string {
    return createHash("sha256").update(JSON.stringify(asked)).digest("hex");
  }

  /** The runs that were started since a time in milliseconds, whatever was asked for. */
  static recent(memory: DiskCache, since: number): RememberedRun[] {
    return memory.recent(KIND, since, MOST_RUNS).flatMap((bytes) => parseRun(bytes) ?? []);
  }

  /** The run, if it is remembered and all its prefixes are there. */
  get(): RememberedRun | undefined {
    const run = parseRun(this.#memory.get(KIND, this.key));
    return run?.prefixes.every((prefix) => kindAt(prefix, undefined) === "folder") ? run : undefined;
  }

  /** The folder that keeps runs from being remembered because others may change it; undefined if there is none. */
  get foreignFolder(): string | undefined {
    return this.#memory.foreignFolder(KIND, this.key);
  }

  /** Remembers a run; does nothing if that fails. */
  set(run: RememberedRun): void {
    this.#memory.set(KIND, this.key, Buffer.from(JSON.stringify(run)));
  }
}
