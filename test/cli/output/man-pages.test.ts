// Proves that every verb has a manual page with all its flags, and that troff has nothing to say of the pages.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { manPages } from "../../../scripts/man-pages.ts";
import { findProgram } from "../../../scripts/peers.ts";
import { stave } from "../../support/cli.ts";
import { temporaryFolder } from "../../support/tree.ts";

const pages = await manPages();

/** The text that a reader sees, without troff's words. */
const shown = (page: string): string => page.replaceAll("\\-", "-").replaceAll(/\\\((?:aq|ga|ha|ti|dq)/g, " ");

test("every verb has a page", async () => {
  const { stdout } = await stave(["--help"]);
  const verbs = [...stdout.matchAll(/^ {2}([a-z][a-z-]*)(?:, [a-z, -]+)? {2,}/gm)].map(([, name]) => name);
  const expected = verbs.filter((name) => name !== "help").map((name) => `stave-${name}.1`);
  assert.deepEqual([...pages.keys()].sort(), ["stave.1", ...expected].sort());
});

test("a page has every flag of the help, and its examples", async () => {
  for (const verb of ["push", "copy", "run", "trust"]) {
    const page = shown(pages.get(`stave-${verb}.1`) ?? "");
    const { stdout } = await stave([verb, "--help"]);
    const flags = [...stdout.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map(([, flag = ""]) => flag);
    assert.ok(flags.length > 5);
    for (const flag of flags) assert.ok(page.includes(flag), `${verb} ${flag}`);
    assert.match(page, new RegExp(`^\\.SH EXAMPLES\n\\.nf\n(?:.*\n)*? *stave ${verb}`, "m"));
  }
});

test("a page has the usage of the help: what may be left out or repeated", async () => {
  for (const verb of ["push", "copy", "run", "attach", "module"]) {
    const { stdout } = await stave([verb, "--help"]);
    const usage = /^Usage: stave \S+ (.*)$/m.exec(stdout)?.[1] ?? "";
    const page = shown(pages.get(`stave-${verb}.1`) ?? "");
    assert.ok(page.includes(`\n.SH SYNOPSIS\n.B stave ${verb}\n${usage}\n`), `${verb}: ${usage}`);
  }
});

test("the width of the terminal changes nothing", async () => {
  const page = pages.get("stave-push.1") ?? "";
  assert.match(shown(page), /^Each spec becomes an image that Spack can install .* build dependencies\. Without SPEC/m);
});

test("groff finds no mistake in any page", {
  skip: findProgram("groff") === undefined && "groff is missing",
}, () => {
  const folder = temporaryFolder();
  for (const [name, page] of pages) writeFileSync(join(folder, name), page);
  const args = ["-man", "-Tutf8", "-ww", "-z", ...[...pages.keys()].map((name) => join(folder, name))];
  const { status, stderr } = spawnSync("groff", args, { encoding: "utf8" });
  assert.equal(stderr, "");
  assert.equal(status, 0);
});

test("a page reads well", { skip: findProgram("groff") === undefined && "groff is missing" }, () => {
  const { stdout } = spawnSync("groff", ["-man", "-Tascii", "-P-cbou", "-rLL=90n"], {
    encoding: "utf8",
    input: pages.get("stave-tags.1") ?? "",
  });
  assert.match(stdout, /^NAME\n +stave-tags - list the tags of a repository, or the repositories of a registry$/m);
  assert.match(stdout, /^SYNOPSIS\n +stave tags \[options\] <repo>$/m);
  assert.match(stdout, /^ +--retries <n>\n? +how often to retry a request \(default: 8\)$/m);
});
