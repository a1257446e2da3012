// Pushes and reads with plain requests, for tests of the registry server.
import { digestOf } from "../../lib/oci/digest.ts";
import type { TestImage } from "./content.ts";

/** Uploads a blob in two requests, and returns the last response. */
export async function upload(url: string, name: string, bytes: Uint8Array): Promise<Response> {
  const opened = await fetch(`${url}/v2/${name}/blobs/uploads/`, { method: "POST" });
  return await fetch(`${url}${opened.headers.get("location")}?digest=${digestOf(bytes)}`, {
    method: "PUT",
    body: Buffer.from(bytes),
  });
}

/** Pushes an image's blobs and its manifest, and returns the last response. */
export async function pushByHand(url: string, name: string, given: TestImage, tag: string): Promise<Response> {
  for (const { bytes } of given.blobs) await upload(url, name, bytes);
  return await fetch(`${url}/v2/${name}/manifests/${tag}`, {
    method: "PUT",
    headers: { "content-type": given.descriptor.mediaType },
    body: Buffer.from(given.bytes),
  });
}

/** The content that the registry has under the digest of some bytes. */
export async function read(url: string, name: string, bytes: Uint8Array): Promise<Buffer> {
  return Buffer.from(await (await fetch(`${url}/v2/${name}/blobs/${digestOf(bytes)}`)).arrayBuffer());
}

/** The first error code of a response. */
export async function code(response: Response): Promise<string | undefined> {
  return ((await response.json()) as { errors: { code: string }[] }).errors[0]?.code;
}
