// Remembers an answer together with everything that decided it: files, folders and variables. While all of these are as
// they were, the same question needs no configuration to be read.
import type { DiskCache } from "./disk-cache.ts";
import { areUnchanged, type FileStamps } from "./file-stamps.ts";
import { isRecord, parsed } from "./json-entry.ts";

/** An answer, and what decided it. */
export interface RememberedAnswer {
  readonly answer: string;
  /** Files and folders, present or absent. */
  readonly files: FileStamps;
  /** Variables of the environment; null for absent ones. */
  readonly variables: Readonly<Record<string, string | null>>;
  /** Until when it is valid, in milliseconds since the epoch; null without an end. */
  readonly until: number | null;
}

/** A question: its kind, and the key among the questions of this kind. */
export interface Question {
  readonly memory: DiskCache;
  readonly kind: string;
  readonly key: string;
}

/** The answer; undefined unless everything that decided it is unchanged. */
export function recallAnswer(
  { memory, kind, key }: Question,
  { env, now }: { readonly env: Readonly<Record<string, string | undefined>>; readonly now: number },
): string | undefined {
  const found = parsed(memory.get(kind, key));
  if (!isAnswer(found)) return undefined;
  const { answer, files, variables, until } = found;
  if (until !== null && now >= until) return undefined;
  if (Object.entries(variables).some(([name, value]) => (env[name] ?? null) !== value)) return undefined;
  return areUnchanged(files) ? answer : undefined;
}

/** Remembers an answer; does nothing if that fails. */
export function rememberAnswer({ memory, kind, key }: Question, answer: RememberedAnswer): void {
  memory.set(kind, key, Buffer.from(JSON.stringify(answer)));
}

function isAnswer(value: unknown): value is RememberedAnswer {
  if (!isRecord(value)) return false;
  const { answer, files, variables, until } = value;
  if (!isText(answer) || !(until === null || typeof until === "number")) return false;
  if (!Array.isArray(files) || !isRecord(variables)) return false;
  const isStamp = (one: unknown): boolean => Array.isArray(one) && one.length === 2 && one.every(isText);
  return files.every(isStamp) && Object.values(variables).every((one) => one === null || isText(one));
}

const isText = (value: unknown): value is string => typeof value === "string";
