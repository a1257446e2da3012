// An open build cache from a CACHE argument and the flags of a verb.

import { defaultMirrors } from "../../api/from-spack/default-mirrors.ts";
import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { type CacheChoice, cacheLocation, memoryFor, mirrorCredentials } from "../../api/places/cache-choice.ts";
import { keychainOptions } from "../../api/places/connection.ts";
import { type CacheLocation, formatCache, isMirror } from "../../api/places/mirror-location.ts";
import { type OpenMirrorOptions, openMirror, type Signing } from "../../api/places/open-mirror.ts";
import { cacheGuard, mirrorTrust, type TrustOptions, type TrustUse } from "../../api/signers/trust.ts";
import { Keychain } from "../../auth/keychain.ts";
import type { IndexedCache, ReadCache } from "../../cache/cache.ts";
import { OciCache, ReadOciCache } from "../../cache/oci-cache.ts";
import type { IndexRecord } from "../../cache/record.ts";
import { UnopenedCache, unopened } from "../../cache/unopened-cache.ts";
import { isStaveError, StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import type { Direction, Mirror } from "../../spack/config/mirror.ts";
import { emptyTarget } from "../../target/empty-target.ts";
import type { ManifestDeleter } from "../../target/target.ts";
import { closeAfterError, closeAll } from "../../util/close-all.ts";
import type { Context } from "../machine/context.ts";
import { KnownWords } from "../machine/known-words.ts";
import type { Output } from "../output/output.ts";
import { type Opener, openNetwork } from "./open.ts";
import type { CommonFlags } from "./shared-flags.ts";

/** The description of a CACHE argument in help texts. */
export const CACHE_ARGUMENT =
  "oci://HOST/REPO, oci+http://HOST/REPO, oci-layout:DIR, file:///DIR, s3://BUCKET/FOLDER, gs://BUCKET/FOLDER, https://HOST/PATH, a path or the name of a mirror (default: $STAVE_CACHE, else the mirrors of Spack's configuration, else ./stave-cache)";

/** The cache that is named by an argument or by -m. Throws USAGE if both are given. */
export function oneCache(argument: string | undefined, flag: string | undefined): string | undefined {
  if (argument === undefined || flag === undefined) return argument ?? flag;
  throw new StaveError("USAGE", `two caches are named, ${printable(argument)} and ${printable(flag)}`, {
    hint: "leave out -m",
  });
}

/** An open cache; the caller disposes of it. */
export interface OpenedCache<C> {
  readonly cache: C;
  readonly location: CacheLocation;
  readonly mirror: Mirror | undefined;
  readonly opener: Opener;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What a verb provides to open a cache. */
export interface CacheRun {
  readonly context: Context;
  readonly output: Output;
  readonly flags: CommonFlags & SpackFlags & TrustOptions;
  /** Spack's files, if the verb has already located them. */
  readonly files?: SpackFiles;
  /** The specs among the arguments, one of which may be meant as a directory. */
  readonly specs?: readonly string[];
  /** Check the signatures of mirrors that are meant to have them. */
  readonly verifies?: boolean;
  /** Sign what is pushed to a mirror. */
  readonly signing?: Signing;
  /** The view of the index of a mirror. */
  readonly view?: string | undefined;
}

/** Calls that have said which cache of stave.yaml they use. */
const told = new WeakSet<Output>();

/** The cache of the project, unless $STAVE_CACHE names another; the output says where it comes from. */
function projectCache({ context, output }: CacheRun): string | undefined {
  const { project, env } = context;
  if (project?.cache === undefined || env["STAVE_CACHE"]) return undefined;
  if (!told.has(output)) output.note(`using the cache ${printable(project.cache)} of ${project.file}`);
  told.add(output);
  return project.cache;
}

/** The caches to use if none is named: that of the project, else the mirrors; the output says which. */
function mirrorsFor(direction: Direction, run: CacheRun): string[] {
  const { context, output, flags, files } = run;
  const own = projectCache(run);
  if (own !== undefined) return [own];
  const onNote = (text: string): void => output.note(text);
  return defaultMirrors(direction, { around: context, files: () => files ?? new SpackFiles(context, flags), onNote });
}

/** Opens one cache for reading. Throws like `cacheLocation`, and NOT_FOUND if a directory does not exist. */
export async function readCache(text: string | undefined, run: CacheRun): Promise<OpenedCache<ReadCache>> {
  return await openToRead(text, "fetch", run);
}

/**
 * Opens the cache to which a push would write, for reading. With `mayBeGone`, a directory that does not exist counts
 * as empty.
 */
export async function readPushCache(
  text: string | undefined,
  run: CacheRun,
  { mayBeGone = false } = {},
): Promise<OpenedCache<ReadCache>> {
  return await openToRead(pushCache(text, run), "push", run, mayBeGone);
}

async function openToRead(
  text: string | undefined,
  direction: Direction,
  run: CacheRun,
  mayBeGone = false,
): Promise<OpenedCache<ReadCache>> {
  const opening = await openerFor(text, direction, run);
  const { location, mirror, opener } = opening;
  const rest = { location, mirror, opener, [Symbol.asyncDispose]: () => opener.close() };
  const use = trustUse(run, opener);
  const noted = <C extends ReadCache>(cache: C): C => notingSpecs(cache, text ?? cache.name, run.context);
  if (isMirror(location)) {
    const required = (): ReturnType<typeof mirrorTrust> => mirrorTrust(location, formatCache(location), use);
    const trust = direction === "fetch" ? await orClose(opener, required) : undefined;
    const isWritten = direction === "push";
    const opened = await openMirror(location, { ...opening, mayBeEmpty: mayBeGone, isWritten, trust });
    return { cache: noted(opened), ...rest };
  }
  const target = await opener.read(location).catch((error: unknown) => {
    if (!isStaveError(error, "NOT_FOUND")) throw error;
    if (mayBeGone && location.kind === "layout") return emptyTarget(formatCache(location));
    throw isUnnamed(text, run) ? error.with({ hint: nameOne(run) }) : error;
  });
  const memory = memoryFor(location, run.context);
  const guarded = (): ReturnType<typeof cacheGuard> => cacheGuard(location, target, { ...use, ...memory });
  // What is pushed to is not trusted, but replaced.
  const guard = direction === "fetch" ? await orClose(opener, guarded) : undefined;
  return { cache: noted(new ReadOciCache(target, { ...memory, guard })), ...rest };
}

/** The cache; what its index lists is noted for completion, by the word that named the cache. */
function notingSpecs<C extends ReadCache>(cache: C, word: string, context: Context): C {
  const read = cache.readIndex.bind(cache);
  cache.readIndex = async (options) => {
    const index = await read(options);
    if (index === undefined) return index;
    const words = new KnownWords(context);
    words.notePlace(word);
    const listed = (): IndexRecord[] => [...index.records.values()].filter(({ inBuildcache }) => inBuildcache);
    words.noteSpecs(word, index.digest, listed);
    return index;
  };
  return cache;
}

async function orClose<T>(opener: Opener, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await closeAfterError(() => opener.close());
    throw error;
  }
}

const trustUse = ({ context, output, flags }: CacheRun, { transport }: Opener): TrustUse => ({
  ...{ around: context, transport },
  options: flags,
  onWarning: (text) => output.warn(text),
});

/** Caches in order of preference; the caller disposes of them. */
export interface OpenedCaches {
  /** Those that could be opened. */
  readonly all: readonly OpenedCache<ReadCache>[];
  readonly caches: readonly ReadCache[];
  [Symbol.asyncDispose](): Promise<void>;
}

/** Opens the named caches for reading, by default those of Spack's configuration. Throws like `readCache`. */
export async function readCaches(named: readonly string[], run: CacheRun): Promise<OpenedCaches> {
  const texts: readonly (string | undefined)[] = named.length > 0 ? named : mirrorsFor("fetch", run);
  const all: OpenedCache<ReadCache>[] = [];
  const caches: ReadCache[] = [];
  const close = (): Promise<void> => closeAll(all.map((opened) => () => opened[Symbol.asyncDispose]()));
  const others = named.length === 0 && texts.length > 1;
  try {
    for (const text of texts.length > 0 ? texts : [undefined]) {
      const opened = await readCache(text, run).catch((error: unknown) => unopened(error, others ? text : undefined));
      if (opened instanceof UnopenedCache) {
        // Verbs ignore NOT_FOUND from one of several caches, so it is reported here.
        if (isStaveError(opened.error, "NOT_FOUND")) run.output.warn(opened.error.message);
        caches.push(opened);
        continue;
      }
      caches.push(opened.cache);
      all.push(opened);
    }
  } catch (error) {
    await closeAfterError(close);
    throw error;
  }
  return { all, caches, [Symbol.asyncDispose]: close };
}

/** The cache that a verb writes to: the named one, otherwise the configured mirror for pushes. */
export const pushCache = (text: string | undefined, run: CacheRun): string | undefined =>
  text ?? mirrorsFor("push", run)[0];

// If no cache was named, the likely mistake is a missing name.
const isUnnamed = (text: string | undefined, { context }: CacheRun): boolean =>
  text === undefined && !context.env["STAVE_CACHE"];
function nameOne({ specs: [first] = [] }: CacheRun): string {
  const wrong = "no cache was named, so the default was used";
  return first !== undefined && /^[\w.-]+$/.test(first)
    ? `${wrong}; ${first} was taken as a spec, for a directory write ./${first}`
    : `${wrong}; name one, for example oci://HOST/REPO or oci-layout:DIR`;
}

/** Options for opening a cache for writing. */
export interface WriteCacheOptions {
  /** Creates a directory that does not exist. */
  readonly create: boolean;
  /** Without a name, use the mirror to push to, if one is configured. */
  readonly mayUseMirror?: boolean;
  /** What deletes images if the registry does not; made when the connection is open. */
  readonly deleter?: (place: CacheLocation, opener: Opener, keychain: Keychain) => Promise<ManifestDeleter | undefined>;
  /** Work that may fail and must be done before anything is created. */
  readonly first?: (opener: Opener) => Promise<void>;
}

/** Opens a cache for writing. */
export async function writeCache(
  text: string | undefined,
  run: CacheRun,
  options: WriteCacheOptions,
): Promise<OpenedCache<IndexedCache>> {
  const named = options.mayUseMirror ? pushCache(text, run) : text;
  const opening = await openerFor(named, "push", run);
  const { location, mirror, opener, keychain } = opening;
  await options.first?.(opener);
  const rest = { location, mirror, opener, [Symbol.asyncDispose]: () => opener.close() };
  if (isMirror(location))
    return { cache: await openMirror(location, { ...opening, mayBeEmpty: options.create, isWritten: true }), ...rest };
  const cache = new OciCache(options.create ? await opener.write(location) : await opener.change(location), {
    ...memoryFor(location, run.context),
    deleter: await options.deleter?.(location, opener, keychain),
  });
  return { cache, ...rest };
}

async function openerFor(
  named: string | undefined,
  direction: Direction,
  run: CacheRun,
): Promise<OpenMirrorOptions & CacheChoice & { readonly opener: Opener; readonly keychain: Keychain }> {
  const { context, output, flags } = run;
  const text = named ?? projectCache(run);
  if (text !== undefined) output.call.cache ??= text;
  const files = (): SpackFiles => run.files ?? new SpackFiles(context, flags);
  const { location, mirror } = cacheLocation(text, direction, context, files);
  const explicit = mirrorCredentials({ location, mirror }, direction, context);
  const keychain = new Keychain({
    ...keychainOptions(context, flags),
    explicit,
    onWarning: (error) => output.warn(error.message),
  });
  const settings = () => files().discovery.network;
  const opener = await openNetwork({ context, output, flags, places: [location], settings, keychain });
  return {
    location,
    mirror,
    opener,
    keychain,
    connection: opener,
    around: context,
    files,
    direction,
    verifies: run.verifies,
    signing: run.signing,
    view: run.view,
  };
}
