// Fetches image configs: small blobs that are read whole.
import { StaveError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { readAll } from "../util/stream.ts";
import { withRefetch } from "./refetch.ts";
import type { BlobFetcher, OperationOptions } from "./target.ts";

/** Maximum number of bytes of a config; that of a Spack image with 2 000 nodes has about 6 MB. */
export const CONFIG_LIMIT: number = 64 * 1024 * 1024;

/** Fetches a verified config. Throws TOO_LARGE before fetching it, and as fetchBlob does. */
export async function fetchConfig(
  target: BlobFetcher,
  config: Descriptor,
  options: OperationOptions = {},
): Promise<Buffer> {
  const subject = `config ${config.digest}`;
  if (config.size > CONFIG_LIMIT)
    throw new StaveError("TOO_LARGE", `${subject} has ${config.size} bytes, expected at most ${CONFIG_LIMIT}`, {
      subject,
    });
  return await withRefetch(target, async (from) =>
    readAll(await from.fetchBlob(config, { ...options, isDocument: true }), CONFIG_LIMIT, subject),
  );
}
