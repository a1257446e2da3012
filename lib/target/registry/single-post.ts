// Uploads in one request, `POST …/uploads/?digest=` with the bytes (OCI distribution 1.1, "Single POST"). Registries
// need not support this; others open an upload session instead, which is then used, so that the attempt costs no
// request.
import { isStaveError } from "../../errors.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { readSized, type Source } from "../../util/stream.ts";
import { hasBlob } from "./blobs.ts";
import { abilitiesOf } from "./host-abilities.ts";
import type { Repository } from "./repository.ts";
import { type Session, type StepOptions, sessionOf } from "./upload-session.ts";
import { isProof, unproved } from "./write-proof.ts";

/** Maximum number of bytes to send this way: they are wasted if the registry does not support it. */
export const SINGLE_POST: number = 1024 * 1024;

/** True if a blob should be sent this way. Only one blob at a time tries, until it is known what the host supports. */
export function mayPostWhole(repository: Repository, { size }: Descriptor): boolean {
  const { wholePosts = true } = abilitiesOf(repository);
  return size > 0 && size <= SINGLE_POST && wholePosts === true;
}

/** The bytes of a source that has them in memory, if there are as many as there should be. */
export function inMemory({ bytes }: Source, size: number): Uint8Array | undefined {
  return bytes?.byteLength === size ? bytes : undefined;
}

async function readWhole(source: Source, { digest, size }: Descriptor): Promise<Uint8Array> {
  try {
    return await readSized(await source.open(0), size, digest);
  } catch (error) {
    throw isStaveError(error) ? error.with({ side: "source" }) : error;
  }
}

/**
 * Sends a blob in one request. Returns the upload session if the registry opened one instead; undefined if it refused.
 * Throws like the other steps of an upload; before another attempt, the caller checks whether the blob exists.
 */
export async function postWhole(
  repository: Repository,
  descriptor: Descriptor,
  source: Source,
  options: StepOptions,
): Promise<"stored" | Session | undefined> {
  const { digest, size } = descriptor;
  const { patience, signal } = options;
  const abilities = abilitiesOf(repository);
  abilities.wholePosts ??= "asking";
  try {
    const bytes = inMemory(source, size) ?? (await readWhole(source, descriptor));
    const response = await repository.send({
      method: "POST",
      url: `blobs/uploads/?digest=${encodeURIComponent(digest)}`,
      headers: { "content-type": "application/octet-stream", "content-length": String(size) },
      body: bytes,
      access: "push",
      accept: [201, 202, 400, 404, 405, 411, 413, 415, 501],
      traffic: "upload",
      op: "push blob",
      subject: digest,
      retry: false,
      patience,
      signal,
    });
    abilities.wholePosts = response.status === 201;
    if (response.status === 202) return await sessionOf(repository, response);
    if (response.status !== 201) return undefined;
    if (isProof(repository, response, digest)) return "stored";
    if (await hasBlob(repository, digest, { patience, signal, size, mustProve: true })) return "stored";
    throw unproved(repository, "push blob", digest, response.status);
  } finally {
    // Without a response, nothing is known.
    if (abilities.wholePosts === "asking") abilities.wholePosts = undefined;
  }
}
