// Proves that a usage error with --json prints one document, and that colours appear only where requested.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { stave } from "../support/cli.ts";

describe("--json with a wrong command line", () => {
  const CASES: { args: string[]; verb: string; message: RegExp; hint?: RegExp }[] = [
    { args: ["push", "--json", "--forse"], verb: "push", message: /unknown option '--forse'/, hint: /--force/ },
    { args: ["push", "--jobs", "many", "--json"], verb: "push", message: /many.*whole number/ },
    { args: ["view", "--json"], verb: "view", message: /missing required argument/ },
    { args: ["tags", "a", "b", "c", "--json"], verb: "tags", message: /too many arguments/ },
    { args: ["pusch", "--json"], verb: "pusch", message: /unknown command 'pusch'/, hint: /push/ },
    { args: ["pull", "ghcr.io/x/y", "--json"], verb: "copy", message: /argument 'dst'/, hint: /stave copy .* SRC DST/ },
    { args: ["buildcache", "installl", "--json"], verb: "installl", message: /unknown command/, hint: /install/ },
    { args: ["--json"], verb: "stave", message: /verb is missing/ },
  ];
  for (const { args, verb, message, hint = /--help/ } of CASES)
    test(`stave ${args.join(" ")}`, async () => {
      const { status, stdout, stderr } = await stave(args);
      const document = JSON.parse(stdout);
      assert.deepEqual([status, document.schema, document.verb, document.error.code], [2, 1, verb, "USAGE"]);
      assert.match(document.error.message, message);
      assert.match(document.error.hint, hint);
      assert.notEqual(stderr, "");
    });

  test("after -- it is no flag", async () => {
    const { status, stdout } = await stave(["tags", "a", "b", "--", "--json"]);
    assert.deepEqual([status, stdout], [2, ""]);
  });
});

describe("colours of a failure", () => {
  const CASES: { name: string; env: Record<string, string>; flags?: string[]; isColored: boolean }[] = [
    { name: "in a pipe: none", env: {}, isColored: false },
    { name: "in a log of GitHub Actions", env: { CI: "true", GITHUB_ACTIONS: "true" }, isColored: true },
    { name: "in a log of GitLab", env: { CI: "true", GITLAB_CI: "true" }, isColored: true },
    { name: "with FORCE_COLOR", env: { FORCE_COLOR: "1" }, isColored: true },
    {
      name: "with FORCE_COLOR=0 in a log that shows them: none",
      env: { FORCE_COLOR: "0", GITHUB_ACTIONS: "true" },
      isColored: false,
    },
    { name: "NO_COLOR comes before FORCE_COLOR", env: { NO_COLOR: "1", FORCE_COLOR: "1" }, isColored: false },
    {
      name: "--color never comes before FORCE_COLOR",
      env: { FORCE_COLOR: "1" },
      flags: ["--color", "never"],
      isColored: false,
    },
  ];
  for (const { name, env, flags = [], isColored } of CASES)
    test(name, async () => {
      const { stderr } = await stave(["tags", "oci-layout:/nonexistent", ...flags], { env });
      assert.equal(stderr.includes("\u001b["), isColored, JSON.stringify(stderr));
    });
});
