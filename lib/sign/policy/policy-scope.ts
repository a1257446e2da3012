// The places that the rules of a policy are about. A rule covers a place and all below it; the longest one that covers
// a place decides alone. Different spellings of one place have one form here, so that none of them evades a rule.
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { StaveError } from "../../errors.ts";
import { isRepository } from "../../oci/reference.ts";
import { printable } from "../../printable/printable.ts";

// The names of Docker Hub.
const HUB = new Set(["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"]);

/** Resolves links in the path of a directory that exists; returns other paths as they are. */
export type RealPath = (path: string) => string;

/** The form of the place of a rule. Throws CONFIG_INVALID for a text that names no place. */
export function scopeOf(text: string, policy: string, real: RealPath): string {
  const form = formOf(text, real);
  if (form !== undefined) return form;
  throw new StaveError("CONFIG_INVALID", `${policy} has a rule for "${printable(text)}", which names no place`, {
    subject: policy,
    hint: "write oci://HOST/PATH, oci-layout:/DIR, https://HOST/PATH, s3://BUCKET/FOLDER or file:///DIR, without a tag",
  });
}

function formOf(text: string, real: RealPath): string | undefined {
  const directory = /^oci-layout:(\/(?:.*\/)?[^:]*)$/.exec(text)?.[1];
  if (directory !== undefined) return layoutPlace(resolve(directory), real);
  if (text.startsWith("file:///")) {
    const folder = folderOf(text);
    return folder === undefined ? undefined : folderPlace(folder, real);
  }
  const [, scheme, host = "", path = ""] = /^(oci|oci\+http|https?):\/\/([^/]*)(\/.*)?$/.exec(text) ?? [];
  if (scheme !== undefined) {
    if (!/^[A-Za-z0-9.:[\]-]+$/.test(host) || URL.parse(`https://${host}`) === null) return undefined;
    if (scheme.startsWith("oci")) return repositoryPrefix(host, path);
    const url = /[@?#:]/.test(path) ? null : URL.parse(text);
    return url === null ? undefined : webPlace(url);
  }
  const [, bucketScheme, bucket = "", folder = ""] =
    /^(s3|gs):\/\/([A-Za-z0-9][A-Za-z0-9._-]*)(\/.*)?$/.exec(text) ?? [];
  return bucketScheme === undefined ? undefined : bucketPlace(bucketScheme, bucket, folder);
}

// As the location of a mirror is read, with %20 and the like.
function folderOf(url: string): string | undefined {
  try {
    return fileURLToPath(url);
  } catch {
    return undefined;
  }
}

// What is no name of a repository would never apply. Upper case is read as lower case, as in references.
function repositoryPrefix(host: string, path: string): string | undefined {
  const repository = bare(path).slice(1);
  if (repository === "") return path.length > 1 ? undefined : `oci://${hostOf(host)}`;
  return isRepository(repository) ? registryPlace(host, repository) : undefined;
}

/** The form of a repository of a registry. */
export function registryPlace(registry: string, repository: string): string {
  return `oci://${hostOf(registry)}/${repository.toLowerCase()}`;
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
  const [outer, inner] = [anyKind(scope), anyKind(place)];
  return inner === outer || inner.startsWith(`${outer}/`);
}

/**
 * A place without its kind. The content of a folder decides whether it is read as a mirror or as a layout, and anyone
 * who can write to the folder must not choose the rule that way.
 */
export function anyKind(place: string): string {
  return place.replace(/^(?:oci-layout:|file:\/\/)/, "");
}

// Other spellings of addresses and ports lead to the same host, and so do the usual ports and a dot at the end.
function hostOf(host: string): string {
  const name = (URL.parse(`https://${host}`)?.host ?? host.toLowerCase())
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
