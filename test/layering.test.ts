// Proves that imports point down only, between folders and inside them, and that no files import each other in a
// circle.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { test } from "node:test";

const lib = resolve(import.meta.dirname, "../lib");

const OPS = [
  ...["errors", "printable", "oci", "util", "target", "serve", "copy", "spack", "image", "relocate", "store", "loader"],
  ...["cache", "catalogue", "sign", "sbom"],
];

// What each part may import besides itself; a part is a folder of lib, or a file at its root.
const MAY_IMPORT: Record<string, string[]> = {
  errors: [],
  printable: [],
  oci: ["errors", "printable"],
  util: ["errors", "printable", "oci"],
  http: ["errors", "printable", "oci", "util"],
  auth: ["errors", "printable", "oci", "util", "http"],
  target: ["errors", "printable", "oci", "util", "http", "auth"],
  serve: ["errors", "printable", "oci", "util", "target"],
  copy: ["errors", "printable", "oci", "util", "target"],
  spack: ["errors", "printable", "oci", "util"],
  image: ["errors", "printable", "oci", "util", "spack"],
  relocate: ["errors", "printable", "oci", "util", "spack", "image"],
  store: ["errors", "printable", "oci", "util", "spack", "image"],
  loader: ["errors", "oci", "util", "relocate"],
  objects: ["errors", "printable", "oci", "util", "http", "auth"],
  cache: ["errors", "printable", "oci", "util", "objects", "target", "copy", "spack", "image"],
  catalogue: ["errors", "printable", "oci", "util", "target", "spack", "cache"],
  sign: ["errors", "printable", "oci", "util", "http", "target", "spack"],
  sbom: ["errors", "printable", "oci", "util", "spack"],
  ops: OPS,
  // The facade may use every part below it, and the command line all of these and the facade.
  api: [...OPS, "http", "auth", "objects", "ops"],
  cli: [...OPS, "http", "auth", "objects", "ops", "api"],
};

// The folders inside a part, lowest first: each may import those before it. "." stands for the files of the part
// itself.
const ORDER: Record<string, string[]> = {
  spack: ["text", "spec", "store", "config", "query", "environment", "recipe"],
  image: [".", "archive", "pack"],
  relocate: ["unpack", "prefix", "file", "tree", "place"],
  objects: [".", "s3"],
  cache: [".", "mirror"],
  target: [".", "layout", "registry"],
  sign: ["key", "statement", "identity", "signature", "policy", "keyless"],
  ops: ["image", "store", "cache", "sign", "push", "install", "sync"],
  api: ["machine", "project", "from-spack", "places", "signers", "functions"],
  cli: ["machine", "output", "arguments", "verbs", "."],
};

const PACKAGES: Record<string, string[]> = {
  libdeflate: ["image"],
  undici: ["http"],
  zod: ["oci", "util", "http", "auth", "target", "serve", "spack", "image", "loader", "cache", "sign", "ops", "cli"],
  commander: ["cli"],
  "cli-progress": ["cli"],
  yaml: ["spack"],
  bcryptjs: ["serve"],
  aws4fetch: ["objects"],
  "fast-xml-parser": ["objects"],
  "@noble": ["sign"],
  "@sigstore": ["sign"],
  "tuf-js": ["sign"],
};
// The files in which the library takes them from the calling process.
const AMBIENT_FILES = ["util/time.ts", "api/machine/surroundings.ts"];
const AMBIENT = /\bprocess\.env\b|\bconsole\.|\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(/;

function* filesBelow(directory: string): Iterable<string> {
  for (const entry of readdirSync(directory, { withFileTypes: true }))
    if (entry.isDirectory()) yield* filesBelow(join(directory, entry.name));
    else if (entry.name.endsWith(".ts")) yield join(directory, entry.name);
}

const sources = [...filesBelow(lib)];
const texts = new Map(sources.map((file) => [file, readFileSync(file, "utf8")]));
const partOf = (file: string): string => (relative(lib, file).split("/")[0] ?? "").replace(/\.ts$/, "");
const folderOf = (file: string): string => relative(join(lib, partOf(file)), dirname(file)) || ".";

const importsOf = (file: string): string[] =>
  [...(texts.get(file) ?? "").matchAll(/(?:\bfrom|\bimport)\s+"([^"\n]+)"|\bimport\("([^"\n]+)"\)/g)].map(
    (found) => found[1] ?? found[2] ?? "",
  );

/** The files of lib that a file imports. */
const neighboursOf = (file: string): string[] =>
  importsOf(file)
    .filter((name) => name.startsWith("."))
    .map((name) => resolve(dirname(file), name))
    .filter((other) => texts.has(other));

test("imports point down only, between parts and inside them", () => {
  const wrong: string[] = [];
  for (const file of sources) {
    const part = partOf(file);
    if (part === "index" || part === "exports") continue;
    const order = ORDER[part] ?? ["."];
    for (const other of neighboursOf(file)) {
      const isDown =
        partOf(other) === part
          ? order.indexOf(folderOf(other)) <= order.indexOf(folderOf(file))
          : MAY_IMPORT[part]?.includes(partOf(other));
      if (!isDown) wrong.push(`${relative(lib, file)} imports ${relative(lib, other)}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("no files import each other in a circle, types included", () => {
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (file: string, way: readonly string[]): void => {
    const at = way.indexOf(file);
    if (at >= 0) circles.push([...way.slice(at), file].map((name) => relative(lib, name)).join(" → "));
    if (at >= 0 || done.has(file)) return;
    for (const other of neighboursOf(file)) visit(other, [...way, file]);
    done.add(file);
  };
  for (const file of sources) visit(file, []);
  assert.deepEqual(circles, []);
});

test("packages are imported by the parts that own them", () => {
  const wrong: string[] = [];
  for (const file of sources)
    for (const name of importsOf(file)) {
      if (name.startsWith("node:") || builtinModules.includes(name)) continue;
      if (name.startsWith(".") && !name.endsWith("/package.json")) continue;
      const owners = name.endsWith("/package.json") ? ["api"] : PACKAGES[name.split("/")[0] ?? ""];
      if (!owners?.includes(partOf(file))) wrong.push(`${relative(lib, file)} imports ${name}`);
    }
  assert.deepEqual(wrong, []);
});

test("the tables name what is there, and all of it", () => {
  const parts = new Set(sources.map(partOf));
  parts.delete("index");
  parts.delete("exports");
  assert.deepEqual(Object.keys(MAY_IMPORT).sort(), [...parts].sort());
  for (const part of parts) {
    const folders = new Set(sources.filter((file) => partOf(file) === part && dirname(file) !== lib).map(folderOf));
    if (folders.size > 0) assert.deepEqual([...(ORDER[part] ?? ["."])].sort(), [...folders].sort(), part);
  }
  const used = new Set(sources.flatMap(importsOf).map((name) => name.split("/")[0]));
  assert.deepEqual(
    Object.keys(PACKAGES).filter((name) => !used.has(name)),
    [],
  );
});

// The folders of ops identify these files.
const SHARED_NAMES = new Set(["options.ts", "report.ts", "run.ts"]);

test("no two files have the same name, but for the verb that each of several layers has", () => {
  const verbs = new Set(readdirSync(join(lib, "cli/verbs")));
  const seen = new Map<string, string>();
  const twice: string[] = [];
  for (const file of sources) {
    const name = relative(dirname(file), file);
    const [part, folder] = [partOf(file), folderOf(file)];
    if (part === "cli" && folder === "verbs") continue;
    // They are named as users import them.
    if (part === "exports") continue;
    if (part === "ops" && (verbs.has(name) || SHARED_NAMES.has(name))) continue;
    const other = seen.get(name);
    if (other !== undefined) twice.push(`${other} and ${relative(lib, file)}`);
    seen.set(name, relative(lib, file));
  }
  assert.deepEqual(twice, []);
});

test("documents and comments name files that are there", () => {
  const root = dirname(lib);
  const documents = ["README.md", "CONTRIBUTING.md", ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`)];
  const wrong: string[] = [];
  for (const file of [
    ...documents.filter((name) => name.endsWith(".md")),
    ...sources.map((name) => relative(root, name)),
  ])
    for (const [path] of readFileSync(join(root, file), "utf8").matchAll(
      /\b(?:lib|test|scripts)\/[\w/.-]+\.(?:ts|json)\b/g,
    ))
      if (!existsSync(join(root, path))) wrong.push(`${file} names ${path}`);
  assert.deepEqual(wrong, []);
});

test("only the command line and the surroundings of the library read the environment, the clock and the console", () => {
  const wrong: string[] = [];
  for (const file of sources) {
    if (partOf(file) === "cli" || AMBIENT_FILES.some((name) => file.endsWith(name))) continue;
    const lines = (texts.get(file) ?? "").split("\n");
    for (const [at, line] of lines.entries())
      if (AMBIENT.test(line.replace(/^\s*(?:\/\/|\*|\/\*).*/, "")))
        wrong.push(`${relative(lib, file)}:${at + 1} ${line.trim()}`);
  }
  assert.deepEqual(wrong, []);
});

test("folders are made by util/folder.ts: Node's recursive mkdir does not end on some file systems", () => {
  const wrong = sources.filter((file) => /\bmkdir(?:Sync)?\([^;]*recursive: true/.test(texts.get(file) ?? ""));
  assert.deepEqual(wrong, []);
});

test("no listing is Node's recursive one, which follows links", () => {
  const wrong = sources.filter((file) =>
    /\b(?:readdir|opendir)(?:Sync)?\([^;]*recursive: true/.test(texts.get(file) ?? ""),
  );
  assert.deepEqual(wrong, []);
});
