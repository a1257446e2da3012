// `openCache`, and the caches that other functions open: named ones, or those of Spack's configuration.

import type { IndexedCache, ReadCache } from "../../cache/cache.ts";
import { OciCache, ReadOciCache } from "../../cache/oci-cache.ts";
import { UnopenedCache, unopened } from "../../cache/unopened-cache.ts";
import { isStaveError, StaveError } from "../../errors.ts";
import type { Direction } from "../../spack/config/mirror.ts";
import { emptyTarget } from "../../target/empty-target.ts";
import type { Target } from "../../target/target.ts";
import { closeAfterError, closeAll } from "../../util/close-all.ts";
import { defaultMirrors } from "../from-spack/default-mirrors.ts";
import { SpackFiles, type SpackFlags } from "../from-spack/spack-files.ts";
import type { Surroundings } from "../machine/surroundings.ts";
import { cacheLocation, memoryFor, mirrorCredentials } from "../places/cache-choice.ts";
import type { Connection } from "../places/connection.ts";
import { type CacheLocation, formatCache, isMirror } from "../places/mirror-location.ts";
import { openMirror, type Signing } from "../places/open-mirror.ts";
import { cacheGuard, mirrorTrust, type TrustUse } from "../signers/trust.ts";
import { checkOptions, checkText, type Shape } from "./check-options.ts";
import { COMMON, type CommonOptions, connect, surroundingsOf, trustUseOf } from "./common.ts";

/** Where Spack's files are. The defaults are those of the command line. */
export interface SpackOptions {
  /** The name or folder of an environment; `false` for none. Default: `$SPACK_ENV`. */
  readonly environment?: string | false | undefined;
  /** More configuration scopes. */
  readonly scopes?: readonly string[] | undefined;
  /** Single settings, `config:key:value`. */
  readonly settings?: readonly string[] | undefined;
  /** Recorded paths are resolved below this folder. */
  readonly sysroot?: string | undefined;
  /** The Spack installation. Default: `$SPACK_ROOT`, otherwise the one on the PATH. */
  readonly spack?: string | undefined;
}

/** The types of these options. */
export const SPACK: Shape<SpackOptions> = {
  environment: "name or false",
  scopes: "strings",
  settings: "strings",
  sysroot: "string",
  spack: "string",
};

/** Spack's files, located by options. */
export function spackFiles(options: SpackOptions, around: Surroundings, store?: string): SpackFiles {
  const { environment, scopes, settings, sysroot, spack } = options;
  const flags: SpackFlags = {
    ...(store !== undefined && { store }),
    ...(environment !== undefined && { env: environment }),
    ...(scopes !== undefined && { scope: [...scopes] }),
    ...(settings !== undefined && { config: [...settings] }),
    ...(sysroot !== undefined && { sysroot }),
    ...(spack !== undefined && { spack }),
  };
  return new SpackFiles(around, flags);
}

/** How to open a cache. */
export interface OpenCacheOptions extends CommonOptions, SpackOptions {
  /** Create a directory that does not exist. */
  readonly create?: boolean | undefined;
}

/** An open build cache. Close it, or declare it with `await using`. */
export interface OpenCache extends AsyncDisposable {
  readonly cache: IndexedCache;
  readonly location: CacheLocation;
  /** The name of the mirror of Spack's configuration, if it is one. */
  readonly mirror: string | undefined;
  close(): Promise<void>;
}

/** A cache as an argument: text as on the command line, or the result of `openCache`. */
export type CacheArgument = string | OpenCache;

/**
 * Opens `oci://HOST/REPO`, `oci-layout:DIR` or a mirror of Spack's configuration; by default `$STAVE_CACHE`, otherwise
 * the first mirror of Spack's configuration, otherwise `oci-layout:./stave-cache`. Throws USAGE, REFERENCE_INVALID,
 * UNSUPPORTED, and NOT_FOUND for a directory that does not exist.
 */
export async function openCache(text?: string, options: OpenCacheOptions = {}): Promise<OpenCache> {
  if (text !== undefined) checkText("openCache: the cache", text);
  checkOptions("openCache", options, { ...COMMON, ...SPACK, create: "boolean" });
  options.signal?.throwIfAborted();
  const opening = openingOf(options);
  const direction = options.create ? "push" : "fetch";
  return await openOne(text ?? mirrorsFor(direction, opening)[0], direction, opening, { isRead: true });
}

/** What is written to instead of a cache that is judged when it is read: what a push finds is replaced, not trusted. */
const writable = new WeakMap<IndexedCache, IndexedCache>();

/** How to open caches. */
export interface Opening {
  /** `verifies`: check the signatures of mirrors that are meant to have them. */
  readonly options: OpenCacheOptions & { readonly verifies?: boolean | undefined };
  /** Sign what is pushed to a mirror. */
  readonly signing?: Signing | undefined;
  readonly around: Surroundings;
  readonly files: () => SpackFiles;
}

/** How to open caches, from checked options; reads Spack's files only when needed. */
export function openingOf(options: OpenCacheOptions, store?: string): Opening {
  const around = surroundingsOf(options);
  let files: SpackFiles | undefined;
  return { options, around, files: () => (files ??= spackFiles(options, around, store)) };
}

async function connectTo(text: string | undefined, direction: Direction, opening: Opening) {
  const { options, around, files, signing } = opening;
  const choice = cacheLocation(text, direction, around, files);
  const { location, mirror } = choice;
  const connection = await connect(options, {
    around,
    places: [location],
    settings: () => files().discovery.network,
    mirror: mirrorCredentials(choice, direction, around),
  });
  const close = (): Promise<void> => connection.close();
  const open = { connection, around, files, direction, mirror, signing };
  return { location, mirror, connection, open, close };
}

// The option `create` creates a missing directory.
async function openOne(
  text: string | undefined,
  direction: Direction,
  opening: Opening,
  { isRead = direction === "fetch" } = {},
): Promise<OpenCache> {
  const { location, mirror, connection, open, close } = await connectTo(text, direction, opening);
  const closing = { mirror: mirror?.name, close, [Symbol.asyncDispose]: close };
  const { create: mayBeEmpty, verifies } = opening.options;
  try {
    const use = trustUse(opening, connection);
    if (isMirror(location)) {
      const trust = isRead ? await mirrorTrust(location, formatCache(location), use) : undefined;
      const isWritten = direction === "push";
      const cache = await openMirror(location, { ...open, mayBeEmpty, isWritten, verifies, trust });
      return { cache, location, ...closing };
    }
    const target = opening.options.create ? await connection.write(location) : await connection.change(location);
    const memory = memoryFor(location, opening.around);
    const guard = isRead ? await cacheGuard(location, target, { ...use, ...memory }) : undefined;
    const cache = new OciCache(target, { ...memory, guard });
    if (guard !== undefined) writable.set(cache, new OciCache(target, memory));
    return { cache, location, ...closing };
  } catch (error) {
    await closeAfterError(close);
    throw error;
  }
}

/**
 * Opens the images of a cache, without judging them. Throws as `openCache`, and UNSUPPORTED for a cache without images.
 */
export async function openCacheTarget(
  text: string,
  direction: Direction,
  opening: Opening,
): Promise<{ readonly target: Target; readonly location: CacheLocation; readonly connection: Connection }> {
  const { location, connection, close } = await connectTo(text, direction, opening);
  try {
    if (!isMirror(location)) return { target: await connection.change(location), location, connection };
    throw new StaveError("UNSUPPORTED", `${formatCache(location)} is a mirror, which has no images to sign`, {
      subject: formatCache(location),
      hint: "mirrors have gpg signatures: a push signs them",
    });
  } catch (error) {
    await closeAfterError(close);
    throw error;
  }
}

/** How the policy applies to what is opened. */
export function trustUse({ options, around }: Opening, { transport }: Pick<Connection, "transport">): TrustUse {
  return trustUseOf(options, around, transport);
}

/** Caches opened for a call or by the caller; disposing of them closes only the former. */
export interface OpenCaches extends AsyncDisposable {
  readonly caches: readonly IndexedCache[];
}

/**
 * Opens caches for reading, in order of preference; by default the mirrors of Spack's configuration, of which those
 * that cannot be opened fail when they are asked.
 */
export async function openToRead(
  given: CacheArgument | readonly CacheArgument[] | undefined,
  opening: Opening,
): Promise<OpenCaches> {
  const named = given === undefined ? mirrorsFor("fetch", opening) : [given].flat();
  const caches: IndexedCache[] = [];
  const opened: OpenCache[] = [];
  const close = (): Promise<void> => closeAll(opened.map((one) => () => one.close()));
  try {
    const others = given === undefined && named.length > 1;
    for (const one of named.length > 0 ? named : [undefined]) {
      if (typeof one === "object") caches.push(one.cache);
      else {
        const open = await openOne(one, "fetch", opening).catch((error) => unopened(error, others ? one : undefined));
        if (!(open instanceof UnopenedCache)) opened.push(open);
        caches.push(open instanceof UnopenedCache ? open : open.cache);
      }
    }
  } catch (error) {
    await closeAfterError(close);
    throw error;
  }
  return { caches, [Symbol.asyncDispose]: close };
}

/** Opens the cache to write to; without one, the mirror of Spack's configuration that is meant for pushes. */
export async function openToWrite(
  given: CacheArgument | undefined,
  opening: Opening,
): Promise<Pick<OpenCache, "cache" | "location" | typeof Symbol.asyncDispose>> {
  if (typeof given !== "object") return await openOne(given ?? mirrorsFor("push", opening)[0], "push", opening);
  const { cache, location } = given;
  return { cache: writable.get(cache) ?? cache, location, [Symbol.asyncDispose]: () => Promise.resolve() };
}

/**
 * Opens the cache to which a push would write, for reading; a directory that does not exist counts as an empty cache.
 */
export async function openToPlan(
  given: CacheArgument | undefined,
  opening: Opening,
): Promise<AsyncDisposable & { readonly cache: ReadCache }> {
  if (typeof given === "object")
    return { cache: writable.get(given.cache) ?? given.cache, [Symbol.asyncDispose]: () => Promise.resolve() };
  const text = given ?? mirrorsFor("push", opening)[0];
  const { location, connection, open, close } = await connectTo(text, "push", opening);
  try {
    if (isMirror(location)) {
      const cache = await openMirror(location, { ...open, mayBeEmpty: true, isWritten: true });
      return { cache, [Symbol.asyncDispose]: close };
    }
    const target = await connection.read(location).catch((error: unknown) => {
      if (location.kind !== "layout" || !isStaveError(error, "NOT_FOUND")) throw error;
      return emptyTarget(formatCache(location));
    });
    return { cache: new ReadOciCache(target, memoryFor(location, opening.around)), [Symbol.asyncDispose]: close };
  } catch (error) {
    await closeAfterError(close);
    throw error;
  }
}

function mirrorsFor(direction: Direction, { options, around, files }: Opening): string[] {
  const onNote = (text: string): void => options.onProgress?.({ type: "note", text });
  return defaultMirrors(direction, { around, files, onNote });
}
