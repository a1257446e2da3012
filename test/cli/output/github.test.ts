// Proves that annotations and summaries of a workflow run contain no secret in any encoding, and that text from outside
// is never a command to the runner.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import { test } from "node:test";
import { processContext } from "../../../lib/cli/machine/context.ts";
import { Workflow } from "../../../lib/cli/output/github.ts";
import { Output, printFailure } from "../../../lib/cli/output/output.ts";
import { StaveError } from "../../../lib/errors.ts";
import { rememberSecret } from "../../../lib/printable/secret.ts";
import { writeLayout } from "../../../scripts/make-base.ts";
import { stave } from "../../support/cli.ts";
import { startRegistry } from "../../support/registry.ts";
import { temporaryFolder } from "../../support/tree.ts";

test("secrets whose characters are escaped in workflow commands are left out, too", () => {
  const secret = "50%|off\r\nnow==";
  rememberSecret(secret);
  let said = "";
  const stderr = new Writable({
    write(chunk, _encoding, done) {
      said += chunk;
      done();
    },
  });
  const page = join(temporaryFolder(), "summary.md");
  const context = { ...processContext(), stderr, env: { GITHUB_ACTIONS: "true", GITHUB_STEP_SUMMARY: page } };
  const workflow = new Workflow(context, new Output(context, "push", { color: "never" }));
  workflow.group(`to ${secret}`)();
  new Output(context, "push", { color: "never" }).fail(new StaveError("USAGE", `cannot use ${secret}:\n100 % wrong`));
  workflow.summary(`- ${secret}\n- ${Buffer.from(secret).toString("base64")}\n`);
  assert.equal(said, "::group::to ***\n::endgroup::\n::error::cannot use ***:%0A100 %25 wrong [USAGE]\n");
  assert.equal(readFileSync(page, "utf8"), "- ***\n- ***\n");
});

const here = processContext();

test("at most ten failures are annotations, and the others are lines of the log", () => {
  let said = "";
  const stderr = new Writable({
    write(chunk, _encoding, done) {
      said += chunk;
      done();
    },
  });
  const inner = (name: string): StaveError[] =>
    Array.from({ length: 3 }, (_, at) => new StaveError("NETWORK", `${name}.${at} failed`));
  const errors = Array.from(
    { length: 6 },
    (_, at) => new StaveError("PARTIAL", `part ${at}`, { errors: inner(`part ${at}`) }),
  );
  const context = { ...here, stderr, env: { GITHUB_ACTIONS: "true" } };
  new Output(context, "push", { color: "never" }).fail(new StaveError("PARTIAL", "some failed", { errors }));
  assert.equal(said.match(/^::error::/gm)?.length, 10, said);
  for (const { errors: all = [] } of errors) for (const { message } of all) assert.ok(said.includes(message), message);
});

/** What the runner obeys in a log: `::NAME` at the start of a line, after blanks, and `##[NAME]` anywhere in one. */
const COMMAND = /^\s*::\S|##\[/m;

const HOSTILE = [
  "##[add-mask]a",
  "before ##[set-output name=a]b",
  "::error::c",
  " \u00a0::add-path::d",
  "e\n::stop-commands::f\n\n  ::group::g",
  "###[error]h",
];

test("text from outside is no command in any kind of output, and the commands made here still are", () => {
  for (const json of [false, true])
    for (const text of HOSTILE) {
      const said = { stdout: "", stderr: "" };
      const into = (stream: keyof typeof said) =>
        new Writable({
          write(chunk, _encoding, done) {
            said[stream] += chunk;
            done();
          },
        });
      const env = { GITHUB_ACTIONS: "true" };
      const context = { ...here, stdout: into("stdout"), stderr: into("stderr"), env };
      const output = new Output(context, "push", { json, verbose: true, color: "always" });
      output.print(text);
      output.print(output.style("bold", text));
      output.note(text);
      output.detail(text);
      output.warn(text);
      printFailure(context, new StaveError("USAGE", text));
      assert.doesNotMatch(said.stdout + said.stderr, COMMAND);
      const report = { [text]: [text] };
      const registry = [{ code: "DENIED", message: text }];
      output.fail(new StaveError("DENIED", text, { registry, hint: text }), report);
      assert.doesNotMatch(said.stdout.replaceAll("\\n", "\n"), /##\[/);
      const own = said.stderr.split("\n").filter((line) => COMMAND.test(line));
      assert.equal(own.length, 1, said.stderr);
      assert.match(own[0] ?? "", /^::error::(?!.*##\[)/);
      if (json) assert.deepEqual(JSON.parse(said.stdout).report, report);
    }
});

test("outside a workflow, text stays as it is", () => {
  let said = "";
  const stdout = new Writable({
    write(chunk, _encoding, done) {
      said += chunk;
      done();
    },
  });
  new Output({ ...here, stdout, env: {} }, "tags", {}).print("##[a]\n::b::");
  assert.equal(said, "##[a]\n::b::\n");
});

test("neither the message of a registry nor a label is a command", async () => {
  const message = "##[set-output name=a]b\n::add-mask::c";
  const fault = { status: 403, body: JSON.stringify({ errors: [{ code: "DENIED", message }] }) };
  const registry = await startRegistry({ rules: [{ path: /\/tags\//, fault }] });
  try {
    const env = { GITHUB_ACTIONS: "true" };
    const place = `${registry.host}/org/app`;
    const base = join(temporaryFolder(), "base");
    const Labels = { note: "##[add-mask]d", "##[group]e": "f" };
    const config = { os: "linux", architecture: "amd64", config: { Labels }, rootfs: { type: "layers", diff_ids: [] } };
    writeLayout(base, { tag: "base", config, tars: [] });
    assert.equal((await stave(["copy", `oci-layout:${base}:base`, `${place}:1`])).status, 0);
    for (const more of [[], ["--json"]]) {
      const denied = await stave(["tags", place, ...more], { env });
      assert.notEqual(denied.status, 0);
      assert.match(denied.stderr, /set-output/);
      const shown = await stave(["inspect", `${place}:1`, ...more], { env });
      assert.match(shown.stdout, /add-mask\]d/);
      const log = [denied.stderr, denied.stdout, shown.stderr, shown.stdout].join("\n");
      assert.doesNotMatch(log.replaceAll(/^::error::/gm, ""), COMMAND);
      if (more.length > 0) assert.match(JSON.stringify(JSON.parse(shown.stdout)), /##\[add-mask\]d/);
    }
  } finally {
    await registry.close();
  }
});

test("a step has at most ten annotations of errors, among them one of each kind", () => {
  let said = "";
  const stderr = new Writable({
    write(chunk, _encoding, done) {
      said += chunk;
      done();
    },
  });
  const context = { ...here, stderr, env: { GITHUB_ACTIONS: "true" } };
  const lost = (at: number): StaveError => new StaveError("NETWORK", `spec ${at} was lost`);
  const parts = Array.from({ length: 15 }, (_, at) => (at === 14 ? new StaveError("DENIED", "no right") : lost(at)));
  for (const errors of [parts, [new StaveError("PARTIAL", "two", { errors: parts.slice(12) })]]) {
    said = "";
    new Output(context, "push", { color: "never" }).fail(new StaveError("PARTIAL", "some specs failed", { errors }));
    const annotations = said.split("\n").filter((line) => line.startsWith("::error::"));
    assert.equal(annotations.length, errors === parts ? 10 : 3, said);
    assert.ok(annotations.includes("::error::no right [DENIED]"), said);
    // The others are in the log.
    for (const error of errors === parts ? parts : parts.slice(12)) assert.ok(said.includes(error.message), said);
  }
});
