// Proves that the documents match the program: codes, exit statuses, verbs and flags.
import assert from "node:assert/strict";
import { existsSync, globSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { z } from "zod";
import { ERROR_CODES, StaveError } from "../lib/errors.ts";
import { brokenLinks } from "../scripts/links.ts";
import { stave } from "./support/cli.ts";
import { temporaryFolder } from "./support/tree.ts";

const root = new URL("..", import.meta.url).pathname;
const read = (path: string) => readFileSync(join(root, path), "utf8");

/** The text in fenced blocks. */
const fenced = (text: string) => [...text.matchAll(/^```[a-z]*\n([\s\S]*?)^```/gm)].map((block) => block[1]).join("\n");

test("docs/errors.md lists every code that is thrown with its exit status, and the others as reserved", () => {
  const document = read("docs/errors.md");
  const codesIn = (text: string): string[] => [...text.matchAll(/`([A-Z]+_?[A-Z_]*)`/g)].map(([, code = ""]) => code);
  const listed = [...document.matchAll(/^\| ([0-9]+) \| (`[^|]*`) \|/gm)].flatMap(([, exit, codes = ""]) =>
    codesIn(codes).map((code) => `${code} ${exit}`),
  );
  const [, reserved = ""] = /^Reserved, and not used yet:((?:.+\n)+)/m.exec(document) ?? [];
  const sources = globSync("lib/**/*.ts", { cwd: root }).filter((file) => file !== "lib/errors.ts");
  const text = sources.map(read).join("\n");
  // Two are thrown by errors.ts itself: for several failures, and for files.
  const isThrown = (code: string): boolean => ["PARTIAL", "FILE_SYSTEM"].includes(code) || text.includes(`"${code}"`);
  const real = ERROR_CODES.filter(isThrown).map((code) => `${code} ${new StaveError(code, "").exitCode}`);
  assert.deepEqual(listed.sort(), real.sort());
  assert.deepEqual(codesIn(reserved).sort(), ERROR_CODES.filter((code) => !isThrown(code)).sort());
});

test("docs/network.md lists the defaults of the network flags that --help shows", async () => {
  const rows = [...read("docs/network.md").matchAll(/^\| `(--[a-z-]+) [NS]` \| ([0-9]+) \|/gm)];
  const help = (await stave(["copy", "--help"])).stdout.replace(/\s+/g, " ");
  const defaults = [...help.matchAll(/(--(?:retries|timeout|connect-timeout|min-rate)) <[a-z]+>((?:(?! --[a-z]).)*)/g)];
  assert.deepEqual(
    rows.map(([, flag, value]) => `${flag} ${value}`).sort(),
    defaults.map(([, flag, text = ""]) => `${flag} ${/([0-9]+)\)/.exec(text)?.[1]}`).sort(),
  );
  assert.equal(rows.length, 4);
});

test("every command in the README and the documents is one that the program knows", async () => {
  const helps = new Map<string, string>();
  for (const file of ["README.md", ...globSync("docs/*.md", { cwd: root })])
    for (const [, verb = "", rest = ""] of fenced(read(file)).matchAll(/^(?:\$ )?stave ([a-z-]+)(.*)$/gm)) {
      if (!helps.has(verb)) helps.set(verb, (await stave([verb, "--help"])).stdout);
      const help = helps.get(verb) ?? "";
      assert.match(help, new RegExp(`Usage: stave ${verb}`), `${file}: stave ${verb}`);
      for (const [flag] of rest.replace(/#.*/, "").matchAll(/--[a-z][a-z-]*/g))
        assert.ok(help.includes(flag), `${file}: stave ${verb} ${flag}`);
    }
  assert.ok(helps.size >= 4);
});

test("docs/migration.md names a verb with its flags for each command of Spack, and all of them exist", async () => {
  const rows = [...read("docs/migration.md").matchAll(/^\| (`[^|]+) \| (`stave [^|]+`) \|/gm)];
  assert.ok(rows.length > 40);
  const helps = new Map<string, string>();
  for (const [, , cell = ""] of rows) {
    const [, verb = "", rest = ""] = /^`stave ([a-z-]+)(.*)`$/.exec(cell) ?? [];
    if (!helps.has(verb)) helps.set(verb, (await stave([verb, "--help"])).stdout);
    const help = helps.get(verb) ?? "";
    assert.match(help, new RegExp(`Usage: stave ${verb}`), cell);
    for (const [flag] of rest.matchAll(/--[a-z][a-z-]*|(?<= )-[a-z](?= )/g))
      assert.match(help, new RegExp(`(?<![\\w-])${flag}(?![\\w-])`), `${cell}: ${flag}`);
  }
});

test("every figure in docs/comparison.md is in docs/benchmarks.md", () => {
  const cells = read("docs/benchmarks.md")
    .split(/[|\n]/)
    // Without the shortest and the longest.
    .map((cell) => cell.trim().replace(/ \(.*\)$/, ""));
  const known = new Set(cells);
  const figures = [...read("docs/comparison.md").matchAll(/(?<=\| )[0-9.]+(?: s| MB|×)(?= \|)/g)].map(
    ([figure]) => figure,
  );
  assert.ok(figures.length > 20);
  assert.deepEqual(
    figures.filter((figure) => !known.has(figure)),
    [],
  );
});

test("every command in the example workflows is one that the program knows", async () => {
  const files = globSync("examples/github-*.yml", { cwd: root });
  assert.ok(files.length >= 2);
  const step = z.looseObject({ run: z.string().optional(), uses: z.string().optional() });
  const workflow = z.looseObject({ jobs: z.record(z.string(), z.looseObject({ steps: z.array(step) })) });
  for (const file of files) {
    const { jobs } = workflow.parse(parse(read(file)));
    const runs = Object.values(jobs).flatMap(({ steps }) => steps.flatMap((each) => each.run ?? []));
    const commands = runs.flatMap((text) => [...text.matchAll(/(?:^|\| )stave ([a-z-]+)(.*)$/gm)]);
    // What the action does counts, too.
    const uses = Object.values(jobs).flatMap(({ steps }) => steps.map((each) => each.uses));
    assert.ok(commands.length > 0 || uses.includes("./.stave"), file);
    for (const [, verb = "", rest = ""] of commands) {
      const { stdout } = await stave([verb, "--help"]);
      for (const [flag] of rest.matchAll(/--[a-z][a-z-]*/g))
        assert.ok(stdout.includes(flag), `${file}: stave ${verb} ${flag}`);
    }
  }
});

test("the workflows pin their actions, end in time, and install no package by a name that may be another's", () => {
  const step = z.looseObject({ uses: z.string().optional(), run: z.string().optional() });
  const workflow = z.looseObject({
    concurrency: z.looseObject({ group: z.string() }),
    permissions: z.record(z.string(), z.string()),
    jobs: z.record(z.string(), z.looseObject({ "timeout-minutes": z.number(), steps: z.array(step) })),
  });
  const versions = new Map<string, string>();
  for (const file of globSync(["examples/github-*.yml", ".github/workflows/*.yml"], { cwd: root })) {
    for (const [, pinned = "", version = ""] of read(file).matchAll(/uses: (\S+@\S+)(.*)$/gm)) {
      // The comment says which version the commit is, the same everywhere.
      assert.match(version, /^ # v\d+\.\d+\.\d+$/, `${file}: ${pinned}`);
      assert.equal(versions.get(pinned) ?? version, version, `${file}: ${pinned}`);
      versions.set(pinned, version);
    }
    const steps = Object.values(workflow.parse(parse(read(file))).jobs).flatMap((job) => job.steps);
    for (const { uses, run = "" } of steps) {
      // The action of a checkout is pinned by that.
      if (uses !== undefined) assert.match(uses, /^(?:\.\/\.stave|[\w-]+\/[\w-]+@[0-9a-f]{40})$/, file);
      for (const [, named = ""] of run.matchAll(/npm (?:install|i) (?:-g|--global) (\S+)/g))
        assert.match(named, /^\.\//, file);
      // A value that others can choose must not be part of a script.
      assert.doesNotMatch(run, /\$\{\{ (?:secrets|github\.(?:actor|head_ref|event\.pull_request))/, file);
    }
  }
});

test("links between the documents lead to files and headings that are there", () => {
  const files = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    ...globSync("docs/*.md", { cwd: root }),
  ];
  assert.deepEqual(brokenLinks(root, files), []);
});

test("a link to a file or a heading that is not there is found", () => {
  const folder = temporaryFolder();
  const text = "# Some `code`, and more!\n## Twice\n## Twice\n```\n# no heading [x](none.md)\n```\n";
  const links = [
    "#some-code-and-more",
    "a.md#twice-1",
    "b.md",
    "#no-heading",
    "a.md#twice-2",
    "https://x.example/none",
  ];
  writeFileSync(join(folder, "a.md"), text + links.map((link) => `[link](${link})`).join("\n"));
  assert.deepEqual(brokenLinks(folder, ["a.md"]), ["a.md: b.md", "a.md: #no-heading", "a.md: a.md#twice-2"]);
});

test("the ten-things test in CONTRIBUTING.md has ten questions, and every answer is a file", () => {
  const text = read("CONTRIBUTING.md").split("### Ten-things test")[1] ?? "";
  const answers = [...text.matchAll(/^\| .+\? \| `([^`]+)` \|$/gm)].map(([, path = ""]) => path);
  assert.equal(answers.length, 10);
  for (const path of answers) assert.ok(existsSync(join(root, path)), path);
});

test("CONTRIBUTING.md and docs/architecture.md name every part of lib, and no other", () => {
  const parts = readdirSync(join(root, "lib"))
    .filter((name) => name !== "index.ts")
    .map((name) => name.replace(/\.ts$/, ""));
  const table = [...read("CONTRIBUTING.md").matchAll(/^\| ((?:`lib\/[a-z.]+`(?:, )?)+) \|/gm)].flatMap(
    ([, cell = ""]) => [...cell.matchAll(/`lib\/([a-z]+)(?:\.ts)?`/g)].map(([, name]) => name),
  );
  assert.deepEqual(table.filter((name) => name !== "index").sort(), [...parts].sort());
  const picture = /^```\n([\s\S]*?)^```/m.exec(read("docs/architecture.md"))?.[1] ?? "";
  const drawn = [...picture.matchAll(/(?:^ | {5,})([a-z]+) {2,}\S/gm)].map(([, name = ""]) => name);
  assert.deepEqual(drawn.filter((name) => parts.includes(name)).sort(), [...parts].sort());
});
