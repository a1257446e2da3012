// Documents of a TUF repository, by which Sigstore deployments publish their trusted roots: what is read was signed by
// the keys that a first root names, and has not expired. Requests go through the transport, because the library's own
// know neither proxies nor certificates.
import { createHash, randomUUID } from "node:crypto";
import { statSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import seeds from "@sigstore/tuf/seeds.json" with { type: "json" };
import { BaseFetcher, Updater } from "tuf-js";
import { DownloadHTTPError } from "tuf-js/dist/error.js";
import { isStaveError, messageOf, StaveError } from "../../errors.ts";
import type { Transport } from "../../http/types.ts";
import { printable } from "../../printable/printable.ts";
import { makeFolder } from "../../util/folder.ts";
import { readBounded } from "../../util/read-file.ts";
import { replaceFileSync } from "../../util/replace-file.ts";
import type { Clock } from "../../util/time.ts";

/** Maximum number of bytes of a document. */
const DOCUMENT_LIMIT = 4 * 1024 * 1024;
/** Milliseconds for which documents are used without asking whether there are newer ones. */
const FRESH = 24 * 3600_000;

/** A repository, and how to reach it. */
export interface TufOptions {
  readonly url: string;
  /** The first `root.json`; undefined for the public instance. */
  readonly first: Uint8Array | undefined;
  /** Where documents are kept between runs. */
  readonly folder: string;
  /** The way to the network; undefined if only what is kept may be used. */
  readonly transport: Transport | undefined;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads a document. Throws CONFIG_INVALID if it cannot be had or has expired, naming the reason, and what requests
 * throw.
 */
export async function tufTarget(target: string, options: TufOptions): Promise<Buffer> {
  const { url } = options;
  const first = Buffer.from(options.first ?? firstRoot(url));
  const id = createHash("sha256").update(url).update("\0").update(first).digest("hex");
  const folder = join(options.folder, id);
  try {
    return await read(target, { folder, first, options });
  } catch (error) {
    throw failed(url, error);
  }
}

async function read(
  target: string,
  { folder, first, options }: { folder: string; first: Buffer; options: TufOptions },
): Promise<Buffer> {
  const { transport, clock } = options;
  const targetDir = join(folder, "targets");
  makeFolder(targetDir, 0o700);
  // The other documents are kept even if they are damaged: only they tell older ones from newer ones.
  await restoreRoot(join(folder, "root.json"), first);
  const url = options.url.replace(/\/+$/, "");
  const isFresh = transport === undefined || ageOf(join(folder, "timestamp.json"), clock) < FRESH;
  const updater = new Updater({
    ...{ metadataDir: folder, metadataBaseUrl: url, targetDir, targetBaseUrl: `${url}/targets` },
    ...{ forceCache: isFresh, fetcher: new TransportFetcher(options) },
  });
  await updater.refresh();
  const info = await updater.getTargetInfo(target);
  if (info === undefined) throw new Error(`it has no ${target}`);
  const path = (await updater.findCachedTarget(info)) ?? (await updater.downloadTarget(info));
  const { bytes } = await readBounded(path, DOCUMENT_LIMIT);
  // It may have been replaced since it was checked.
  await info.verify(Readable.from([bytes]));
  return bytes;
}

/** Fetches documents through the transport. */
class TransportFetcher extends BaseFetcher {
  readonly #options: TufOptions;

  constructor(options: TufOptions) {
    super();
    this.#options = options;
  }

  override async fetch(text: string): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    const { transport, signal } = this.#options;
    if (transport === undefined) throw new Error("offline, and what is kept has expired or is incomplete");
    const { status, bytes } = await transport.requestBytes(
      {
        ...{ method: "GET", url: new URL(text), accept: [200, 403, 404], signal },
        ...{ op: "fetch the trusted root", subject: text },
      },
      DOCUMENT_LIMIT,
    );
    // By this error the library learns that there is no newer root.
    if (status !== 200) throw new DownloadHTTPError(`status ${status}`, status);
    return new Blob([new Uint8Array(bytes)]).stream() as ReadableStream<Uint8Array<ArrayBuffer>>;
  }
}

function firstRoot(url: string): Buffer {
  const known: Readonly<Record<string, { "root.json": string }>> = seeds;
  const seed = known[url]?.["root.json"];
  if (seed !== undefined) return Buffer.from(seed, "base64");
  throw new StaveError("CONFIG_INVALID", `the first root of ${printable(url)} is not known`, {
    subject: url,
    hint: 'name its root.json as "root" beside "tuf"',
  });
}

function failed(url: string, error: unknown): unknown {
  if (isStaveError(error)) return error;
  return new StaveError("CONFIG_INVALID", `no trusted root from ${printable(url)}: ${printable(messageOf(error))}`, {
    subject: url,
    hint: "name a trusted_root.json with `trustedRoot`, or as a root with a file in the policy",
    cause: error,
  });
}

function ageOf(path: string, clock: Clock): number {
  const { mtimeMs = Number.NEGATIVE_INFINITY } = statSync(path, { throwIfNoEntry: false }) ?? {};
  const age = clock.now() - mtimeMs;
  return age < 0 ? Number.POSITIVE_INFINITY : age;
}

// A killed run may have left a part of it; the newer ones are then fetched again.
async function restoreRoot(path: string, first: Uint8Array): Promise<void> {
  try {
    JSON.parse((await readBounded(path, DOCUMENT_LIMIT)).bytes.toString("utf8"));
  } catch (error) {
    if (!isStaveError(error, "NOT_FOUND") && !(error instanceof SyntaxError)) throw error;
    replaceFileSync(path, { temporary: `${path}.${randomUUID()}.tmp`, mode: 0o600 }, first);
  }
}
