// Proves that the limits in docs/security.md are those of the source.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const root = join(import.meta.dirname, "..");
const document = readFileSync(join(root, "docs/security.md"), "utf8");
const UNITS: Readonly<Record<string, number>> = {
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  // Times are in milliseconds in the source, unless their names say otherwise.
  s: 1000,
  h: 3600_000,
  seconds: 1,
};
const rows = [...document.matchAll(/^\| (.+?) \| ([0-9 ]+?)(?: ([A-Za-z]+))? \| `([^`]+)` `([^`]+)` \|$/gm)].map(
  ([, what = "", digits = "", unit, file = "", name = ""]) => {
    const factor = unit === undefined ? 1 : UNITS[unit];
    assert.ok(factor !== undefined, `${what}: unknown unit ${unit}`);
    return { what, value: Number(digits.replaceAll(" ", "")) * factor, file, name };
  },
);

// Numbers that do not limit external input: how work is divided, and how much is shown.
const OTHERS = new Set([
  "cli/output/failure-text.ts MAX_INNER",
  "cli/output/failure-text.ts MAX_SHOWN",
  "image/archive/archive.ts MOST_SKIPPED",
  "image/archive/archive.ts MOST_UNSTRIPPED",
  "image/pack/compression.ts LARGEST_BLOCK",
  "image/pack/pack-pool.ts MOST_COMPRESSING",
  "image/pack/small-prefix.ts MOST_BYTES",
  "image/pack/small-prefix.ts MOST_ENTRIES",
  "image/archive/tar-writer.ts LARGEST_OCTAL_SIZE",
  "ops/push/dependency-layers.ts MOST_JOINED",
  "ops/push/shard.ts MOST",
  "spack/spec/graph.ts MOST_LINKED",
  "spack/spec/graph.ts MOST_SHARED",
  "relocate/place/finish.ts LINE_LIMIT",
  "relocate/place/finish.ts LONGEST_LINE",
  "relocate/file/patchelf.ts LONGEST_OUTPUT",
  "relocate/tree/relocate-tree.ts MOST_FAILURES",
  "relocate/file/scratch.ts LARGEST",
  "relocate/unpack/unpack.ts MOST_AT_ONCE",
  "spack/text/json.ts MAX_REPEATS",
  "spack/text/json-writer.ts MOST_QUOTED",
  "spack/text/json-writer.ts LONGEST_QUOTED",
  "spack/text/recurring.ts LEAST_FORGOTTEN",
  "spack/text/recurring-parts.ts LONGEST",
  "spack/text/recurring-parts.ts MOST_CHARACTERS",
  "spack/text/recurring-parts.ts MOST_SLOTS",
  "spack/text/recurring-parts.ts MOST_VALUES",
  "spack/text/recurring.ts LONGEST",
  "spack/text/recurring.ts MOST_ALIKE",
  "spack/text/recurring.ts MOST_REMEMBERED",
  "spack/spec/spec-diff.ts LIMIT",
  "spack/text/yaml.ts MOST_OPEN",
  "store/sbang.ts LONGEST_PATH",
  "util/held-tree.ts MOST_HELD",
  "printable/printable.ts LONGEST",
]);

/** The number assigned to a constant, undefined for anything but plain arithmetic. */
function constantIn(file: string, name: string): number | undefined {
  const text = readFileSync(join(root, "lib", file), "utf8");
  const [whole = "", member] = name.split(".");
  const set = new RegExp(`^(?:export )?const ${whole}\\b[^=\\n]*= (.+);$`, "m").exec(text)?.[1];
  const value = member === undefined ? set : new RegExp(`\\b${member}: ([^,}]+)`).exec(set ?? "")?.[1];
  if (value === undefined || !/^[0-9_e+*< ]+$/.test(value)) return undefined;
  return Number(new Function(`return ${value}`)());
}

test("every number in docs/security.md is that of its constant", () => {
  assert.ok(rows.length > 60);
  for (const { what, value, file, name } of rows)
    assert.equal(constantIn(file, name), value, `${what}: ${file} ${name}`);
});

test("every limit in the source is in docs/security.md", () => {
  const named = new Set(rows.map(({ file, name }) => `${file} ${name.split(".")[0]}`));
  const missing: string[] = [];
  for (const path of globSync("**/*.ts", { cwd: join(root, "lib") }))
    for (const [, name = ""] of readFileSync(join(root, "lib", path), "utf8").matchAll(
      /^(?:export )?const ([A-Z_]+)\b[^=\n]*=/gm,
    ))
      if (/(?:^|_)(?:LIMIT|LIMITS|MAX|MOST|LARGEST|LONGEST)(?:_|$)/.test(name))
        if (!named.has(`${path} ${name}`) && !OTHERS.has(`${path} ${name}`)) missing.push(`${path} ${name}`);
  assert.deepEqual(missing, []);
});

test("texts are made URLs in one step: URL.canParse may accept what the constructor then refuses", () => {
  // Compiled, Node's URL.canParse reads Latin-1 text as UTF-8 and so accepts, for example, a host with U+0080.
  const users = globSync("lib/**/*.ts", { cwd: root }).filter((file) =>
    readFileSync(join(root, file), "utf8").includes("URL.canParse"),
  );
  assert.deepEqual(users, []);
});
