// Processes that update the index of one bucket at once lose no specs, whether or not the server obeys conditions.
// STAVE_TEST_ROUNDS=50 repeats it as often.
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { after, before, test } from "node:test";
import { checkIndex } from "../../lib/cache/index-update.ts";
import { sharedMirror } from "../support/index-writer.ts";
import { startS3, type TestS3 } from "../support/s3-server.ts";

const WRITERS = 8;
const ROUNDS = Number(process.env["STAVE_TEST_ROUNDS"] ?? 3);
const program = resolve(import.meta.dirname, "../support/index-writer.ts");

let server: TestS3;
before(async () => {
  server = await startS3();
});
after(() => server.close());

for (const ignoresConditions of [false, true])
  test(`${WRITERS} processes with ${ROUNDS} rounds each${ignoresConditions ? ", where conditions are ignored" : ""}`, async () => {
    server.objects.clear();
    server.ignoresConditions = ignoresConditions;
    const children = Array.from({ length: WRITERS }, (_, writer) => {
      const args = [server.url, String(writer), String(WRITERS), String(ROUNDS)];
      return fork(program, args, { execArgv: ["--import", "tsx"] });
    });
    const ended = children.map((child) => once(child, "exit"));
    const { cache, close } = sharedMirror(server.url);
    // All begin a round together, so that they meet; whatever is lost shows at its end.
    for (let round = 1; round <= ROUNDS; round++) {
      const done = children.map((child, at) => Promise.race([once(child, "message"), ended[at]]));
      for (const child of children) child.send("go");
      await Promise.all(done);
      const { isCurrent, specs, problems } = await checkIndex(cache, { full: round === ROUNDS });
      assert.deepEqual([isCurrent, specs, problems], [true, WRITERS * round, []], `round ${round}`);
    }
    await close();
    assert.deepEqual(
      (await Promise.all(ended)).map(([code]) => code),
      Array(WRITERS).fill(0),
    );
  });
