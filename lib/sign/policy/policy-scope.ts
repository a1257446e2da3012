// The places that the rules of a policy are about. A rule covers a place and all below it; the longest one that covers
// a place decides alone. Different spellings of one place have one form here, so that none of them evades a rule.
import { resolve } from "node:path";
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";

// The names of Docker Hub.
const HUB = new Set(["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"]);

/** Resolves links in the path of a directory that exists; returns other paths as they are. */
export type RealPath = (path: string) => string;

/** The form of the place of a rule. Throws CONFIG_INVALID for a text that names no place. */
export function scopeOf(text: string, policy: string, real: RealPath): string {
  const [, scheme, host = "", path = ""] = /^(oci|oci\+http|https?|file):\/\/([^/]*)(\/.*)?$/.exec(text) ?? [];
  const directory = /^oci-layout:(\/(?:.*\/)?[^:]*)$/.exec(text)?.[1];
  if (directory !== undefined) return `oci-layout:${bare(real(resolve(directory)))}`;
  if (scheme === "file" && host === "" && path !== "") return `file://${bare(real(resolve(path)))}`;
  if (scheme !== undefined && scheme !== "file" && /^[A-Za-z0-9.:[\]-]+$/.test(host) && !/[@?#:]/.test(path)) {
    if (scheme.startsWith("oci") && !path.includes("//")) return `oci://${hostOf(host)}${bare(path)}`;
    const url = scheme.startsWith("http") ? URL.parse(text) : null;
    if (url !== null) return webPlace(url);
  }
  const [, bucketScheme, bucket = "", folder = ""] =
    /^(s3|gs):\/\/([A-Za-z0-9][A-Za-z0-9._-]*)(\/.*)?$/.exec(text) ?? [];
  if (bucketScheme !== undefined) return bucketPlace(bucketScheme, bucket, folder);
  throw new StaveError("CONFIG_INVALID", `${policy} has a rule for "${printable(text)}", which names no place`, {
    subject: policy,
    hint: "write oci://HOST/PATH, oci-layout:/DIR, https://HOST/PATH, s3://BUCKET/FOLDER or file:///DIR, without a tag",
  });
}

/** The form of a repository of a registry. */
export function registryPlace(registry: string, repository: string): string {
  return `oci://${hostOf(registry)}/${repository}`;
}

/** The form of a layout directory. */
export function layoutPlace(directory: string, real: RealPath): string {
  return `oci-layout:${bare(real(directory))}`;
}

/** The form of a mirror in a folder. */
export function folderPlace(directory: string, real: RealPath): string {
  return `file://${bare(real(directory))}`;
}

/** The form of a mirror on a web server. */
export function webPlace({ host, pathname }: URL): string {
  return `https://${hostOf(host)}${pathOf(pathname)}`;
}

/** The form of a mirror in a bucket. Names of buckets and keys are compared exactly. */
export function bucketPlace(scheme: string, bucket: string, folder: string): string {
  const path = folder.replace(/^\/+|\/+$/g, "");
  return `${scheme}://${bucket}${path === "" ? "" : `/${path}`}`;
}

/** True if a rule covers a place. */
export function covers(scope: string, place: string): boolean {
  return place === scope || place.startsWith(`${scope}/`);
}

function hostOf(host: string): string {
  const name = host
    .toLowerCase()
    .replace(/:(?:443|80)$/, "")
    .replace(/\.+(?=:\d+$|$)/, "");
  return HUB.has(name) ? "docker.io" : name;
}

// Servers read these spellings as one path: encoded letters, and slashes that are doubled.
function pathOf(path: string): string {
  const decoded = path.replace(/%[0-9A-F]{2}/gi, (code) => {
    const letter = String.fromCharCode(Number.parseInt(code.slice(1), 16));
    return /[A-Za-z0-9._~!$&'()*+,;=:@-]/.test(letter) ? letter : code.toUpperCase();
  });
  return bare(decoded.replace(/\/{2,}/g, "/"));
}

function bare(path: string): string {
  return path.replace(/\/+$/, "");
}
