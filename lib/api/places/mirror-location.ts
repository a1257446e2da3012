// The places of build caches: those of images, and mirrors, which are folders or URLs.
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { StaveError } from "../../errors.ts";
import type { S3Dialect } from "../../objects/s3/s3-settings.ts";
import { formatLocation, type Location } from "../../oci/reference.ts";
import { printable } from "../../printable/printable.ts";
import { redactUrls, rememberSecret, rememberSignature, Secret } from "../../printable/secret.ts";
import { isLayoutFolder } from "../../target/layout/layout-folder.ts";
import { kindAt } from "../../util/inspect-path.ts";

/** A mirror: a folder, a URL on a web server with the login that it contains, or a folder in a bucket. */
export type MirrorLocation =
  | { readonly kind: "mirror folder"; readonly directory: string; readonly name: string }
  | {
      readonly kind: "bucket mirror";
      /** `gs` for Google Cloud Storage. */
      readonly scheme: S3Dialect;
      readonly bucket: string;
      readonly prefix: string;
    }
  | {
      readonly kind: "web mirror";
      /** Without login and query. */
      readonly url: URL;
      /** What the URL has after `?`, for every request: it may be a signature for all files of the mirror. */
      readonly query: Secret | undefined;
      readonly login: { readonly user: string; readonly password: Secret } | undefined;
    };

/** Where a build cache is. */
export type CacheLocation = Location | MirrorLocation;

/** True for places that only the network reaches. */
export function isRemote({ kind }: Pick<CacheLocation, "kind">): boolean {
  return kind === "registry" || kind === "web mirror" || kind === "bucket mirror";
}

/** True for a mirror. */
export function isMirror(location: CacheLocation): location is MirrorLocation {
  return location.kind !== "registry" && location.kind !== "layout";
}

/** True if a folder is a mirror. */
export function isMirrorFolder(directory: string): boolean {
  const has = (name: string): boolean => kindAt(resolve(directory, name)) === "folder";
  return !isLayoutFolder(directory) && (has("v3") || has("build_cache"));
}

const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]*):(?=\/\/)/;

/**
 * The mirror that a text names by `file://`, `http://`, `https://`, `s3://` or `gs://`, or as a folder with a mirror in
 * it; undefined for any other text. Throws REFERENCE_INVALID, and UNSUPPORTED for URLs of other kinds of mirrors.
 */
export function parseMirror(text: string, cwd: string): CacheLocation | undefined {
  const scheme = SCHEME.exec(text)?.[1]?.toLowerCase();
  if (scheme === undefined)
    return /^\.{0,2}\//.test(text) && isMirrorFolder(resolve(cwd, text))
      ? { kind: "mirror folder", directory: resolve(cwd, text), name: text }
      : undefined;
  if (scheme === "file") return fileMirror(text);
  if (scheme === "http" || scheme === "https") return webMirror(text);
  if (scheme === "s3" || scheme === "gs") return bucketMirror(text, scheme);
  if (scheme === "sftp" || scheme === "ftp")
    throw new StaveError("UNSUPPORTED", `${shown(text)} cannot be read: stave has no ${scheme} client`, {
      subject: shown(text),
      hint: "name a file://, s3://, gs:// or https:// mirror, an oci:// registry or an oci-layout: directory",
    });
  return undefined;
}

function fileMirror(text: string): CacheLocation {
  let directory: string;
  try {
    directory = fileURLToPath(text);
  } catch (cause) {
    throw invalidUrl(text, "file:///FOLDER", cause);
  }
  if (isLayoutFolder(directory)) return { kind: "layout", directory, tag: undefined, digest: undefined };
  return { kind: "mirror folder", directory, name: text.replace(/\/+$/, "") };
}

// Names as AWS allows them; other servers allow upper-case letters and underscores, too.
const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/;

function bucketMirror(text: string, scheme: S3Dialect): MirrorLocation {
  const [, bucket = "", prefix = ""] = /^[a-z0-9]+:\/\/([^/]*)\/*(.*?)\/*$/i.exec(text) ?? [];
  const isSafe = !prefix.split("/").some((part) => part === ".." || part === "../.." || part.includes("\0"));
  if (!BUCKET.test(bucket) || !isSafe) throw invalidUrl(text, `${scheme}://BUCKET/FOLDER`);
  return { kind: "bucket mirror", scheme, bucket, prefix };
}

function webMirror(text: string): MirrorLocation {
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw invalidUrl(text, "https://HOST/PATH", cause);
  }
  const { username, password, search } = url;
  rememberSignature(url);
  // The query is needed for the whole run, unlike that of a redirect.
  for (const [, value] of url.searchParams) if (value.length >= 16) rememberSecret(value);
  if (url.hash !== "") throw invalidUrl(text, "https://HOST/PATH without #");
  const query = search === "" ? undefined : new Secret(search.slice(1));
  url.search = "";
  url.username = "";
  url.password = "";
  const login =
    username === "" && password === ""
      ? undefined
      : { user: decodeURIComponent(username), password: new Secret(decodeURIComponent(password)) };
  return { kind: "web mirror", url, query, login };
}

function invalidUrl(text: string, expected: string, cause?: unknown): StaveError {
  return new StaveError("REFERENCE_INVALID", `invalid mirror "${shown(text)}": expected ${expected}`, {
    subject: shown(text),
    ...(cause === undefined ? {} : { cause }),
  });
}

const shown = (text: string): string => printable(redactUrls(text), { most: 160 });

/** Formats the place of a cache so that a user can type it again, without secrets. */
export function formatCache(location: CacheLocation): string {
  if (location.kind === "mirror folder") return location.name;
  if (location.kind === "bucket mirror")
    return `${location.scheme}://${location.bucket}${location.prefix === "" ? "" : `/${location.prefix}`}`;
  if (location.kind === "web mirror") return location.url.href.replace(/\/+$/, "");
  return formatLocation(location);
}
