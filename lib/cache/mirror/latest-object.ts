// Finds out the digest of an object that has no recorded one, and remembers it between runs as long as the place says
// that the object is the same.
import * as z from "zod";
import { isStaveError } from "../../errors.ts";
import type { ObjectOptions, OpenObject, ReadObjects } from "../../objects/objects.ts";
import { Digester, digestOf, digestSchema } from "../../oci/digest.ts";
import type { DiskCache } from "../../util/disk-cache.ts";
import { release } from "../../util/free-chunks.ts";
import { BLOBS } from "../../util/remembered-blob.ts";
import type { Expectation } from "../../util/stream.ts";

const LATEST = "latest";
/** How often a download that breaks off is begun again. */
const ATTEMPTS = 3;

const latestSchema = z.object({ token: z.string(), digest: digestSchema, size: z.int().min(0) });

/** What to remember with, and how much to read. */
export interface LatestOptions extends ObjectOptions {
  readonly memory: DiskCache;
  readonly limit: number;
}

/**
 * The digest and size of an object, which may take reading it. Unless it is a file of this machine, its content is then
 * in the cache between runs; "unkept" if that has no room for it.
 */
export async function latestObject(
  objects: ReadObjects,
  key: string,
  { memory, limit, signal }: LatestOptions,
): Promise<Expectation | "absent" | "unkept"> {
  const name = objects.identity(key);
  const known = name === undefined ? undefined : readLatest(memory, name);
  for (let attempt = 1; ; attempt++) {
    const opened = await objects.openLatest(key, limit, { signal, known: known?.token });
    if (opened === undefined) return "absent";
    if (opened === "same") return known ?? "unkept";
    try {
      const found = await receive(opened, memory, objects.path !== undefined);
      if (found === undefined) return "unkept";
      const entry = opened.token && JSON.stringify({ token: opened.token, ...found });
      if (entry && name !== undefined) memory.set(LATEST, name, Buffer.from(entry));
      return found;
    } catch (error) {
      if (attempt === ATTEMPTS || !isStaveError(error, "NETWORK", "SIZE_MISMATCH")) throw error;
    }
  }
}

function readLatest(memory: DiskCache, name: string): z.infer<typeof latestSchema> | undefined {
  const bytes = memory.get(LATEST, name);
  if (bytes === undefined) return undefined;
  try {
    return latestSchema.parse(JSON.parse(bytes.toString("utf8")));
  } catch {
    return undefined;
  }
}

async function receive({ stream }: OpenObject, memory: DiskCache, isFile: boolean): Promise<Expectation | undefined> {
  const digester = new Digester();
  let digest = digestOf("");
  const read = async function* (): AsyncGenerator<Buffer> {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      digester.update(chunk);
      yield chunk;
    }
    digest = digester.digest();
  };
  if (!isFile) return (await memory.store(BLOBS, read(), () => digest)) ? { digest, size: digester.size } : undefined;
  for await (const chunk of read()) release(chunk);
  return { digest, size: digester.size };
}
