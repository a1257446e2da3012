// The public keys that a mirror offers (Spack `binary_distribution.py`). A key is not trusted for being there.
import * as z from "zod";
import type { ObjectOptions, Objects, ReadObjects } from "../../objects/objects.ts";
import { digestOf } from "../../oci/digest.ts";
import { parseBySchema } from "../../oci/manifest.ts";
import { bytesSource, readSized } from "../../util/stream.ts";
import type { MirrorKey } from "../cache.ts";
import { lacksPart } from "./mirror-layout.ts";
import { type BlobKind, blobIn, blobKey, MIRROR_MANIFEST_LIMIT, manifestText } from "./mirror-manifest.ts";

const FOLDER = "v3/manifests/key";
const INDEX = `${FOLDER}/keys.manifest.json`;
const SUFFIX = ".key.manifest.json";
/** Maximum number of bytes of a key or of the list of keys. */
const KEY_LIMIT = 16 * 1024 * 1024;
const FINGERPRINT = /^[0-9A-F]{40}$/;

const indexSchema = z.looseObject({ keys: z.record(z.string(), z.unknown()) });

/** The fingerprints in the list of keys of a mirror; undefined if it has none. Throws CONTENT_INVALID. */
export async function listedKeys(objects: ReadObjects, options: ObjectOptions): Promise<string[] | undefined> {
  const bytes = await readNamed(objects, INDEX, "key index", options);
  if (bytes === undefined) return undefined;
  const { keys } = parseBySchema(bytes, indexSchema, `the list of keys of ${objects.name}`);
  return Object.keys(keys).filter((fingerprint) => FINGERPRINT.test(fingerprint));
}

/** One key of a mirror; undefined if it is not there. Throws CONTENT_INVALID. */
export async function readKey(
  objects: ReadObjects,
  fingerprint: string,
  options: ObjectOptions,
): Promise<Buffer | undefined> {
  return await readNamed(objects, `${FOLDER}/${fingerprint}${SUFFIX}`, "key", options);
}

async function readNamed(
  objects: ReadObjects,
  key: string,
  kind: BlobKind,
  options: ObjectOptions,
): Promise<Buffer | undefined> {
  const manifest = await objects.read(key, MIRROR_MANIFEST_LIMIT, options);
  if (manifest === undefined) return undefined;
  const name = `${objects.name}/${key}`;
  const blob = blobIn(manifest.bytes.toString("utf8"), kind, name);
  if (blob === undefined || blob.size > KEY_LIMIT) throw lacksPart(name, kind);
  return await readSized(await objects.open(blobKey(blob), blob, options), blob.size, name);
}

/** Stores public keys. */
export async function publishKeys(objects: Objects, keys: readonly MirrorKey[], options: ObjectOptions): Promise<void> {
  for (const { fingerprint, key } of keys)
    await writeNamed(objects, `${FOLDER}/${fingerprint}${SUFFIX}`, "key", key, options);
}

/** Lists the keys that the mirror has, and returns their fingerprints. */
export async function indexKeys(objects: Objects, options: ObjectOptions): Promise<string[]> {
  const found = await storedKeys(objects, options);
  if (found.length === 0) return found;
  const listed = found.map((fingerprint) => `"${fingerprint}":{}`);
  await writeNamed(objects, INDEX, "key index", Buffer.from(`{"keys":{${listed.join(",")}}}`), options);
  return found;
}

async function writeNamed(
  objects: Objects,
  key: string,
  kind: BlobKind,
  bytes: Buffer,
  options: ObjectOptions,
): Promise<void> {
  const blob = { kind, digest: digestOf(bytes), size: bytes.length };
  await objects.write(blobKey(blob), bytesSource(bytes), blob.digest, options);
  const manifest = Buffer.from(manifestText([blob]));
  await objects.write(key, bytesSource(manifest), digestOf(manifest), options);
}

const OLD_FOLDER = "build_cache/_pgp";

/** Every key that a mirror offers, in its newest layout and older ones; those of a list must be there. */
export async function offeredKeys(objects: ReadObjects, options: ObjectOptions): Promise<MirrorKey[]> {
  const found = new Map<string, Buffer>();
  const fingerprints = (await listedKeys(objects, options)) ?? (await storedKeys(objects, options));
  for (const fingerprint of fingerprints) {
    const key = await readKey(objects, fingerprint, options);
    if (key === undefined) throw lacksPart(`the list of keys of ${objects.name}`, `key ${fingerprint}`);
    found.set(fingerprint, key);
  }
  const old = await objects.read(`${OLD_FOLDER}/index.json`, KEY_LIMIT, options);
  const listed = old && parseBySchema(old.bytes, indexSchema, `${objects.name}/${OLD_FOLDER}/index.json`);
  for (const fingerprint of Object.keys(listed?.keys ?? {})) {
    if (found.has(fingerprint) || !FINGERPRINT.test(fingerprint)) continue;
    const key = await objects.read(`${OLD_FOLDER}/${fingerprint}.pub`, KEY_LIMIT, options);
    if (key !== undefined) found.set(fingerprint, key.bytes);
  }
  return [...found].map(([fingerprint, key]) => ({ fingerprint, key }));
}

// Keys that a push stored without updating their list.
async function storedKeys(objects: ReadObjects, options: ObjectOptions): Promise<string[]> {
  const found: string[] = [];
  if (!objects.can.list) return found;
  for await (const { key } of objects.list(`${FOLDER}/`, options)) {
    const name = key.slice(FOLDER.length + 1);
    const fingerprint = name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : "";
    if (FINGERPRINT.test(fingerprint)) found.push(fingerprint);
  }
  return found.sort();
}
