// Proves that versions are parsed, compared and matched as in Spack.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { z } from "zod";
import {
  parseConcrete,
  parseVersions,
  printVersions,
  versionSatisfies,
  versionsIntersect,
  versionsSatisfy,
} from "../../../lib/spack/query/version-range.ts";
import { compareVersions, nextVersion, parseVersion } from "../../../lib/spack/spec/version.ts";
import { failsWith } from "../../support/errors.ts";
import { mustEnd } from "../../support/must-end.ts";
import { useSeed } from "../../support/seed.ts";
import { vector, vectorRows } from "../../support/vectors.ts";

useSeed();

const compare = (a: string, b: string): number => Math.sign(compareVersions(parseVersion(a), parseVersion(b)));

test("versions are in Spack's order", () => {
  const { ascending } = vector("version_order", z.object({ ascending: z.array(z.array(z.string())).min(50) }));
  for (const [at, equal] of ascending.entries())
    for (const [other, more] of ascending.entries())
      for (const a of equal) for (const b of more) assert.equal(compare(a, b), Math.sign(at - other), `${a} and ${b}`);
});

test("pairs of versions compare as in Spack", () => {
  for (const [a, b, sign] of vectorRows("version_compare", z.tuple([z.string(), z.string(), z.number()])))
    assert.equal(compare(a, b), sign, `${a} and ${b}`);
});

test("versions are taken apart as by Spack", () => {
  const inf = z.object({ inf: z.string() });
  const row = z.tuple([
    z.string(),
    z.array(z.union([z.number(), z.string(), inf])),
    z.array(z.number()),
    z.array(z.string()),
  ]);
  const infinite = ["stable", "nightly", "trunk", "head", "master", "main", "develop"];
  for (const [text, release, stage] of vectorRows("version_parse", row)) {
    const version = parseVersion(text);
    const mine = version.release.map((part) => {
      if (part.kind === "infinity") return { inf: infinite[part.rank] };
      return part.kind === "number" ? Number(part.text) : part.text;
    });
    assert.deepEqual(mine, release, text);
    const number = version.stageNumber === undefined ? [] : [Number(version.stageNumber)];
    assert.deepEqual([version.stage, ...number], stage, text);
  }
});

for (const section of ["version_satisfies", "git_version_satisfies"])
  test(`${section}: concrete versions against lists`, () => {
    for (const [version, list, expected] of vectorRows(section, z.tuple([z.string(), z.string(), z.boolean()]))) {
      assert.equal(versionSatisfies(version, parseVersions(list)), expected, `${version} and ${list}`);
      assert.equal(versionsSatisfy([parseConcrete(version)], parseVersions(list)), expected, `${version} and ${list}`);
    }
  });

test("lists satisfy and intersect as in Spack", () => {
  const row = z.tuple([z.string(), z.string(), z.boolean(), z.boolean()]);
  for (const [a, b, sure, possible] of vectorRows("version_range_relations", row)) {
    assert.equal(versionsSatisfy(parseVersions(a), parseVersions(b)), sure, `${a} satisfies ${b}`);
    assert.equal(versionsIntersect(parseVersions(a), parseVersions(b)), possible, `${a} intersects ${b}`);
    assert.equal(versionsIntersect(parseVersions(b), parseVersions(a)), possible, `${b} intersects ${a}`);
  }
});

test("lists are normalised and printed as by Spack", () => {
  const row = z.tuple([z.string(), z.string(), z.unknown()]);
  for (const [given, expected] of vectorRows("version_list_normalise", row))
    assert.equal(printVersions(parseVersions(given)), expected, given);
});

test("bad versions are refused with their text, and odd ones are not", async () => {
  for (const [given, text, error] of vectorRows(
    "version_errors",
    z.tuple([z.string(), z.string().nullable(), z.string().nullable()]),
  )) {
    if (error !== null) {
      const failure = await failsWith("SPEC_INVALID", () => parseVersions(given));
      const named = (/: (.+) is an empty range|string: (.+)$/.exec(error) ?? []).slice(1).find((part) => part) ?? given;
      assert.ok(failure.message.includes(named), failure.message);
    } else if (given === "=") {
      // Spack prints an exact version without text as an empty string, which it cannot read back.
      assert.equal(printVersions(parseVersions(given)), "=");
    } else if (given === "") {
      // Nothing is between the empty version and its successor: Spack prints it like the range of everything.
      assert.equal(printVersions(parseVersions(given)), "");
    } else assert.equal(printVersions(parseVersions(given)), text, given);
  }
});

test("a version of 3 000 000 digits has its order and its next", () => {
  const nines = "9".repeat(3_000_000);
  mustEnd(() => {
    assert.equal(compare(nines, `${nines.slice(1)}8`), 1);
    assert.equal(compareVersions(nextVersion(parseVersion(nines)), parseVersion(`1${"0".repeat(3_000_000)}`)), 0);
    assert.equal(compare(`0${nines}`, nines), 0);
    assert.ok(versionSatisfies(`${nines}.5`, parseVersions(nines)));
  });
});

test("what a git version counts as is not known without its version", () => {
  assert.ok(versionSatisfies("git.main=1.2", parseVersions("git.main")));
  assert.ok(!versionSatisfies("git.main=1.2", parseVersions("git.dev")));
});

const part = fc.oneof(
  fc.nat({ max: 12 }).map(String),
  fc.constantFrom("a", "z", "Z", "rc", "alpha", "beta", "final", "main", "develop", "stable", "p", "dev", "007"),
);
const versionText = fc
  .array(fc.tuple(part, fc.constantFrom("", ".", "-", "_")), { minLength: 1, maxLength: 5 })
  .map((parts) =>
    parts
      .map(([text, separator]) => text + separator)
      .join("")
      .replace(/[._-]+$/, ""),
  );

test("the order of versions is total", () => {
  fc.assert(
    fc.property(versionText, versionText, versionText, (a, b, c) => {
      assert.equal(compare(a, b) + compare(b, a), 0);
      if (compare(a, b) <= 0 && compare(b, c) <= 0) assert.ok(compare(a, c) <= 0);
      if (compare(a, b) === 0) assert.equal(compare(a, c), compare(b, c));
    }),
    { numRuns: 3000, verbose: 1 },
  );
});

test("ranges agree with the order", () => {
  fc.assert(
    fc.property(versionText, versionText, versionText, (low, high, version) => {
      assert.equal(versionSatisfies(version, parseVersions(`${low}:`)), compare(low, version) <= 0);
      if (compare(version, high) <= 0) assert.ok(versionSatisfies(version, parseVersions(`:${high}`)));
      assert.ok(versionSatisfies(version, parseVersions(version)));
      assert.equal(versionSatisfies(version, parseVersions(`=${high}`)), compare(version, high) === 0);
      if (compare(low, high) > 0) return;
      const range = parseVersions(`${low}:${high}`);
      const both =
        versionSatisfies(version, parseVersions(`${low}:`)) && versionSatisfies(version, parseVersions(`:${high}`));
      assert.equal(versionSatisfies(version, range), both);
      assert.equal(printVersions(parseVersions(printVersions(range))), printVersions(range));
    }),
    { numRuns: 3000, verbose: 1 },
  );
});

test("a list has exactly the versions of its parts", () => {
  const element = fc.tuple(versionText, versionText).chain(([a, b]) => {
    const [low, high] = compare(a, b) <= 0 ? [a, b] : [b, a];
    return fc.constantFrom(low, `=${low}`, `${low}:`, `:${low}`, `${low}:${high}`);
  });
  fc.assert(
    fc.property(fc.array(element, { minLength: 1, maxLength: 5 }), versionText, (elements, version) => {
      const whole = parseVersions(elements.join(","));
      assert.equal(
        versionSatisfies(version, whole),
        elements.some((one) => versionSatisfies(version, parseVersions(one))),
      );
      assert.deepEqual(parseVersions(printVersions(whole)), whole);
    }),
    { numRuns: 2000, verbose: 1 },
  );
});
