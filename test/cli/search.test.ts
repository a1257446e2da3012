// Proves that `search` ranks what it finds, that a spec that matches nothing is answered with what was meant, and that
// on a terminal one of several specs can be picked, and the terminal is left as it was.
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { before, test } from "node:test";
import type { SpecNode } from "../../lib/spack/spec/node.ts";
import { findProgram } from "../../scripts/peers.ts";
import { inTerminal, stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";
import { madeCache } from "../support/made-cache.ts";
import { copyOf, SPACK_1 } from "../support/stores.ts";
import { temporaryFolder } from "../support/tree.ts";

const CACHE = `oci-layout:${golden("spack-1.2/plain.oci")}`;
const noTerminal = findProgram("script") === undefined && "there is no `script` to make a terminal with";
const work = temporaryFolder();
const env = { HOME: work, SPACK_ROOT: "", XDG_CACHE_HOME: join(work, "xdg") };

async function run(args: string[], status = 0): Promise<string> {
  const ran = await stave(args, { cwd: work, env });
  assert.equal(ran.status, status, `${args.join(" ")}: ${ran.stdout}${ran.stderr}`);
  return ran.stdout + ran.stderr;
}

test("names that are equal, begin, contain, and slips of the pen, in this order", async () => {
  const found = async (text: string, status = 0): Promise<string[]> => {
    const { report } = JSON.parse((await stave(["search", text, CACHE, "-a", "--json"], { env })).stdout);
    assert.equal(report.packages.length > 0 ? 0 : 1, status);
    return report.packages.map(({ name, match }: { name: string; match: string }) => `${name} ${match}`);
  };
  assert.deepEqual(await found("hull"), ["hull exact"]);
  assert.deepEqual(await found("HUL"), ["hull prefix"]);
  assert.deepEqual(await found("age"), ["voyage contains"]);
  assert.deepEqual(await found("fleat"), ["fleet near"]);
  assert.deepEqual(await found("nothing-like-it", 1), []);
  assert.match(await run(["search", "gg", CACHE, "-a"]), /^rigging +1 +2024\.11$/m);
  assert.match(await run(["search", " ", CACHE], 2), /nothing to look for/);
});

test("descriptions of installed specs are searched, and are only text", async () => {
  const sysroot = await copyOf(SPACK_1);
  const layout = join(sysroot, SPACK_1.root, "linux-x86_64");
  const prefix = readdirSync(layout).find((name) => name.startsWith("hull-")) ?? "";
  const folder = join(layout, prefix, ".spack/repos/spack_repo/shipyard/packages/hull");
  mkdirSync(folder, { recursive: true });
  const recipe =
    'from spack.package import *\n\n\nclass Hull(Package):\n    """The watertight\n    body.\u001b[31m\n\n    More.\n    """\n';
  writeFileSync(join(folder, "package.py"), recipe);
  const said = await run(["search", "WATERTIGHT", CACHE, "-a", "--store", SPACK_1.root, "--sysroot", sysroot]);
  assert.match(said, /^hull +1 +1\.10\.1 +The watertight body\./m);
  assert.ok(!said.includes("\u001b"));
});

test("a spec that matches nothing is answered with what was probably meant", async () => {
  for (const [args, expected] of [
    [["install", CACHE, "hul", "--store", "s", "-o"], /hul is not in [\s\S]*did you mean hull\?/],
    [["install", CACHE, "hull@9", "--store", "s", "-o"], /hint: there is hull@1\.10\.1/],
    [["run", CACHE, "voyag", "-o", "--", "x"], /did you mean voyage\?/],
    [["inspect", CACHE, "hulk"], /did you mean hull\?/],
  ] as const)
    assert.match(await run([...args], 7), expected);
  assert.match(await run(["list", CACHE, "fleat", "-a"], 1), /did you mean fleet\?/);
});

test("every query of a list that matches nothing is named, also beside one that matches", async () => {
  const listed = await run(["list", CACHE, "hul", "fleet", "nosuch", "-a"]);
  assert.match(listed, /^fleet@/m);
  assert.match(listed, /no cached spec matches hul: did you mean hull\?\nno cached spec matches nosuch\n/);
  assert.doesNotMatch(await run(["list", CACHE, "hull", "fleet", "-a"]), /matches/);
  assert.match(await run(["list", CACHE, "hul", "fleet", "-a", "--tags"]), /no cached spec matches hul\n/);
});

test("what `find` does not find is named, with what was probably meant", async () => {
  const store = ["--store", SPACK_1.root, "--sysroot", await copyOf(SPACK_1)];
  assert.match(await run(["find", "voyagge", ...store], 1), /matches voyagge: did you mean voyage\?/);
  const found = await run(["find", "hull", "nosuch", ...store]);
  assert.match(found, /^hull@/m);
  assert.match(found, /no installed spec matches nosuch\n/);
});

test("a directory typed without ./ is not silently taken as a spec", async () => {
  const cwd = temporaryFolder();
  await cp(golden("spack-1.2/plain.oci"), join(cwd, "stave-cache"), { recursive: true });
  for (const name of ["sources", "hul"]) mkdirSync(join(cwd, name));
  const hint = (name: string) => `${name} is a directory here: write ./${name}`;
  const run = ["--", "voyage"];
  for (const [args, status, expected] of [
    [["list", "stave-cache"], 2, hint("stave-cache")],
    [["list", "stave-cache", "hull"], 2, hint("stave-cache")],
    [["list", "sources", "hull", "-a"], 0, hint("sources")],
    [["list", "sources"], 1, hint("sources")],
    [["run", "-o", "stave-cache", "voyage", ...run], 7, hint("stave-cache")],
    [["install", "stave-cache", "voyage", "--store", "./s", "-o"], 7, hint("stave-cache")],
    [["search", "stave-cache"], 1, hint("stave-cache")],
    [["install", "./stave-cache", "hul", "--store", "./s", "-o"], 7, `did you mean hull?; ${hint("hul")}`],
  ] as const) {
    const ran = await stave([...args], { cwd, env });
    assert.equal(ran.status, status, `${args.join(" ")}: ${ran.stdout}${ran.stderr}`);
    assert.ok(ran.stderr.includes(expected), `${args.join(" ")}: ${ran.stderr}`);
  }
});

const LAYOUT = `oci-layout:${work}/cache`;
let several: SpecNode[] = [];
before(async () => {
  const { nodes } = await madeCache(work, LAYOUT, 60, 5);
  const byName = Map.groupBy(nodes, ({ name }) => name);
  several = [...byName.values()].toSorted((a, b) => b.length - a.length)[0] ?? [];
  assert.ok(several.length > 2, "no package has several specs");
});

/** Asks for a package of which there are several specs, and presses keys in the list. */
async function pick(keys: string, columns = 100, more: string[] = []) {
  const args = ["install", LAYOUT, several[0]?.name ?? "", "-o", "--plan", "--store", join(work, "s"), ...more];
  return await inTerminal(args, { cwd: work, env, columns, type: { after: "which one?", keys } });
}

test("on a terminal one of several specs is picked with the arrow keys", { skip: noTerminal }, async () => {
  const picked = new Set<string>();
  for (const keys of ["\r", "\u001b[B\r", "\u001b[A\r"]) {
    const { status, output } = await pick(keys);
    assert.equal(status, 0, output);
    const planned = output.slice(output.indexOf("ACTION"));
    const [one] = several.filter(
      ({ hash }) => planned.includes(`${several[0]?.name}@`) && planned.includes(hash.slice(0, 7)),
    );
    picked.add(one?.hash ?? "");
    // The list is gone, and the cursor is back.
    assert.ok(output.lastIndexOf("\u001b[?25h") > output.lastIndexOf("\u001b[?25l"));
  }
  assert.ok(!picked.has("") && picked.size >= 2, [...picked].join());
});

for (const [name, keys] of [
  ["Ctrl-C", "\u0003"],
  ["q", "q"],
] as const)
  test(`${name} in the list aborts, and leaves the terminal as it was`, { skip: noTerminal }, async () => {
    const { status, output } = await pick(keys);
    assert.equal(status, 130, output);
    assert.match(output, /no spec was picked/);
    assert.ok(output.lastIndexOf("\u001b[?25h") > output.lastIndexOf("\u001b[?25l"));
  });

// biome-ignore lint/suspicious/noControlCharactersInRegex: sequences begin with Escape
const withoutEscapes = (line: string): string => line.replaceAll(/\u001b\[[0-9;?]*[A-Za-z]|\r/g, "");

test("40 columns are enough for the list", { skip: noTerminal }, async () => {
  const { output } = await pick("q", 40);
  const drawn = output.slice(output.indexOf("\u001b[?25l") + 6, output.lastIndexOf("\u001b[?25h"));
  const lines = drawn.split(/\r?\n/).map((line) => withoutEscapes(line));
  for (const line of lines) assert.ok(line.length < 40, line);
});

test("pipes, --json and --yes never ask", { skip: noTerminal }, async () => {
  const name = several[0]?.name ?? "";
  const args = [LAYOUT, name, "-o", "--plan", "--store", join(work, "s")];
  assert.match(await run(["install", ...args], 2), /matches \d+ specs/);
  const json = await inTerminal(["install", ...args, "--json"], { cwd: work, env });
  assert.equal(json.status, 2, json.output);
  assert.doesNotMatch(json.output, /which one/);
});
