// Installs one spec: the implementation of each step in store/protocol.ts.
import type { Readable } from "node:stream";
import { StaveError } from "../../errors.ts";
import type { PlacedTree, PlaceJob } from "../../relocate/place/place.ts";
import type { PlacePool } from "../../relocate/place/place-pool.ts";
import { writeInstalledSpec } from "../../relocate/place/write-metadata.ts";
import { type NewPrefixes, newPrefixes } from "../../relocate/prefix/new-prefixes.ts";
import { compressionOf } from "../../relocate/unpack/unpack.ts";
import type { SpecGraph, SpecNode } from "../../spack/spec/node.ts";
import { shortName } from "../../spack/spec/spec-name.ts";
import type { LatestStore } from "../../store/latest-store.ts";
import type { SpecLock } from "../../store/locks.ts";
import { removeNote, writeNote } from "../../store/notes.ts";
import type { Actions, InstallStep } from "../../store/protocol.ts";
import { settle } from "../../store/recover.ts";
import { StagedPrefix } from "../../store/staged-prefix.ts";
import { withRefetch } from "../../target/refetch.ts";
import type { BlobFetcher } from "../../target/target.ts";
import type { Limit } from "../../util/limit.ts";
import { noProgress } from "../../util/progress.ts";
import { readSized } from "../../util/stream.ts";
import type { InstallSettings } from "./options.ts";
import type { InstalledSpec } from "./report.ts";
import type { CacheAnswer } from "./source.ts";

/**
 * Archives up to this size, in bytes, are fetched into memory in parallel, so that threads do not wait for the network.
 */
const SMALL = 2 * 1024 * 1024;

/** What is known of a spec in advance. */
export type SpecCommon = Pick<InstalledSpec, "name" | "version" | "hash" | "prefix" | "explicit">;

/** What the run provides to its specs. */
export interface SpecSurroundings {
  readonly options: InstallSettings;
  readonly pool: PlacePool;
  /** Limits how many small archives are in memory. */
  readonly spool: Limit;
  readonly latest: LatestStore;
  /** The graph that contains the spec, for its spec file. */
  readonly graph: SpecGraph;
  isKnown(hash: string): boolean;
  /** True if, by the current database, the spec need not be installed. */
  isThere(): Promise<boolean>;
  /** Waits until every dependency is in place. Throws if one of them failed. */
  awaitDependencies(): Promise<void>;
  /** Records the spec, which is in place; resolves when the database has it. */
  record(): Promise<void>;
}

// An archive that was unpacked and relocated beside its place.
interface Placed {
  readonly found: CacheAnswer;
  readonly tree: PlacedTree;
  readonly started: number;
  readonly placedAt: number;
}

/** The installation of one spec. */
export class SpecInstall {
  readonly #around: SpecSurroundings;
  readonly #node: SpecNode;
  readonly #common: SpecCommon;
  readonly #signal: AbortSignal;
  #place: StagedPrefix | undefined;
  #work: SpecLock | undefined;
  #placed: Placed | undefined;
  #isNoted = false;
  #isLeft = false;
  #isExclusive = false;
  /** The prefix lock; after all steps it is shared, and the caller releases it. */
  lock: SpecLock | undefined;
  /** The report, if the spec was installed. */
  report: InstalledSpec | undefined;

  constructor(around: SpecSurroundings, node: SpecNode, common: SpecCommon) {
    this.#around = around;
    this.#node = node;
    this.#common = common;
    this.#signal = around.options.signal ?? new AbortController().signal;
  }

  /** The implementations of the steps. */
  actions(): Actions<InstallStep> {
    const { store, locks } = this.#around.options;
    const { hash } = this.#node;
    const isThere = (): Promise<boolean> => this.#around.isThere();
    // The locks may outlive the run, and have a signal of their own.
    const isOver = async (): Promise<boolean> => {
      this.#signal.throwIfAborted();
      return await isThere();
    };
    return {
      isThere,
      lockShared: async () => {
        this.lock = await locks.spec("prefix", this.#node, "shared", () => {
          this.#signal.throwIfAborted();
          return false;
        });
      },
      lockWork: async () => {
        this.#work = await locks.spec("work", this.#node, "exclusive", isOver);
        this.#signal.throwIfAborted();
        return this.#work !== undefined;
      },
      lockExclusive: async () => {
        this.lock = await locks.spec("prefix", this.#node, "exclusive", isOver);
        this.#isExclusive = this.lock !== undefined;
        return this.#isExclusive;
      },
      note: async () => {
        const prefix = store.prefixOf(this.#node);
        this.#place = await StagedPrefix.at(store, hash, prefix);
        this.#isLeft = await writeNote(store, hash, prefix);
        this.#isNoted = true;
        return this.#isLeft;
      },
      unnote: () => this.#unnote(),
      place: () => this.#fetch(),
      discard: () => this.#discard(),
      awaitDependencies: () => this.#around.awaitDependencies(),
      finish: () => this.#finish(),
      moveAside: async () => void (await this.#prefix.moveAside()),
      commit: () => this.#commit(),
      record: () => this.#around.record(),
      clear: async () => {
        await this.#prefix.clear();
        this.#unnote();
      },
      share: () => {
        this.lock?.share();
        this.#isExclusive = false;
      },
      unlockPrefix: () => this.#unlockPrefix(),
      unlockWork: () => this.#unlockWork(),
    };
  }

  /** Undoes the completed steps after a failure, and releases all locks. */
  async undo(): Promise<void> {
    this.#done("failed");
    try {
      if (this.#isNoted && this.#isExclusive)
        await settle(this.#around.options.store, await this.#around.latest.get(), this.#node.hash, this.#prefix);
      else if (this.#isNoted) {
        await this.#discard();
        if (!this.#isLeft) this.#unnote();
      }
    } catch {
      // The note stays, and the next run repairs it.
    } finally {
      this.#unlockWork();
      this.#unlockPrefix();
    }
  }

  get #prefix(): StagedPrefix {
    if (this.#place === undefined) throw new StaveError("INTERNAL", "a prefix has no place yet");
    return this.#place;
  }

  #unnote(): void {
    removeNote(this.#around.options.store, this.#node.hash);
    this.#isNoted = false;
  }

  #unlockWork(): void {
    this.#work?.release();
    this.#work = undefined;
  }

  #unlockPrefix(): void {
    this.lock?.release();
    this.lock = undefined;
    this.#isExclusive = false;
  }

  // The spec need not be installed any more; after a failure, that was reported before.
  async #discard(): Promise<void> {
    this.#done("skipped");
    this.report = undefined;
    await this.#prefix.discard();
  }

  // Fetches the spec from one of the caches, and creates its prefix beside its place.
  async #fetch(): Promise<void> {
    const { isKnown } = this.#around;
    this.#placed = await this.#around.options.source.use(
      this.#node,
      { signal: this.#signal, isKnown },
      async (found) => {
        try {
          return await withRefetch(found.cache.blobsOf(found.image), (blobs) => this.#unpack(found, blobs));
        } catch (error) {
          this.#done("failed", found);
          throw error;
        }
      },
    );
  }

  async #unpack(found: CacheAnswer, blobs: BlobFetcher): Promise<Placed> {
    const { pool, spool, options } = this.#around;
    const { clock, permissionsOf, allFiles, patchelf, progress = noProgress } = options;
    const { archive, diffId } = found.image;
    const node = this.#node;
    const signal = this.#signal;
    const permissions = permissionsOf(node.name);
    const id = node.hash;
    const label = shortName(node);
    progress({ type: "queued", id, size: archive.size });
    await this.#prefix.stage(permissions.directory);
    let started = clock.now();
    const open = async (): Promise<Readable> => {
      started = clock.now();
      progress({ type: "start", id, label, size: archive.size });
      return await blobs.fetchBlob(archive, { signal });
    };
    const onBytes = (count: number): void => progress({ type: "bytes", id, count });
    const place = (from: Buffer | (() => Promise<Readable>)): Promise<PlacedTree> => {
      const job: PlaceJob = {
        folder: this.#prefix.directory,
        hash: node.hash,
        name: label,
        ...this.#newLocations(),
        compression: compressionOf(archive.mediaType),
        diffId,
        permissions,
        allFiles,
        patchelf,
      };
      return pool.place(from, job, { signal, onBytes, size: archive.size });
    };
    const tree =
      archive.size > SMALL
        ? await place(open)
        : await spool.run(
            async () => {
              const bytes = await readSized(await open(), archive.size, label);
              return await place(bytes);
            },
            { signal },
          );
    if (!tree.hasSpecFile) await this.#checkConfig(found);
    if (tree.hasRelativeRpaths)
      progress({
        type: "warning",
        text: `${label} was packed with relative search paths; its libraries may not be found`,
      });
    return { found, tree, started, placedAt: clock.now() };
  }

  // Without a spec file in the archive, only the config says which spec it is.
  async #checkConfig({ cache, image: { tag, archive, document } }: CacheAnswer): Promise<void> {
    if (document !== undefined) return;
    const image = await cache.fetchSpec(tag, { node: this.#node, signal: this.#signal });
    if (image.archive.digest !== archive.digest)
      throw new StaveError("CONTENT_INVALID", `${tag} was replaced in ${cache.name} while it was being installed`, {
        subject: tag,
        hint: "run the same command again",
      });
  }

  // Computed when needed and not kept: it lists all dependencies, and hundreds of specs are queued.
  #newLocations(): NewPrefixes & { readonly prefix: string } {
    const { store } = this.#around.options;
    return { prefix: this.#prefix.prefix, root: store.root, prefixes: newPrefixes(this.#node, store) };
  }

  // Finishing needs the dependencies, and happens before the prefix becomes visible.
  async #finish(): Promise<void> {
    const { pool, options, graph } = this.#around;
    const { store, clock, strict } = options;
    const { found, tree, started, placedAt } = this.#tree;
    const { directory } = tree;
    if (!tree.hasSpecFile) writeInstalledSpec(directory, this.#node, graph);
    const { hash, name } = this.#node;
    const times = { hash, name, phases: [{ path: "install", seconds: (placedAt - started) / 1000 }] };
    const finished = await pool.finish(
      { directory, ...this.#newLocations(), sysroot: store.sysroot, times },
      this.#signal,
    );
    if (strict && finished.leftovers.length > 0) throw leftBehind(finished.leftovers);
    this.#signal.throwIfAborted();
    const { texts, links, headers, patched, strings, others } = tree.relocated;
    this.report = {
      ...this.#common,
      outcome: "installed",
      cache: found.cache.name,
      downloadSize: found.image.archive.size,
      bytes: tree.bytes,
      files: tree.members,
      milliseconds: clock.now() - started,
      relocated: new Set([texts, links, headers, patched, strings, others].flat()).size,
      leftovers: finished.leftovers,
    };
  }

  async #commit(): Promise<void> {
    await this.#prefix.commit(this.#tree.tree.directory);
    this.#done("copied");
  }

  get #tree(): Placed {
    if (this.#placed === undefined) throw new StaveError("INTERNAL", "a prefix is not made yet");
    return this.#placed;
  }

  #done(outcome: "copied" | "skipped" | "failed", found: CacheAnswer | undefined = this.#placed?.found): void {
    this.#placed = undefined;
    if (found === undefined) return;
    const { progress = noProgress } = this.#around.options;
    const { size } = found.image.archive;
    progress({ type: "done", id: this.#node.hash, label: shortName(this.#node), outcome, size, isTold: true });
  }
}

function leftBehind(files: readonly string[]): StaveError {
  const named = files.length > 1 ? `and ${files.length - 1} more still name` : "still names";
  return new StaveError("RELOCATION_FAILED", `${files[0]} ${named} the old place`, {
    subject: files[0] ?? "",
    hint: "use `allFiles` to change those that can be, or leave out `strict`",
  });
}
