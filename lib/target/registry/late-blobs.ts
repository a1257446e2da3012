// A registry may refuse a manifest because it cannot see the manifest's blobs yet: its storage is eventually
// consistent, or another client is pushing the same blob and its link is half written (distribution does not replace
// links in one step). Such a refusal passes, so the manifest is sent again a few times.
import { isStaveError } from "../../errors.ts";
import type { Repository } from "./repository.ts";

/** The pauses between attempts, in milliseconds. A blob that is really missing costs their sum. */
const PAUSES = [100, 400, 1200];

/** Sends a manifest. If the registry does not know one of its blobs, sends it again, at most three times. */
export async function untilBlobsAreSeen<T>(
  repository: Repository,
  signal: AbortSignal | undefined,
  send: () => Promise<T>,
): Promise<T> {
  const { clock } = repository.options;
  for (const pause of PAUSES) {
    try {
      return await send();
    } catch (error) {
      if (!isStaveError(error) || !error.registry?.some(({ code }) => code === "MANIFEST_BLOB_UNKNOWN")) throw error;
    }
    await clock.sleep(pause * (0.5 + clock.random()), signal);
  }
  return await send();
}
