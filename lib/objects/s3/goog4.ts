// Signatures for Google Cloud Storage ("V4 signing process", GOOG4-HMAC-SHA256 with HMAC keys). Its conditions are
// x-goog headers, and a request may not have x-amz headers beside them, so that Amazon's form does not do.
import { createHmac } from "node:crypto";
import { type Digest, digestOf, hexOf } from "../../oci/digest.ts";
import { strictlyEncoded } from "./s3-settings.ts";

/** A request to be signed. */
export interface Goog4Request {
  readonly method: string;
  readonly url: URL;
  /** The digest of the content. */
  readonly digest: Digest;
  /** Those that start with x-goog- are signed. */
  readonly headers: Readonly<Record<string, string>>;
  /** `YYYYMMDDTHHMMSSZ`. */
  readonly time: string;
}

/** Google does not compare it. */
const LOCATION = "auto";
const ALGORITHM = "GOOG4-HMAC-SHA256";

/** The headers that sign a request. */
export function goog4Headers(
  { method, url, digest, headers, time }: Goog4Request,
  { id, secret }: { readonly id: string; readonly secret: string },
): Record<string, string> {
  const own = { "x-goog-content-sha256": hexOf(digest), "x-goog-date": time };
  const signed = Object.entries({ ...headers, ...own, host: url.host })
    .filter(([name]) => name === "host" || name.startsWith("x-goog-"))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const names = signed.map(([name]) => name).join(";");
  const query = [...url.searchParams]
    .map(([name, value]) => `${strictlyEncoded(name)}=${strictlyEncoded(value)}`)
    .sort()
    .join("&");
  const lines = signed.map(([name, value]) => `${name}:${value.trim()}\n`).join("");
  const canonical = [method, url.pathname, query, lines, names, hexOf(digest)].join("\n");
  const day = time.slice(0, 8);
  const scope = `${day}/${LOCATION}/storage/goog4_request`;
  const text = [ALGORITHM, time, scope, hexOf(digestOf(canonical))].join("\n");
  const key = [day, LOCATION, "storage", "goog4_request"].reduce<Buffer | string>(
    (found, part) => createHmac("sha256", found).update(part).digest(),
    `GOOG4${secret}`,
  );
  const signature = createHmac("sha256", key).update(text).digest("hex");
  return {
    ...own,
    authorization: `${ALGORITHM} Credential=${id}/${scope}, SignedHeaders=${names}, Signature=${signature}`,
  };
}
