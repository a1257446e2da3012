// Creates a mirror of any size with nothing but an index, for benchmarks and tests of large indexes. Specs are made in
// batches, so that memory does not grow with the mirror.
// usage: tsx scripts/make-mirror.ts DIR [SPECS] [PATCHES]
import { closeSync, mkdirSync, openSync, renameSync, writeFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { blobKey, manifestText } from "../lib/cache/mirror/mirror-manifest.ts";
import { Digester } from "../lib/oci/digest.ts";
import { isMain } from "./is-main.ts";
import { makeDatabase } from "./make-database.ts";

export interface MirrorOptions {
  readonly specs: number;
  /** The number of patches of each spec, which makes the index larger. */
  readonly patches?: number;
}

/** Specs per batch, and per stack of dependencies. */
const BATCH = 2500;
const STACK = 60;

/** Writes the mirror into a folder, and returns the size of its index. */
export function writeMirrorIndex(folder: string, { specs, patches = 0 }: MirrorOptions): number {
  const digester = new Digester();
  const temporary = join(folder, "index");
  mkdirSync(folder, { recursive: true });
  const file = openSync(temporary, "w");
  const write = (text: string): void => {
    const bytes = Buffer.from(text, "latin1");
    digester.update(bytes);
    writeSync(file, bytes);
  };
  write('{"database":{"version":"8","installs":{');
  const seen = new Set<string>();
  for (let seed = 1; seen.size < specs; seed++) {
    const installs = Math.min(BATCH, specs - seen.size);
    const text = makeDatabase({ installs: Math.max(installs, STACK), seed, root: "/opt/store", stack: STACK, patches });
    const { database } = JSON.parse(text);
    const records: string[] = [];
    for (const [hash, { spec, ref_count }] of Object.entries<{ spec: object; ref_count: number }>(database.installs)) {
      if (seen.has(hash) || seen.size === specs) continue;
      const isExternal = "external" in spec;
      const separator = seen.size === 0 ? "" : ",";
      seen.add(hash);
      const rest = `"ref_count":${ref_count},"in_buildcache":${!isExternal}`;
      records.push(`${separator}"${hash}":{"spec":${JSON.stringify(spec)},${rest}}`);
    }
    write(records.join(""));
  }
  write("}}}");
  closeSync(file);
  const digest = digester.digest();
  const { size } = digester;
  const place = (key: string): string => {
    mkdirSync(dirname(join(folder, key)), { recursive: true });
    return join(folder, key);
  };
  renameSync(temporary, place(blobKey({ digest })));
  writeFileSync(place("v3/manifests/index/index.manifest.json"), manifestText([{ kind: "index", digest, size }]));
  writeFileSync(place("v3/layout.json"), '{"signing": "gpg"}');
  return size;
}

if (isMain(import.meta)) {
  const [folder, specs = "100000", patches = "0"] = process.argv.slice(2);
  if (folder === undefined) throw new Error("usage: tsx scripts/make-mirror.ts DIR [SPECS] [PATCHES]");
  console.log(`${writeMirrorIndex(folder, { specs: Number(specs), patches: Number(patches) })} bytes`);
}
