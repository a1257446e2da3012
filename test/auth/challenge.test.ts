// Proves that WWW-Authenticate headers are parsed as Spack parses them, whatever a registry sends.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { z } from "zod";
import { parseChallenges } from "../../lib/auth/challenge.ts";
import { isStaveError } from "../../lib/errors.ts";
import { failsWith } from "../support/errors.ts";
import { useSeed } from "../support/seed.ts";
import { vector } from "../support/vectors.ts";

useSeed();

const row = z.object({
  input: z.string(),
  challenges: z.array(z.tuple([z.string(), z.array(z.tuple([z.string(), z.string()]))])).optional(),
  error: z.string().optional(),
});

// A list may have empty elements and end in blanks (RFC 9110, 5.6.1): Spack refuses these two, stave reads them.
const BEYOND_SPACK = new Set(["Basic ", 'Bearer realm="x",']);

test("challenges are read as Spack reads them", async (t) => {
  for (const { input, challenges, error } of vector("www_authenticate", z.array(row)))
    await t.test(JSON.stringify(input), async () => {
      if (challenges === undefined) {
        assert.ok(error);
        if (BEYOND_SPACK.has(input)) assert.equal(parseChallenges(input).length, 1);
        else await failsWith("CONTENT_INVALID", () => parseChallenges(input));
        return;
      }
      const parsed = parseChallenges(input);
      assert.deepEqual(
        parsed.map(({ scheme, parameters }) => [scheme, [...parameters]]),
        challenges.map(([scheme, parameters]) => [scheme, [...new Map(parameters)]]),
      );
    });
});

test("long and random headers are read in a moment, or refused with a name", async () => {
  await failsWith("CONTENT_INVALID", () => parseChallenges(`Bearer realm="${"\\".repeat(20_000)}`));
  await failsWith("CONTENT_INVALID", () => parseChallenges(`Bearer ${'a="'.repeat(4000)}`));
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), (text) => {
      try {
        parseChallenges(text);
      } catch (error) {
        assert.ok(isStaveError(error, "CONTENT_INVALID"));
      }
    }),
  );
});
