// Layering is a fact and not a hope: parses every import of lib/ and fails on an arrow that points up.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { test } from "node:test";

const lib = resolve(import.meta.dirname, "../lib");

// What each part may import; a part is a folder of lib, or a file at its root.
const MAY_IMPORT: Record<string, string[]> = {
  errors: [],
  oci: ["errors"],
  util: ["errors", "oci"],
  http: ["errors", "oci", "util"],
  auth: ["errors", "oci", "util", "http"],
  target: ["errors", "oci", "util", "http", "auth"],
  serve: ["errors", "oci", "util", "target"],
  copy: ["errors", "oci", "util", "target"],
  spack: ["errors", "oci", "util"],
  image: ["errors", "oci", "util", "spack"],
  relocate: ["errors", "oci", "util", "spack", "image"],
  store: ["errors", "oci", "util", "spack", "image"],
  cache: ["errors", "oci", "util", "target", "copy", "spack", "image"],
  sign: ["errors", "oci", "util", "http", "auth", "target", "copy", "spack", "image", "cache"],
  ops: ["errors", "oci", "util", "target", "serve", "copy", "spack", "image", "relocate", "store", "cache", "sign"],
  cli: [
    ...[
      "errors",
      "oci",
      "util",
      "http",
      "auth",
      "target",
      "serve",
      "copy",
      "spack",
      "image",
      "relocate",
      "store",
      "cache",
      "sign",
    ],
    "ops",
  ],
};
// What every part may import, because all of them write messages; these files import one another only.
const TEXT = new Set(["util/secret.ts", "util/text.ts"]);
const PACKAGES: Record<string, string[]> = {
  libdeflate: ["image"],
  undici: ["http"],
  zod: ["oci", "util", "http", "auth", "target", "serve", "spack", "image", "cache", "sign", "ops", "cli"],
  commander: ["cli"],
  "cli-progress": ["cli"],
  yaml: ["spack"],
  koffi: ["util"],
  bcryptjs: ["serve"],
  tar: ["image"],
};
const AMBIENT = /\bprocess\.env\b|\bconsole\.|\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(/;

function* sources(directory: string): Iterable<string> {
  for (const entry of readdirSync(directory, { withFileTypes: true }))
    if (entry.isDirectory()) yield* sources(join(directory, entry.name));
    else if (entry.name.endsWith(".ts")) yield join(directory, entry.name);
}

const partOf = (file: string): string =>
  TEXT.has(relative(lib, file)) ? "text" : (relative(lib, file).split("/")[0] ?? "").replace(/\.ts$/, "");
const importsOf = (text: string): string[] =>
  [...text.matchAll(/(?:\bfrom|\bimport)\s+"([^"\n]+)"|\bimport\("([^"\n]+)"\)/g)].map(
    (found) => found[1] ?? found[2] ?? "",
  );

test("imports point down only", () => {
  const wrong: string[] = [];
  for (const file of sources(lib)) {
    const part = partOf(file);
    if (part === "index") continue;
    for (const name of importsOf(readFileSync(file, "utf8"))) {
      const where = `${relative(lib, file)} imports ${name}`;
      if (name.endsWith("/package.json")) {
        if (part !== "cli") wrong.push(where);
      } else if (name.startsWith(".")) {
        const other = partOf(resolve(dirname(file), name));
        if (other !== part && other !== "text" && !MAY_IMPORT[part]?.includes(other)) wrong.push(where);
      } else if (!name.startsWith("node:") && !builtinModules.includes(name)) {
        const base = name.split("/")[0] ?? "";
        if (!PACKAGES[base]?.includes(part)) wrong.push(where);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

test("only the command line reads the environment, the clock and the console", () => {
  const wrong: string[] = [];
  for (const file of sources(lib)) {
    if (partOf(file) === "cli" || file.endsWith("util/time.ts")) continue;
    const lines = readFileSync(file, "utf8").split("\n");
    for (const [at, line] of lines.entries())
      if (AMBIENT.test(line.replace(/^\s*(?:\/\/|\*|\/\*).*/, "")))
        wrong.push(`${relative(lib, file)}:${at + 1} ${line.trim()}`);
  }
  assert.deepEqual(wrong, []);
});

test("folders are made by util/folder.ts: Node's recursive mkdir does not end on some file systems", () => {
  const wrong = [...sources(lib)].filter((file) =>
    /\bmkdir(?:Sync)?\([^;]*recursive: true/.test(readFileSync(file, "utf8")),
  );
  assert.deepEqual(wrong, []);
});
