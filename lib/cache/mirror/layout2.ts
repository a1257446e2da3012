// Mirrors of layout 2, which Spack 0.22 and 0.23 write, and of layout 1 before it, which differs only inside archives
// (Spack `url_buildcache.py`, URLBuildcacheEntryV2). They are read, never written.
import { StaveError } from "../../errors.ts";
import { digestFromHex, digestOf } from "../../oci/digest.ts";
import { sanitizeTag } from "../../oci/reference.ts";
import { readSpecFile, SPEC_FILE_LIMIT } from "../../spack/spec/spec-file.ts";
import { legacyFolder, legacyStem, specTag } from "../../spack/spec/spec-name.ts";
import { objectAt, own, stringAt } from "../../spack/text/fields.ts";
import { isObject, parseJsonText } from "../../spack/text/json.ts";
import type { OperationOptions } from "../../target/target.ts";
import type { FetchSpecOptions } from "../cache.ts";
import { readIndexBlob } from "../index-blob.ts";
import { type CacheIndex, INDEX_LIMIT, readIndexText } from "../index-read.ts";
import { checkIdentity } from "../spec-identity.ts";
import { parseSpecTag } from "../spec-tag.ts";
import { isClearSigned, textOf } from "./clear-signed.ts";
import { latestObject } from "./latest-object.ts";
import {
  type LayoutListing,
  type LayoutOptions,
  lacksPart,
  type MirrorLayout,
  type MirrorSpec,
  type NodeLookup,
} from "./mirror-layout.ts";
import { mediaTypeOf } from "./mirror-manifest.ts";

const FOLDER = "build_cache";
/** The key of the index. */
export const LAYOUT2_INDEX = `${FOLDER}/index.json`;
const SIGNED = ".spec.json.sig";
const PLAIN = ".spec.json";
const ARCHIVE = ".spack";
/** What is left of a mirror without specs: its index and keys. */
export const LAYOUT2_REST: readonly string[] = [
  LAYOUT2_INDEX,
  `${LAYOUT2_INDEX}.hash`,
  `${FOLDER}/index.html`,
  `${FOLDER}/_pgp/`,
];
/** The end of spec files of Spack 0.16 and older. */
const YAML = ".spec.yaml";

/** The files of one spec. */
export interface Layout2Files {
  /** In order of preference. */
  readonly specs: readonly string[];
  readonly archive: string;
}

/** The part of a mirror in layout 2. */
export class Layout2 implements MirrorLayout {
  readonly #options: LayoutOptions;
  readonly #lookup: NodeLookup;
  /** From listings, by tag. */
  readonly #files = new Map<string, Layout2Files>();
  #isThere: Promise<boolean> | undefined;

  constructor(options: LayoutOptions, lookup: NodeLookup) {
    this.#options = options;
    this.#lookup = lookup;
  }

  async list({ specs, foreign }: LayoutListing, options: OperationOptions): Promise<boolean> {
    const { objects } = this.#options;
    const stems = new Map<string, string[]>();
    const archives = new Map<string, string>();
    let hasIndex = false;
    let yaml: string | undefined;
    for await (const { key } of objects.list(`${FOLDER}/`, options)) {
      const file = key.slice(key.lastIndexOf("/") + 1);
      if (key === LAYOUT2_INDEX) hasIndex = true;
      else if (file.endsWith(ARCHIVE)) archives.set(file.slice(0, -ARCHIVE.length), key);
      else if (file.endsWith(YAML)) yaml = file;
      else if (key === `${FOLDER}/${file}` && (file.endsWith(SIGNED) || file.endsWith(PLAIN))) {
        const stem = file.slice(0, -(file.endsWith(SIGNED) ? SIGNED : PLAIN).length);
        const found = stems.get(stem) ?? [];
        // A signed file comes first.
        stems.set(stem, file.endsWith(SIGNED) ? [key, ...found] : [...found, key]);
      }
    }
    if (yaml !== undefined && stems.size === 0) throw tooOld(objects.name);
    for (const [stem, keys] of stems) {
      const archive = archives.get(stem);
      // Only the folder of the archive separates the name and version from what comes before them.
      const head = archive?.split("/").at(-2);
      const tag = sanitizeTag(`${head}-${stem.slice(-32)}.spack`);
      const found = head !== undefined && stem.includes(`-${head}-`) ? parseSpecTag(tag) : undefined;
      if (archive === undefined || found === undefined) foreign.push(...keys);
      else if (!specs.has(tag)) {
        this.#files.set(tag, { specs: keys, archive });
        specs.set(tag, found);
      }
    }
    return hasIndex;
  }

  /** The files of the specs that were listed, by tag. */
  get files(): ReadonlyMap<string, Layout2Files> {
    return this.#files;
  }

  // The files that a spec has, or would have.
  async #filesOf(tag: string, options: FetchSpecOptions): Promise<Layout2Files | undefined> {
    const known = this.#files.get(tag);
    if (known !== undefined) return known;
    if (!(await this.#exists(options))) return undefined;
    // A name does not suffice for these files; callers that have one want to avoid reading the index.
    const node = options.node ?? (options.named === undefined ? await this.#lookup(tag, options) : undefined);
    if (node === undefined || specTag(node) !== tag) return this.#files.get(tag);
    const stem = legacyStem(node);
    return {
      specs: [`${FOLDER}/${stem}${SIGNED}`, `${FOLDER}/${stem}${PLAIN}`],
      archive: `${FOLDER}/${legacyFolder(node)}/${stem}${ARCHIVE}`,
    };
  }

  // Most mirrors have no such files, and should not be asked for those of each spec.
  async #exists(options: OperationOptions): Promise<boolean> {
    const { objects } = this.#options;
    this.#isThere ??= (async () => {
      if ((await objects.look(LAYOUT2_INDEX, options)) !== undefined) return true;
      if (!objects.can.list) return false;
      for await (const _ of objects.list(`${FOLDER}/`, options)) return true;
      return false;
    })();
    return await this.#isThere;
  }

  async has(tag: string, options: FetchSpecOptions): Promise<boolean> {
    const files = await this.#filesOf(tag, options);
    for (const key of files?.specs ?? [])
      if ((await this.#options.objects.look(key, options)) !== undefined) return true;
    return false;
  }

  async fetchSpec(tag: string, options: FetchSpecOptions): Promise<MirrorSpec | undefined> {
    const { objects, signatures } = this.#options;
    const files = await this.#filesOf(tag, options);
    for (const key of files?.specs ?? []) {
      const found = await objects.read(key, SPEC_FILE_LIMIT, options);
      if (found === undefined || files === undefined) continue;
      const { bytes } = found;
      const name = `${objects.name}/${key}`;
      const source = { name };
      const text = signatures ? await signatures.verify(bytes, name, options) : textOf(bytes, name);
      const value = parseJsonText(text, source);
      const layoutVersion = isObject(value) ? own(value, "buildcache_layout_version") : undefined;
      if (!isObject(value) || layoutVersion === undefined || layoutVersion === 0) throw tooOld(name);
      if (layoutVersion !== 1 && layoutVersion !== 2)
        throw new StaveError("CONTENT_INVALID", `${name} has layout ${String(layoutVersion)}, expected 1 or 2`, {
          subject: name,
        });
      const document = readSpecFile(Buffer.from(text, "utf8"), name);
      checkIdentity(document, tag, name, options.isKnown);
      const place = { source };
      const checksum = objectAt(value, "binary_cache_checksum", place);
      if (stringAt(checksum, "hash_algorithm", place) !== "sha256") throw lacksPart(name, "sha256 checksum");
      const digest = digestFromHex(stringAt(checksum, "hash", place));
      const archived = await objects.look(files.archive, options);
      if (archived !== undefined && archived.size === undefined)
        throw new StaveError("REGISTRY_ERROR", `${objects.name} does not tell the size of ${files.archive}`, {
          subject: files.archive,
          hint: "the server must answer HEAD with a Content-Length",
        });
      if (archived?.size === undefined)
        throw new StaveError("NOT_FOUND", `${objects.name} has no ${files.archive}`, { subject: files.archive });
      const archive = { mediaType: mediaTypeOf("archive"), digest, size: archived.size };
      const spec = {
        ...{ tag, layers: [archive], archive, diffId: undefined, layoutVersion, archivedAt: undefined },
        ...{ env: [], document, isSigned: isClearSigned(bytes) },
      };
      return { spec, archiveKey: files.archive };
    }
    return undefined;
  }

  async readIndex(options: OperationOptions): Promise<CacheIndex | undefined> {
    const { objects, memory } = this.#options;
    const [name, hint] = [`the index of ${objects.name}`, "push the specs again"];
    const latest = memory && (await latestObject(objects, LAYOUT2_INDEX, { ...options, memory, limit: INDEX_LIMIT }));
    if (latest === "absent") return undefined;
    if (latest === undefined || latest === "unkept") {
      const found = await objects.read(LAYOUT2_INDEX, INDEX_LIMIT, options);
      return found && readIndexText({ name, hint, bytes: found.bytes, digest: digestOf(found.bytes) });
    }
    const open = () => objects.open(LAYOUT2_INDEX, latest, options);
    return await readIndexBlob({ ...latest, name, hint, memory, path: objects.path?.(LAYOUT2_INDEX), open });
  }
}

function tooOld(name: string): StaveError {
  return new StaveError(
    "UNSUPPORTED",
    `${name} was written by Spack 0.17 or older; no Spack of today installs from it`,
    {
      subject: name,
      hint: "push the packages again with `stave push` from the store they were built in",
    },
  );
}
