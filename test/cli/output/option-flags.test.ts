// Hints of the library name options, and the command line prints the flags in their place.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { inFlags } from "../../../lib/cli/output/option-flags.ts";
import { stave } from "../../support/cli.ts";

const CASES: { name: string; hint: string; expect: string }[] = [
  { name: "an option", hint: "use `plainHttp` if you trust it", expect: "use --plain-http if you trust it" },
  { name: "an option that takes a value", hint: "name it with `store`, or", expect: "name it with --store DIR, or" },
  { name: "an option with a value", hint: "use `minRate: 0` or", expect: "use --min-rate 0 or" },
  { name: "a value that has a flag", hint: "`buildDependencies: without`", expect: "--without-build-dependencies" },
  { name: "an option that is left out", hint: "or leave out `platform`", expect: "or leave out --platform" },
  { name: "a value that is left out", hint: "leave out `kind: hardlink`", expect: "leave out --hardlink" },
  { name: "a part of an option", hint: "check `clientCertificate.key`", expect: "check --key-file FILE" },
  {
    name: "a call",
    hint: 'rebuild it with `updateIndex("ghcr.io/a/b", { full: true })`',
    expect: "rebuild it with `stave index --full ghcr.io/a/b`",
  },
  { name: "a command", hint: "run `spack -e NAME remove`", expect: "run `spack -e NAME remove`" },
  { name: "a word that is no option", hint: "the key `url` is missing", expect: "the key `url` is missing" },
];
for (const { name, hint, expect } of CASES) test(`a hint with ${name}`, () => assert.equal(inFlags(hint), expect));

const lib = resolve(import.meta.dirname, "../../../lib");
const files = globSync("**/*.ts", { cwd: lib }).map((file) => ({ file, text: readFileSync(join(lib, file), "utf8") }));
const code = (text: string): string[] => text.split("\n").filter((line) => !/^\s*(?:\/\/|\/?\*)/.test(line));

test("no text of the library names a flag", () => {
  const found = files
    .filter(({ file }) => !file.startsWith("cli/"))
    .flatMap(({ file, text }) =>
      code(text)
        .filter((line) => /["'`].* --[a-z]|(?:hint: |\? |: )["'`]--[a-z]/.test(line))
        // Commands of other programs.
        .filter((line) => !/spack [a-z]+ --|set -gx --| --delim |"--store"[ ;]|"--store"$/.test(line))
        .map((line) => `${file}: ${line.trim()}`),
    );
  assert.deepEqual(found, []);
});

test("every option that a hint names has a flag, and every flag exists", () => {
  const table = files.find(({ file }) => file === "cli/output/option-flags.ts")?.text ?? "";
  const texts = files
    .filter(({ file }) => !file.startsWith("cli/"))
    .flatMap(({ text }) => code(text))
    .filter((line) => /hint|\? "|: "|\(found|^ *["`]/.test(line))
    // Texts in double quotes, and backquotes inside templates.
    .flatMap((line) => [...(line.match(/"(?:[^"\\]|\\.)*"/g) ?? []), ...(line.match(/\\`[^`]*\\`/g) ?? [])]);
  const named = texts.flatMap(
    (text) => text.replaceAll("\\`", "`").match(/`[a-z][A-Za-z]+(?:\.[a-z]+)?(?:: [^`]+)?`/g) ?? [],
  );
  assert.ok(named.length > 25, `${named.length} options were found in hints`);
  const ofSpack = ["`optional: true`", "`signed: false`"];
  for (const text of named) if (!ofSpack.includes(text)) assert.match(inFlags(text), /^-/, text);
  const commands = files
    .filter(({ file }) => /^cli\/(?:arguments|verbs)\//.test(file))
    .map(({ text }) => text)
    .join("\n");
  const flags = [...table.matchAll(/"(--?[a-z][a-z-]*)/g)].map(([, flag = ""]) => flag);
  assert.ok(flags.length > 20);
  for (const flag of flags) assert.match(commands, new RegExp(`["\` ]${flag}[" ,]`), flag);
});

test("the command line prints flags, in text and in JSON", async () => {
  const args = ["find", "--store", "/nonexistent/store", "--no-env"];
  const { stderr } = await stave(args);
  assert.match(stderr, /hint: name the store with --store DIR\n/);
  const { stdout } = await stave([...args, "--json"]);
  assert.equal(JSON.parse(stdout).error.hint, "name the store with --store DIR");
});
