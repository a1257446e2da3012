// Processes that update the index of one bucket at once lose no specs, whether or not the server obeys conditions.
// STAVE_TEST_ROUNDS=50 repeats it as often.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { after, before, test } from "node:test";
import { checkIndex } from "../../lib/cache/index-update.ts";
import { sharedMirror } from "../support/index-writer.ts";
import { startS3, type TestS3 } from "../support/s3-server.ts";

const WRITERS = 8;
const ROUNDS = Number(process.env["STAVE_TEST_ROUNDS"] ?? 2);
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
    const children = Array.from({ length: WRITERS }, (_, writer) =>
      spawn(
        process.execPath,
        ["--import", "tsx", program, server.url, String(writer), String(WRITERS), String(ROUNDS)],
        { stdio: ["ignore", "inherit", "inherit"] },
      ),
    );
    const codes = await Promise.all(children.map(async (child) => (await once(child, "exit"))[0]));
    assert.deepEqual(codes, Array(WRITERS).fill(0));
    const { cache, close } = sharedMirror(server.url);
    const { isCurrent, specs, problems } = await checkIndex(cache, { full: true });
    await close();
    assert.deepEqual([isCurrent, specs, problems], [true, WRITERS * ROUNDS, []]);
  });
