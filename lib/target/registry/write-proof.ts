// Success needs proof: a captive portal or proxy may answer 200 to anything. A write has succeeded if the response
// names what was stored, as the specification requires (OCI distribution 1.1, "Pushing blobs", "Pushing Manifests");
// otherwise the registry is asked for it.
import { StaveError } from "../../errors.ts";
import { headerOf } from "../../http/response.ts";
import type { HttpResponse } from "../../http/types.ts";
import { algorithmOf, type Digest, isDigest } from "../../oci/digest.ts";
import { digestMismatch } from "../../util/stream.ts";
import type { Repository } from "./repository.ts";

/**
 * True if the response to a write names `digest` (or its Location ends in `reference`). Throws DIGEST_MISMATCH if it
 * names another digest.
 */
export function isProof(
  repository: Repository,
  response: HttpResponse,
  digest: Digest,
  reference: string = digest,
): boolean {
  const named = headerOf(response, "docker-content-digest");
  if (named === digest) return true;
  if (named !== undefined && isDigest(named) && algorithmOf(named) === algorithmOf(digest))
    throw digestMismatch(`what was pushed to ${repository.name}`, digest, named);
  const location = headerOf(response, "location");
  if (response.status !== 201 || location === undefined) return false;
  const pathname = URL.parse(location, response.url.href)?.pathname ?? "";
  return [digest, reference].some(
    (name) => pathname.endsWith(`/${name}`) || pathname.endsWith(`/${encodeURIComponent(name)}`),
  );
}

/** The error for a reported success without effect. */
export function unproved(repository: Repository, op: string, subject: string, status: number): StaveError {
  return new StaveError(
    "REGISTRY_ERROR",
    `cannot ${op} ${subject}: ${repository.name} answered ${status}, but nothing has changed there: a captive portal or a proxy?`,
    {
      op,
      subject,
      status,
      hint: "log in to the network with a browser, or check the host name and the proxy settings",
    },
  );
}
