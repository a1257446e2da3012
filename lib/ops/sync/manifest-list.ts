// The lists of manifests that `buildcache sync --manifest-glob` of Spack reads: which specs are to be copied from where
// to where.
import * as z from "zod";
import { parseSpecTag, type TaggedSpec } from "../../cache/spec-tag.ts";
import { StaveError } from "../../errors.ts";
import { parseBySchema } from "../../oci/manifest.ts";
import { sanitizeTag } from "../../oci/reference.ts";
import { printable } from "../../printable/printable.ts";
import { isDagHash } from "../../spack/spec/node-reader.ts";

/** Maximum number of bytes of a list. */
export const MANIFEST_LIST_LIMIT: number = 64 * 1024 * 1024;

/** Specs to copy from one mirror to another. */
export interface ManifestGroup {
  readonly from: string;
  /** The mirror that the list names. */
  readonly to: string;
  readonly specs: readonly TaggedSpec[];
}

const listSchema = z.record(z.string(), z.looseObject({ src: z.string(), dest: z.string() }));
const URL_OF_MANIFEST = /^(?<base>.*?)\/+v3\/manifests\/spec\/(?<name>[^/]+)\/(?<stem>[^/]+)\.spec\.manifest\.json$/;

/**
 * Reads a list: DAG hashes with the URLs of manifests, `src` and `dest`. Throws CONTENT_INVALID for anything else, and
 * for a URL that names another spec.
 */
export function readManifestList(bytes: Buffer, name: string): ManifestGroup[] {
  const groups = new Map<string, { from: string; to: string; specs: TaggedSpec[] }>();
  for (const [hash, { src, dest }] of Object.entries(parseBySchema(bytes, listSchema, name))) {
    const [from, to] = [read(src, hash, name), read(dest, hash, name)];
    const key = `${from.base} ${to.base}`;
    const group = groups.get(key) ?? { from: from.base, to: to.base, specs: [] };
    group.specs.push(from.spec);
    groups.set(key, group);
  }
  return [...groups.values()];
}

function read(url: string, hash: string, name: string): { base: string; spec: TaggedSpec } {
  const { base = "", name: spec = "", stem = "" } = URL_OF_MANIFEST.exec(url)?.groups ?? {};
  const tag = sanitizeTag(`${stem}.spack`);
  const version = stem.slice(spec.length + 1, -(hash.length + 1));
  if (isDagHash(hash) && stem === `${spec}-${version}-${hash}` && parseSpecTag(tag) !== undefined)
    return { base, spec: { tag, hash, name: spec, version } };
  throw new StaveError(
    "CONTENT_INVALID",
    `${printable(name)} names ${printable(url.slice(0, 300))} for ${printable(hash.slice(0, 40))}, expected the URL of its manifest`,
    { subject: name, hint: "expected MIRROR/v3/manifests/spec/NAME/NAME-VERSION-HASH.spec.manifest.json" },
  );
}
