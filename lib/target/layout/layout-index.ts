// The index of an image layout directory: `index.json`, and a journal of changes not yet written to it. Reads cache
// what has not changed. Writes happen under a system lock, which a killed process releases; waiting changes are applied
// together.
//
// A short index.json is rewritten at each change, beside its place and then renamed, so that other programs always find
// a complete file. For a long one that would take longer with each tag. There a change is appended to the journal, and
// the journal is folded into index.json when no change has come for a moment, when it gets old or long, and on close. A
// fold renames the new index.json into place and then removes the journal; a kill in between does no harm, because
// applying the same changes again in the same order changes nothing.
import { type BigIntStats, constants, lstatSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { fileError, StaveError, systemCode } from "../../errors.ts";
import { emptyIndex, indexSchema, parseBySchema } from "../../oci/manifest.ts";
import { SingleFlight } from "../../util/limit.ts";
import { replaceWith } from "../../util/replace-file.ts";
import { createTemporary } from "../../util/temporary-file.ts";
import type { Clock } from "../../util/time.ts";
import { type Assignment, LayoutEditor, LayoutEntries } from "./layout-entries.ts";
import { JOURNAL_NAME, LayoutJournal } from "./layout-journal.ts";
import { TEMPORARY_FOLDER, withListLock } from "./layout-presence.ts";

const INDEX_LIMIT = 512 * 1024 * 1024;
/** Maximum number of values of an index of that size. */
const VALUE_LIMIT = 20_000_000;
/** Maximum number of entries, as the schema of an index allows. */
const MAX_ENTRIES = 100_000;
/** An index.json of at most this many bytes is rewritten at each change. */
const SHORT = 64 * 1024;
/**
 * The journal is folded after this many milliseconds without a change, at this age in milliseconds, or at this size in
 * bytes.
 */
const FOLD_AFTER = 250;
const FOLD_AGE = 5000;
const FOLD_SIZE = 4 * 1024 * 1024;
/** How many entries are serialised at a time, so that a long list does not block the event loop. */
const SLICE = 2000;

/** Changes the entries; may throw to refuse, before it changes anything. */
export type Change = (editor: LayoutEditor) => void;

interface Waiting {
  change: Change;
  /** Requests that the journal be folded. */
  folds: boolean;
  resolve: () => void;
  reject: (error: unknown) => void;
}

// All objects of this process queue their changes to one file together.
const queues = new Map<string, { waiting: Waiting[]; isRunning: boolean }>();

/** The last state read: valid while index.json is the same file and the journal ends at the same offset. */
interface Known {
  /** Identifies the file: stave's changes create a new file; other programs change its time or size. */
  readonly key: string;
  /** The size of index.json in bytes. */
  readonly size: number;
  readonly entries: LayoutEntries;
  /** The offset up to which the journal is part of the entries, in bytes. */
  end: number;
}

/** The index of one directory. */
export class LayoutIndex {
  readonly directory: string;
  readonly #path: string;
  readonly #clock: Clock;
  readonly #journal: LayoutJournal;
  readonly #loads = new SingleFlight<Known>();
  #known: Known | undefined;
  /** Runs while the journal has lines of this process; it keeps the process alive until they are folded. */
  #foldTimer: NodeJS.Timeout | undefined;
  /** When the first line was written that is not folded yet, in milliseconds. */
  #unfoldedSince: number | undefined;

  constructor(directory: string, clock: Clock) {
    this.directory = directory;
    this.#path = join(directory, "index.json");
    this.#clock = clock;
    this.#journal = new LayoutJournal(join(directory, JOURNAL_NAME));
  }

  /** The current entries; the object changes with later reads. Throws CONTENT_INVALID if a file is malformed. */
  async read(): Promise<LayoutEntries> {
    return (await this.#read()).entries;
  }

  async #read(): Promise<Known> {
    for (;;) {
      // The order matters: if index.json is unchanged after the journal was read, no fold has happened in between.
      const end = this.#journal.size();
      const { key } = this.#identify();
      const known = this.#known;
      if (known?.key !== key || end < known.end) {
        const loaded = await this.#loads.run(`${key} ${end}`, () => this.#load());
        if (this.#identify().key !== loaded.key) continue;
        if (this.#known === known) this.#known = loaded;
        return loaded;
      }
      if (end === known.end) return known;
      const start = known.end;
      const more = await this.#journal.read(start);
      if (this.#identify().key !== key) continue;
      // Another reader may have been faster.
      if (known.end === start) {
        for (const assignment of more.assignments) known.entries.assign(assignment);
        known.end = more.end;
      }
      return known;
    }
  }

  // Synchronous: done with each request, for which a wait for the thread pool would cost more.
  #identify(): { key: string; size: number } {
    try {
      const stats = lstatSync(this.#path, { bigint: true, throwIfNoEntry: false });
      return stats === undefined ? { key: "none", size: 0 } : identityOf(stats);
    } catch (cause) {
      throw fileError(cause, "read", this.#path);
    }
  }

  async #load(): Promise<Known> {
    let handle: FileHandle | undefined;
    try {
      handle = await open(this.#path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      const { key, size } = identityOf(await handle.stat({ bigint: true }));
      if (size > INDEX_LIMIT)
        throw new StaveError("TOO_LARGE", `${this.#path} has ${size} bytes, more than the limit of ${INDEX_LIMIT}`, {
          subject: this.#path,
        });
      const entries = new LayoutEntries(parseBySchema(await handle.readFile(), indexSchema, this.#path, VALUE_LIMIT));
      return await this.#withJournal({ key, size, entries, end: 0 });
    } catch (cause) {
      if (systemCode(cause) === "ENOENT")
        return await this.#withJournal({ key: "none", size: 0, entries: new LayoutEntries(emptyIndex()), end: 0 });
      if (systemCode(cause) === "ELOOP")
        throw new StaveError("CONTENT_INVALID", `${this.#path} is a link, not a file`, { subject: this.#path });
      throw fileError(cause, "read", this.#path);
    } finally {
      await handle?.close();
    }
  }

  async #withJournal(known: Known): Promise<Known> {
    const { assignments, end } = await this.#journal.read(0);
    for (const assignment of assignments) known.entries.assign(assignment);
    known.end = end;
    return known;
  }

  /** Changes the entries; resolves when the change is on disk. Concurrent changes share one write. */
  change(change: Change): Promise<void> {
    return this.#enqueue(change, false);
  }

  /** Folds the journal into index.json. */
  async fold(): Promise<void> {
    await this.#enqueue(() => {}, true);
    this.#folded();
  }

  /** Releases the index; index.json then has every change made here. */
  async close(): Promise<void> {
    if (this.#unfoldedSince === undefined) return;
    try {
      await this.fold();
    } finally {
      // Ends the retries, which would keep the process alive. Nothing is lost: the journal has it.
      this.#folded();
    }
  }

  #enqueue(change: Change, folds: boolean): Promise<void> {
    const queue = queues.get(this.#path) ?? { waiting: [], isRunning: false };
    queues.set(this.#path, queue);
    return new Promise((resolve, reject) => {
      queue.waiting.push({ change, folds, resolve, reject });
      if (!queue.isRunning) void this.#run(queue);
    });
  }

  async #run(queue: { waiting: Waiting[]; isRunning: boolean }): Promise<void> {
    queue.isRunning = true;
    while (queue.waiting.length > 0) {
      let batch: Waiting[] = [];
      try {
        const accepted: Waiting[] = [];
        await withListLock(this.directory, this.#clock, async () => {
          batch = queue.waiting.splice(0);
          const known = await this.#read();
          const editor = new LayoutEditor(known.entries);
          for (const waiting of batch)
            try {
              waiting.change(editor);
              accepted.push(waiting);
            } catch (error) {
              waiting.reject(error);
            }
          await this.#write(
            known,
            editor,
            batch.some(({ folds }) => folds),
          );
        });
        for (const { resolve } of accepted) resolve();
      } catch (error) {
        if (batch.length === 0) batch = queue.waiting.splice(0);
        for (const { reject } of batch) reject(error);
      }
    }
    queue.isRunning = false;
  }

  /** Persists the changes, as a line of the journal or by a new index.json. */
  async #write(known: Known, editor: LayoutEditor, folds: boolean): Promise<void> {
    const assignments = editor.assignments();
    if (assignments.length > 0 && editor.count > MAX_ENTRIES)
      throw new StaveError("TOO_LARGE", `${this.directory} would have more than ${MAX_ENTRIES} tags and manifests`, {
        subject: this.directory,
        hint: "use another directory, or remove some with `stave prune`",
      });
    if (assignments.length > 0 && known.size <= SHORT && known.end === 0) {
      const entries = known.entries.with(assignments);
      this.#known = { ...(await this.#replace("index.json", listText(entries))), entries, end: 0 };
      return;
    }
    if (assignments.length > 0) await this.#append(known, assignments);
    const isOld = this.#unfoldedSince !== undefined && this.#clock.now() - this.#unfoldedSince > FOLD_AGE;
    if (known.end > 0 && (folds || isOld || known.end > FOLD_SIZE)) {
      const { entries } = known;
      const written = await this.#replace("index.json", listText(entries));
      await this.#journal.remove();
      this.#known = { ...written, entries, end: 0 };
      this.#folded();
    } else if (assignments.length > 0) this.#foldLater(FOLD_AFTER);
  }

  async #append(known: Known, assignments: readonly Assignment[]): Promise<void> {
    const { end } = known;
    const next = await this.#journal.append(assignments, end);
    // A reader may already have read the line.
    if (known.end !== end) return;
    for (const assignment of assignments) known.entries.assign(assignment);
    known.end = next;
  }

  #foldLater(delay: number): void {
    this.#unfoldedSince ??= this.#clock.now();
    clearTimeout(this.#foldTimer);
    this.#foldTimer = setTimeout(() => {
      // Nothing is lost meanwhile: the journal has it.
      this.fold().catch(() => this.#foldLater(FOLD_AGE));
    }, delay);
  }

  #folded(): void {
    clearTimeout(this.#foldTimer);
    this.#foldTimer = undefined;
    this.#unfoldedSince = undefined;
  }

  /** Replaces a file atomically: a reader sees the old or the new text, never a part. */
  async #replace(name: string, text: Iterable<string>): Promise<{ key: string; size: number }> {
    const temporary = await createTemporary(join(this.directory, TEMPORARY_FOLDER), this.#clock);
    return await replaceWith(join(this.directory, name), temporary, async (file) => {
      for (const part of text) await file.appendFile(part);
      return identityOf(await file.stat({ bigint: true }));
    });
  }
}

function identityOf(stats: BigIntStats): { key: string; size: number } {
  return { key: `${stats.dev}:${stats.ino}:${stats.mtimeNs}:${stats.size}`, size: Number(stats.size) };
}

/** The text of index.json, in parts. */
function* listText(entries: LayoutEntries): Iterable<string> {
  const manifests = entries.manifests();
  yield `${JSON.stringify(entries.head).slice(0, -1)},"manifests":[`;
  for (let at = 0; at < manifests.length; at += SLICE)
    yield (at > 0 ? "," : "") + JSON.stringify(manifests.slice(at, at + SLICE)).slice(1, -1);
  yield "]}";
}
