// Proves that annotations and summaries of a workflow run contain no secret in any encoding.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import { test } from "node:test";
import { processContext } from "../../../lib/cli/machine/context.ts";
import { Workflow } from "../../../lib/cli/output/github.ts";
import { Output } from "../../../lib/cli/output/output.ts";
import { StaveError } from "../../../lib/errors.ts";
import { rememberSecret } from "../../../lib/printable/secret.ts";
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
