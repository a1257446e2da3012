// Proves that in a terminal progress bars appear and disappear, no line is lost, and the command ends.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { findProgram } from "../../scripts/peers.ts";
import { inTerminal } from "../support/cli.ts";
import { golden } from "../support/golden.ts";
import { goldenStore } from "../support/push.ts";
import { temporaryFolder } from "../support/tree.ts";

const skip = findProgram("script") === undefined && "there is no `script` to make a terminal with";
const ESCAPE = "\u001b[";

// The sequences with which cli-progress moves the cursor and clears, and colours.
const withoutEscapes = (text: string): string =>
  text
    .split(ESCAPE)
    .map((part, at) => (at === 0 ? part : part.replace(/^\??[0-9;]*[A-Za-z]/, "")))
    .join("");

test("push shows bars, and each spec as it is done", { skip }, async () => {
  const { sysroot } = await goldenStore();
  const work = temporaryFolder();
  const { status, output } = await inTerminal(
    ["push", "--sysroot", sysroot, "--store", "/opt/harbor/store", "--update-index", "-t", "app", "fleet", "hull"],
    { cwd: work, env: { XDG_CACHE_HOME: join(work, "cache") } },
  );
  assert.equal(status, 0, output);
  const text = withoutEscapes(output);
  assert.match(text, /[0-9] of 8 done/);
  // Never more than the total.
  const sums = [...text.matchAll(/ ([0-9.]+) (k?B|MB) of 317 kB/g)];
  assert.ok(sums.length > 0);
  for (const [shown, number, unit] of sums) assert.ok(unit === "B" || (unit === "kB" && Number(number) <= 317), shown);
  assert.equal(text.match(/pushed \S+@\S+\/[a-z2-7]{7} sha256:[0-9a-f]{12} \(.*\/s\)\r?\n/g)?.length, 8, text);
  assert.match(text, /writing the index of 8 specs/);
  // The last change of the screen before the results clears what was drawn.
  const [drawn, results] = output.split("OUTCOME");
  assert.ok(drawn?.endsWith(`${ESCAPE}0J`), JSON.stringify(drawn?.slice(-80)));
  assert.doesNotMatch(results ?? "", /done/);
  // The cursor is hidden and shown again.
  assert.ok(output.lastIndexOf(`${ESCAPE}?25h`) > output.lastIndexOf(`${ESCAPE}?25l`));
});

test("what fails, and what is quick, draws nothing and ends", { skip }, async () => {
  const work = temporaryFolder();
  const missing = await inTerminal(["inspect", `oci-layout:${work}/nothing:app`]);
  assert.equal(missing.status, 5, missing.output);
  assert.match(withoutEscapes(missing.output), /^error: .* \[NOT_FOUND\]/m);
  assert.doesNotMatch(missing.output, /█|░|\?25l/);
});

for (const [name, keys] of [
  ["Ctrl-C", "\u0003"],
  ["Ctrl-D", "\u0004"],
] as const)
  for (const args of [
    ["login", "registry.invalid", "-u", "me"],
    ["login", "registry.invalid"],
  ])
    test(`${name} instead of an answer to ${args.length > 2 ? "a hidden" : "a"} question ends the command`, {
      skip,
    }, async () => {
      const after = args.length > 2 ? "password: " : "user name for registry.invalid: ";
      const { status, output } = await inTerminal(args, { type: { after, keys } });
      assert.equal(status, 130, output);
      assert.match(withoutEscapes(output), /^error: no answer was given \[ABORTED\]/m);
    });

test("help and tables fit narrow terminals", { skip }, async () => {
  const tooLong = (output: string, columns: number): string[] =>
    output.split(/\r?\n/).filter((line) => withoutEscapes(line).length > columns);
  for (const verb of ["list", "push", "tags"]) {
    const { output } = await inTerminal([verb, "--help"], { columns: 40 });
    const [, options = ""] = /Options:([\s\S]*?)\r?\n\r?\n[A-Z]/.exec(output) ?? [];
    assert.ok(options.length > 100, output);
    assert.deepEqual(tooLong(options, 40), []);
  }
  const layout = `oci-layout:${golden("spack-1.2/plain.oci")}:fleet-env`;
  const { output } = await inTerminal(["inspect", layout], { columns: 80 });
  const [table = ""] = /# +SIZE[\s\S]*$/.exec(output) ?? [];
  assert.match(table, /sha256:[0-9a-f]{12} {2}application/);
  assert.deepEqual(tooLong(table, 80), []);
});
