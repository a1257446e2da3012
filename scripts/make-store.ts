// Creates a store of any size for benchmarks and tests: a database with true hashes, and below it prefixes with a
// realistic mix of files. The same seed gives the same bytes.
// usage: tsx scripts/make-store.ts DIR [BYTES] [FILES] [SPECS] [SEED]
import { linkSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { SpecNode } from "../lib/spack/spec/node.ts";
import { writeSpecFile } from "../lib/spack/spec/spec-writer.ts";
import { postOrder } from "../lib/spack/spec/traversal.ts";
import { readDatabase } from "../lib/spack/store/database.ts";
import type { Store } from "../lib/spack/store/store.ts";
import { dice } from "./dice.ts";
import { isMain } from "./is-main.ts";
import { type DatabaseOptions, makeDatabase } from "./make-database.ts";
import { byteCodeMaker, type Maker, packedMaker, programMaker, textMaker } from "./store-content.ts";

export interface MakeStoreOptions {
  /** The approximate total size of all files, in bytes. */
  bytes: number;
  /** The approximate number of files. */
  files: number;
  /** How many specs are installed, each with a prefix; externals are added. */
  specs: number;
  seed: number;
  /** The recorded root; default: the folder itself. */
  root?: string;
  /** As for makeDatabase: consecutive specs that depend only on each other; the share of specs that are installed. */
  stack?: number;
  installed?: number;
}

/**
 * True if a spec and its dependencies are external or installed; a made store has others, whose dependents cannot be
 * pushed. `types`: only these dependencies.
 */
export function isWhole(store: Pick<Store, "get">, spec: SpecNode, options: { readonly types?: number } = {}): boolean {
  return postOrder([spec], options).every(
    ({ hash, external }) => external !== undefined || store.get(hash)?.installed === true,
  );
}

type Kind = "text" | "program" | "byteCode" | "packed";

// The shares of files and bytes by kind: many small sources, few large programs, and a quarter of already compressed
// data.
const KINDS: readonly { kind: Kind; files: number; bytes: number }[] = [
  { kind: "text", files: 0.58, bytes: 0.27 },
  { kind: "byteCode", files: 0.22, bytes: 0.13 },
  { kind: "program", files: 0.05, bytes: 0.37 },
  { kind: "packed", files: 0.15, bytes: 0.23 },
];
const NAMES: Record<Kind, readonly ((n: number) => string)[]> = {
  text: [
    (n) => `include/part${n % 37}/header-${n}.h`,
    (n) => `lib/python3.11/site-packages/module${n % 53}/source_${n}.py`,
    (n) => `share/doc/section${n % 11}/page-${n}.txt`,
    (n) => `lib/pkgconfig/part-${n}.pc`,
  ],
  byteCode: [(n) => `lib/python3.11/site-packages/module${n % 53}/__pycache__/source_${n}.cpython-311.pyc`],
  program: [
    (n) => `lib/libpart${n}.so.1.${n % 9}`,
    (n) => `bin/tool-${n}`,
    (n) => `libexec/kit/part${n % 5}/worker-${n}`,
  ],
  packed: [
    (n) => `share/java/archive-${n}.jar`,
    (n) => `share/man/man3/page-${n}.3.gz`,
    (n) => `share/icons/size${n % 7}/image-${n}.png`,
  ],
};
const EXECUTABLE = /^(?:bin|libexec)\//;

/** Writes a store into a folder, and returns how much is in it. */
export function makeStore(folder: string, options: MakeStoreOptions): { files: number; bytes: number; specs: number } {
  const { seed, root = folder, stack, installed: share } = options;
  const random = dice(seed);
  const text = databaseOf(options.specs, { seed, root, stack, installed: share });
  const database = readDatabase({ name: "index.json", bytes: Buffer.from(text) });
  const installed = [...database.records.values()].filter(
    (record) => record.installed && record.node.external === undefined,
  );
  mkdirSync(`${folder}/.spack-db`, { recursive: true });
  writeFileSync(`${folder}/.spack-db/index.json`, text);
  writeFileSync(`${folder}/.spack-db/index_verifier`, "00000000-0000-4000-8000-000000000000");
  writeFileSync(`${folder}/.spack-db/lock`, "");
  // A few large packages, and many small ones.
  const weights = installed.map(() => Math.exp(1.4 * (random() + random() + random() + random() - 2) * 1.2));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const sum = { files: 0, bytes: 0, specs: installed.length };
  for (const [at, { node, path }] of installed.entries()) {
    if (path === null || path === undefined) continue;
    const prefix = `${folder}${path.slice(root.length)}`;
    write(`${prefix}/.spack/spec.json`, Buffer.from(writeSpecFile(node, database.graph)));
    fillPrefix(prefix, path, (weights[at] ?? 0) / total, options, seed * 1000 + at, sum);
  }
  return sum;
}

// As many specs as requested: some of those created are externals, or not installed.
function databaseOf(specs: number, options: Omit<DatabaseOptions, "installs">): string {
  for (let installs = specs + 5, count = specs; ; installs += Math.max(1, specs - count)) {
    const text = makeDatabase({ ...options, installs });
    const { records } = readDatabase({ name: "index.json", bytes: Buffer.from(text) });
    count = [...records.values()].filter((record) => record.installed && record.node.external === undefined).length;
    if (count >= specs) return text;
  }
}

function fillPrefix(
  prefix: string,
  recorded: string,
  share: number,
  { bytes, files }: MakeStoreOptions,
  seed: number,
  sum: { files: number; bytes: number },
): void {
  const random = dice(seed);
  const makers: Record<Kind, Maker> = {
    text: textMaker(seed),
    program: programMaker(seed),
    byteCode: byteCodeMaker(seed),
    packed: packedMaker(seed),
  };
  for (const { kind, ...part } of KINDS) {
    const count = Math.max(1, Math.round(files * share * part.files));
    const mean = (bytes * share * part.bytes) / count;
    for (let n = 0; n < count; n++) {
      const size = Math.max(16, Math.round(mean * Math.exp(1.5 * (random() + random() - 1)) * 0.83));
      const names = NAMES[kind];
      const name = names[Math.floor(random() * names.length)]?.(n) ?? "";
      write(`${prefix}/${name}`, makers[kind].make(size, recorded), EXECUTABLE.test(name) ? 0o755 : 0o644);
      sum.files++;
      sum.bytes += size;
      if (kind === "program" && name.startsWith("lib/"))
        symlinkSync(name.slice(4), `${prefix}/${name.replace(/\.1\.\d$/, "")}`);
      if (kind === "program" && name.startsWith("bin/") && n % 4 === 0)
        linkSync(`${prefix}/${name}`, `${prefix}/${name}-1.0`);
    }
  }
}

function write(path: string, content: Buffer, mode = 0o644): void {
  try {
    writeFileSync(path, content, { mode });
  } catch {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content, { mode });
  }
}

if (isMain(import.meta)) {
  const [folder, bytes = "1200e6", files = "46000", specs = "48", seed = "1"] = process.argv.slice(2);
  if (folder === undefined) throw new Error("usage: tsx scripts/make-store.ts DIR [BYTES] [FILES] [SPECS] [SEED]");
  const made = makeStore(folder, {
    bytes: Number(bytes),
    files: Number(files),
    specs: Number(specs),
    seed: Number(seed),
  });
  console.log(`${made.specs} specs, ${made.files} files, ${(made.bytes / 1e6).toFixed(1)} MB`);
}
