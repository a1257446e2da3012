// Uploads in parts, for what is too large for one request. Parts are sent one after the other, each signed whole; the
// object appears when all are there.
import { StaveError } from "../../errors.ts";
import { headerOf } from "../../http/response.ts";
import type { Source } from "../../util/stream.ts";
import type { S3Client } from "./s3-client.ts";
import { parseXml, textAt } from "./s3-errors.ts";

/** Larger objects are sent in parts. */
const ONE_PUT = 1024 ** 3;
const LEAST_PART = 64 * 1024 ** 2;
/** A server accepts 10 000 parts. */
const PART_COUNT = 9000;
const ANSWER_LIMIT = 64 * 1024;

/** The size of the parts of an object; undefined if it is sent at once. */
export function parts(size: number): number | undefined {
  return size <= ONE_PUT ? undefined : Math.max(LEAST_PART, Math.ceil(size / PART_COUNT));
}

/** What to send in parts. */
export interface PartedUpload {
  readonly key: string;
  /** A stream from its start must be verified. */
  readonly source: Source;
  readonly partSize: number;
  readonly what: string;
  readonly onBytes?: ((count: number) => void) | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Sends an object in parts; if that fails, tells the server to forget them. */
export async function sendParts(client: S3Client, upload: PartedUpload): Promise<void> {
  const { key, what, signal } = upload;
  const begun = await client.send({
    method: "POST",
    key,
    query: { uploads: "" },
    body: new Uint8Array(),
    what,
    signal,
  });
  const answer = begun.response ? await client.readBody(begun.response, ANSWER_LIMIT, what) : Buffer.alloc(0);
  const uploadId = textAt(parseXml(answer)["InitiateMultipartUploadResult"], "UploadId");
  if (uploadId === undefined) throw new StaveError("REGISTRY_ERROR", `cannot ${what}: the server began no upload`);
  try {
    const tags = await sendAll(client, upload, uploadId);
    const list = tags.map((tag, at) => `<Part><PartNumber>${at + 1}</PartNumber><ETag>${tag}</ETag></Part>`).join("");
    const body = Buffer.from(`<CompleteMultipartUpload>${list}</CompleteMultipartUpload>`);
    const { response } = await client.send({ method: "POST", key, query: { uploadId }, body, what, signal });
    // Completing may fail after the status was sent.
    const text = response ? await client.readBody(response, ANSWER_LIMIT, what) : Buffer.alloc(0);
    const value = parseXml(text);
    // The second is what moto before 5.2.5 writes.
    const result = value["CompleteMultipartUploadResult"] ?? value["CompleteMultipartUploadResponse"];
    if (result !== undefined) return;
    const said = textAt(value["Error"], "Message") ?? "no result";
    throw new StaveError("REGISTRY_ERROR", `cannot ${what}: the parts were not put together: ${said}`);
  } catch (error) {
    await client.send({ method: "DELETE", key, query: { uploadId }, what, signal: undefined }).catch(() => {});
    throw error;
  }
}

async function sendAll(client: S3Client, upload: PartedUpload, uploadId: string): Promise<string[]> {
  const { key, source, partSize, what, onBytes, signal } = upload;
  const tags: string[] = [];
  const buffer = Buffer.allocUnsafe(partSize);
  let filled = 0;
  const send = async (): Promise<void> => {
    const query = { partNumber: String(tags.length + 1), uploadId };
    const body = buffer.subarray(0, filled);
    const more = { traffic: "upload" } as const;
    const { response } = await client.send({ method: "PUT", key, query, body, what, more, signal });
    response?.body.resume();
    const tag = response && headerOf(response, "etag");
    if (tag === undefined) throw new StaveError("REGISTRY_ERROR", `cannot ${what}: a part has no ETag`);
    tags.push(tag.replaceAll("&", "&amp;").replaceAll("<", "&lt;"));
    onBytes?.(filled);
    filled = 0;
  };
  // The last part is sent only after the stream has ended, and so was verified.
  for await (const chunk of (await source.open(0)) as AsyncIterable<Buffer>)
    for (let rest = chunk; rest.byteLength > 0; ) {
      if (filled === partSize) await send();
      const taken = rest.copy(buffer, filled);
      filled += taken;
      rest = rest.subarray(taken);
    }
  await send();
  return tags;
}
