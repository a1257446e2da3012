// Proves that the check of a real Python with an extension over base images says what happens when it is started there.
import assert from "node:assert/strict";
import { mkdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { lackingForRealPython } from "../../scripts/real-python.ts";
import { realRuns } from "../../scripts/real-runs.ts";
import { containerTools } from "../support/peers.ts";

// podman takes the path of a layout for a name, which must be in lower case.
const work = join(tmpdir(), `stave-real-${process.pid}`);
mkdirSync(work);
after(() => rmSync(work, { recursive: true, force: true }));

const lacking = lackingForRealPython();
const options = { timeout: 300_000, skip: lacking ?? false };

test("a real Python over bases that fit and that do not", options, () => {
  const runs = realRuns(work, {}, containerTools());
  for (const run of runs) assert.ok(run.agrees, JSON.stringify(run));
  const verdicts = runs.map(({ base, image, verdict }) => `${base}, ${image}: ${verdict}`);
  assert.deepEqual(
    verdicts.filter((said) => !said.startsWith("musl")),
    [
      "this machine's glibc, whole: starts",
      "this machine's glibc, slim, stripped: starts",
      "glibc without libm, whole: LIBRARY_MISSING",
    ],
  );
  for (const said of verdicts.filter((each) => each.startsWith("musl"))) assert.match(said, /INTERPRETER_MISSING$/);
  const [whole, slim] = runs.map(({ size }) => size);
  assert.ok((slim ?? 0) < 0.9 * (whole ?? 0), `${slim} of ${whole} bytes`);
});
