// References and locations: `registry/repository:tag@digest`, `oci://` URLs, `oci-layout:` directories and paths; and
// valid tags from any text. The grammar is Spack's (`oci/image.py`), taken from the Docker distribution. No I/O.
import { StaveError } from "../errors.ts";
import { printable } from "../printable/printable.ts";
import { redactUserInfo } from "../printable/secret.ts";
import { type Digest, isDigest, parseDigest } from "./digest.ts";

/** The place of an image in a registry. Tag and digest are undefined if the text had none. */
export interface Reference {
  /** Host and optional port, as written: `ghcr.io`, `localhost:5000`, `[::1]:5000`. */
  registry: string;
  /** Lower-case path inside the registry. */
  repository: string;
  tag: string | undefined;
  digest: Digest | undefined;
}

/**
 * Where content lives: a repository of a registry, or an OCI image layout directory. Without a scheme a registry uses
 * https; a registry on this machine may fall back to http.
 */
export type Location =
  | { kind: "registry"; scheme: "http" | undefined; reference: Reference }
  | { kind: "layout"; directory: string; tag: string | undefined; digest: Digest | undefined };

const ALNUM = "[a-zA-Z0-9]+";
const COMPONENT = `${ALNUM}(?:(?:[._]|__|[-]+)${ALNUM})*`;
const REMOTE = `${COMPONENT}(?:/${COMPONENT})*`;
const LABEL = "(?:[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]|[a-zA-Z0-9])";
const DOMAIN = `(?:${LABEL}(?:\\.${LABEL})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?`;
const TAG = "[\\p{L}\\p{N}_][\\p{L}\\p{N}_.-]{0,127}";
const DIGEST = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*[:][0-9a-fA-F]{32,}";
const REFERENCE = new RegExp(`^((?:${DOMAIN}/)?${REMOTE})(?::(${TAG}))?(?:@(${DIGEST}))?$`, "u");
const WITH_DOMAIN = new RegExp(`^(${DOMAIN})/(${REMOTE})$`);
const ONLY_TAG = new RegExp(`^${TAG}$`, "u");
const ONLY_REMOTE = new RegExp(`^${REMOTE}$`);
const MAX_LENGTH = 1024;

/** The registry of a name without host. */
export const DEFAULT_REGISTRY = "index.docker.io";
/** The tag of a name without tag. */
export const DEFAULT_TAG = "latest";

/** True if a text is a valid tag. */
export function isTag(text: string): boolean {
  return ONLY_TAG.test(text);
}

/** True if a text is a valid repository name. */
export function isRepository(text: string): boolean {
  return text.length <= MAX_LENGTH && ONLY_REMOTE.test(text);
}

/** Parses a tag as typed. Throws REFERENCE_INVALID. */
export function parseTag(text: string): string {
  if (isTag(text)) return text;
  throw new StaveError(
    "REFERENCE_INVALID",
    `invalid tag "${shown(text)}": expected 1 to 128 letters, digits, "_", "." or "-", not starting with "." or "-"`,
    { subject: shown(text) },
  );
}

/** The most characters of a tag. */
const TAG_LENGTH = 128;

/**
 * Makes a tag of any text: invalid characters become `_`, a long text keeps its first and last 64 (Spack
 * `ensure_valid_tag`).
 */
export function sanitizeTag(text: string): string {
  const tag = text.replace(/[^\p{L}\p{N}_.-]/gu, "_");
  // An index update makes a tag of each of tens of thousands of specs.
  if (tag.length <= TAG_LENGTH) return tag;
  const points = [...tag];
  return points.length > TAG_LENGTH ? points.slice(0, 64).join("") + points.slice(-64).join("") : tag;
}

/** Parses `[HOST/]REPOSITORY[:TAG][@DIGEST]`. Throws REFERENCE_INVALID. */
export function parseReference(text: string): Reference {
  const found = text.length <= MAX_LENGTH ? REFERENCE.exec(text) : null;
  if (!found?.[1])
    throw new StaveError(
      "REFERENCE_INVALID",
      `invalid image reference "${shown(text)}": expected HOST/REPOSITORY[:TAG][@DIGEST]`,
      {
        subject: shown(text),
        hint: "for example ghcr.io/org/cache:tag, or oci-layout:./folder:tag for a directory",
      },
    );
  const { registry, repository } = splitName(found[1]);
  if (!URL.parse(`https://${registry}`))
    throw new StaveError(
      "REFERENCE_INVALID",
      `invalid image reference ${shown(text)}: ${shown(registry)} is not a host, or its port is above 65535`,
      { subject: text.slice(0, 160) },
    );
  return {
    registry,
    repository: repository.toLowerCase(),
    tag: found[2],
    digest: found[3] === undefined ? undefined : parseDigest(found[3].toLowerCase()),
  };
}

function splitName(name: string): { registry: string; repository: string } {
  const found = WITH_DOMAIN.exec(name);
  const [, domain, rest] = found ?? [];
  if (domain === undefined || rest === undefined) return { registry: DEFAULT_REGISTRY, repository: `library/${name}` };
  const isHost = /[.:]/.test(domain) || domain === "localhost" || domain.toLowerCase() !== domain;
  return isHost ? { registry: domain, repository: rest } : { registry: DEFAULT_REGISTRY, repository: name };
}

/** Formats a reference as `registry/repository[:tag][@digest]`. */
export function formatReference(reference: Reference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  const digest = reference.digest === undefined ? "" : `@${reference.digest}`;
  return `${reference.registry}/${reference.repository}${tag}${digest}`;
}

const SCHEMES: Record<string, "http" | undefined> = {
  "oci://": undefined,
  "oci+http://": "http",
  "docker://": undefined,
};

// The prefixes of skopeo and podman for a directory; stave's own comes first.
const LAYOUT = /^(?:oci-layout:|oci:(?!\/\/))/;
const PATH = /^(?:\/|\.{1,2}(?:\/|$))/;
// Prefixes of places that other tools use. A short word could also name an image, so it counts only if a path follows.
const FOREIGN = /^(?:(?:oci-archive|docker-archive|docker-daemon|containers-storage):|(?:dir|ostree|sif|tarball):[./])/;

/** True for texts that can only be paths: `/DIR`, `./DIR`, `../DIR`. */
export function isPath(text: string): boolean {
  return PATH.test(text);
}

/** True for texts that name their kind of place: a URL, a path, `oci-layout:` and the like. */
export function namesPlace(text: string): boolean {
  return isPath(text) || LAYOUT.test(text) || FOREIGN.test(text) || /^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(text);
}

/**
 * Parses the location of an image, a repository or a cache as a user types it: `oci://`, `oci+http://`, `docker://` or
 * a bare reference, `oci-layout:DIR[:TAG][@DIGEST]` (or skopeo's `oci:`), or a path with the same suffix. Throws
 * REFERENCE_INVALID, and UNSUPPORTED for archives and the places of other tools.
 */
export function parseLocation(text: string): Location {
  const prefix = LAYOUT.exec(text)?.[0] ?? (isPath(text) ? "" : undefined);
  if (prefix !== undefined) return parseLayoutLocation(text, prefix);
  if (FOREIGN.test(text)) {
    const kind = text.slice(0, text.indexOf(":"));
    throw new StaveError("UNSUPPORTED", `"${kind}:" cannot be read or written, expected a registry or a directory`, {
      subject: shown(text),
      hint: `copy it to a directory with \`skopeo copy ${shown(text)} oci:DIR:TAG\`, then name oci-layout:DIR:TAG`,
    });
  }
  if (text.startsWith("~"))
    throw new StaveError("REFERENCE_INVALID", `"${shown(text)}" starts with ~, which only a shell expands`, {
      subject: shown(text),
      hint: `write ${text.startsWith("~/") ? `"$HOME"${shown(text.slice(1))}` : "the whole path"}`,
    });
  for (const [prefix, scheme] of Object.entries(SCHEMES))
    if (text.startsWith(prefix))
      return { kind: "registry", scheme, reference: typedReference(text.slice(prefix.length)) };
  if (/^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(text))
    throw new StaveError("REFERENCE_INVALID", `unknown URL scheme in "${shown(text)}"`, {
      hint: "use oci://HOST/REPOSITORY, oci+http://HOST/REPOSITORY, docker://HOST/REPOSITORY or oci-layout:DIR",
    });
  return { kind: "registry", scheme: undefined, reference: typedReference(text) };
}

// By the grammar a host alone is an image of Docker Hub, and its port a tag; no user means that.
const ONLY_HOST = new RegExp(
  `^(?:localhost|${LABEL}(?:\\.${LABEL})*\\.[a-zA-Z]{2,}|[0-9]+(?:\\.[0-9]+){3})(?::[0-9]+)?/?$`,
);

/** The registry that a text names without a repository; undefined if it names more, or no registry. */
export function registryAlone(text: string): { scheme: "https" | "http" | undefined; registry: string } | undefined {
  const [prefix, scheme] = Object.entries(SCHEMES).find(([start]) => text.startsWith(start)) ?? ["", undefined];
  const rest = text.slice(prefix.length);
  return rest.length <= MAX_LENGTH && ONLY_HOST.test(rest) ? { scheme, registry: rest.replace(/\/$/, "") } : undefined;
}

function typedReference(text: string): Reference {
  if (text.length > MAX_LENGTH || !ONLY_HOST.test(text)) return parseReference(text);
  const host = text.replace(/\/$/, "");
  throw new StaveError("REFERENCE_INVALID", `${shown(host)} is a host, expected HOST/REPOSITORY[:TAG][@DIGEST]`, {
    subject: shown(host),
    hint: `add the repository: ${shown(host)}/REPOSITORY`,
  });
}

function parseLayoutLocation(text: string, prefix: string): Location {
  let rest = text.slice(prefix.length);
  let digest: Digest | undefined;
  let tag: string | undefined;
  const at = /@([A-Za-z0-9_+.-]+:[0-9a-fA-F]{32,})$/.exec(rest);
  if (at?.[1] !== undefined) {
    digest = parseDigest(at[1].toLowerCase());
    rest = rest.slice(0, at.index);
  }
  // The tag follows the last colon, unless that is part of the path.
  const colon = rest.lastIndexOf(":");
  if (colon >= 0 && !rest.slice(colon + 1).includes("/")) {
    tag = parseTag(rest.slice(colon + 1));
    rest = rest.slice(0, colon);
  }
  if (rest === "" || rest.includes("\0"))
    throw new StaveError(
      "REFERENCE_INVALID",
      `invalid layout location "${shown(text)}": expected oci-layout:DIR[:TAG][@DIGEST]`,
    );
  return { kind: "layout", directory: rest, tag, digest };
}

/** The same repository or directory, with this tag and no digest. */
export function withTag(location: Location, tag: string): Location {
  return location.kind === "layout"
    ? { ...location, tag, digest: undefined }
    : { ...location, reference: { ...location.reference, tag, digest: undefined } };
}

/** Formats a location so that a user can type it again. */
export function formatLocation(location: Location): string {
  if (location.kind === "registry")
    return `${location.scheme === "http" ? "oci+http" : "oci"}://${formatReference(location.reference)}`;
  const { directory, digest } = location;
  // A colon in the last part of the path would be taken for the one before a tag.
  const end = directory.slice(directory.lastIndexOf("/") + 1).includes(":") ? "/" : "";
  const tag = location.tag === undefined ? end : `:${location.tag}`;
  return `oci-layout:${directory}${tag}${digest === undefined ? "" : `@${digest}`}`;
}

/** Formats an image of a named place so that a user can type it. */
export function imageName(place: string, reference: string): string {
  return isDigest(reference) ? `${place}@${reference}` : `${place}:${reference}`;
}

// Masks a password in front of the host; the @ of a digest is followed by a colon.
function shown(text: string): string {
  // Looking for the colon in the same pattern would take time that grows with the square of the length.
  const safe = redactUserInfo(text).replace(/^[^/@\s]+@(?![a-z0-9]+:[0-9a-f]{32})/i, (user) =>
    user.includes(":") ? "***@" : user,
  );
  return printable(safe, { most: 160 });
}
