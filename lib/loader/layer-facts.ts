// What one layer contributes to starting programs: its paths, the ELF files and scripts among them, and the loader's
// settings. Plain data, so that it can be remembered by the digest of the layer.
import { deflateRawSync, inflateRawSync } from "node:zlib";
import * as z from "zod";
import type { ByteString } from "../util/byte-string.ts";
import type { ElfFacts } from "./elf-facts.ts";
import type { CachedLibrary } from "./library-cache.ts";
import type { SystemPackage } from "./system-packages.ts";

/** A path of a layer, without a slash at its start or end. */
export type LayerEntry =
  | { readonly kind: "folder" }
  | { readonly kind: "link"; readonly target: ByteString }
  /** Another name of a file. */
  | { readonly kind: "same"; readonly target: ByteString }
  | FileEntry;

/** A file. */
export interface FileEntry {
  readonly kind: "file";
  readonly size: number;
  readonly isExecutable: boolean;
  readonly elf?: ElfFacts | undefined;
  /** The start of a script, from its `#!` on. */
  readonly script?: ByteString | undefined;
}

/** The facts of a layer. */
export interface LayerFacts {
  readonly entries: ReadonlyMap<ByteString, LayerEntry>;
  /** Paths of lower layers that are removed. */
  readonly removed: readonly ByteString[];
  /** Folders whose content in lower layers is removed. */
  readonly opaque: readonly ByteString[];
  /** The content of ld.so.cache, if the layer has it. */
  readonly cache: readonly CachedLibrary[] | undefined;
  /** Texts of the small files that matter, by path: os-release, accounts, the search path of musl. */
  readonly texts: ReadonlyMap<ByteString, string>;
  /** How many ELF files could not be read. */
  readonly unread: number;
  /** The packages that the layer's status files list, which are all of the image up to this layer. */
  readonly packages: readonly SystemPackage[];
}

/** Grows when the meaning of remembered facts changes, so that older ones are read again. */
const FACTS_VERSION = 4;
/** Maximum number of bytes of remembered facts. */
const FACTS_LIMIT = 512 * 1024 * 1024;

const text = z.string();
const texts = z.array(text);
const elfSchema = z.object({
  machine: z.number(),
  bits: z.union([z.literal(32), z.literal(64)]),
  isLittle: z.boolean(),
  isFixed: z.boolean().optional(),
  ...{ interpreter: text.optional(), soname: text.optional(), rpath: text.optional(), runpath: text.optional() },
  needed: texts.optional(),
  skipsDefaults: z.boolean().optional(),
  defines: texts.optional(),
  requires: z.array(z.object({ file: text, versions: texts })).optional(),
  folders: texts.optional(),
  release: text.optional(),
  debug: z.number().optional(),
});
const factsSchema = z.object({
  version: z.literal(FACTS_VERSION),
  // Paths with no more than a kind, a size or a target: one text each, because there are many.
  plain: texts,
  rich: z.array(
    z.object({
      path: text,
      size: z.number(),
      isExecutable: z.boolean(),
      elf: elfSchema.optional(),
      script: z.string().optional(),
    }),
  ),
  ...{ removed: texts, opaque: texts },
  cache: z.array(z.object({ name: text, path: text })).optional(),
  texts: z.array(z.tuple([text, text])),
  unread: z.number(),
  packages: z.array(z.object({ name: text, version: text })),
});

/** The facts as bytes. */
export function writeLayerFacts({ entries, texts: said, ...rest }: LayerFacts): Buffer {
  const plain: string[] = [];
  const rich: z.infer<typeof factsSchema>["rich"] = [];
  for (const [path, entry] of entries)
    if (entry.kind !== "file") plain.push(`${entry.kind} ${path}${entry.kind === "folder" ? "" : `\0${entry.target}`}`);
    else if (entry.elf === undefined && entry.script === undefined)
      plain.push(`${entry.isExecutable ? "program" : "file"} ${path}\0${entry.size}`);
    else {
      const { kind: _, ...more } = entry;
      rich.push({ path, ...more } as (typeof rich)[number]);
    }
  const written = { version: FACTS_VERSION, plain, rich, ...rest, texts: [...said] };
  return deflateRawSync(JSON.stringify(written), { level: 1 });
}

/** Reads remembered facts; undefined if they are damaged or of another version. */
export function parseLayerFacts(bytes: Buffer): LayerFacts | undefined {
  let parsed: z.infer<typeof factsSchema>;
  try {
    parsed = factsSchema.parse(JSON.parse(inflateRawSync(bytes, { maxOutputLength: FACTS_LIMIT }).toString()));
  } catch {
    return undefined;
  }
  const { plain, rich, removed, opaque, cache, texts: said, unread, packages } = parsed;
  const entries = new Map<ByteString, LayerEntry>();
  for (const line of plain) {
    const blank = line.indexOf(" ");
    const zero = line.indexOf("\0");
    const path = line.slice(blank + 1, zero < 0 ? undefined : zero);
    const rest = zero < 0 ? "" : line.slice(zero + 1);
    const kind = line.slice(0, blank);
    if (kind === "folder") entries.set(path, { kind });
    else if (kind === "link" || kind === "same") entries.set(path, { kind, target: rest });
    else entries.set(path, { kind: "file", size: Number(rest), isExecutable: kind === "program" });
  }
  for (const { path, ...more } of rich) entries.set(path, { kind: "file", ...more });
  return { entries, removed, opaque, cache, texts: new Map(said), unread, packages };
}
