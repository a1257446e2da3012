// Proves that texts and C strings are replaced as Spack's vectors and regular expressions demand.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { z } from "zod";
import { nextString } from "../../lib/relocate/file/c-strings.ts";
import { TextRelocation } from "../../lib/relocate/file/text-replacer.ts";
import { PrefixMap } from "../../lib/relocate/prefix/prefix-map.ts";
import { failsWith } from "../support/errors.ts";
import { mustEnd } from "../support/must-end.ts";
import { useSeed } from "../support/seed.ts";
import { vectorRows } from "../support/vectors.ts";

useSeed();

const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");
const pairsSchema = z.array(z.tuple([z.string(), z.string()]));

function relocateText(text: string, pairs: [string, string][], pieceSize = Number.POSITIVE_INFINITY): string {
  const relocation = new TextRelocation(new PrefixMap(pairs));
  const out: Buffer[] = [];
  let at = 0;
  do {
    // The caller reuses pieces: what was kept must not change with them.
    const piece = latin1(text.slice(at, at + pieceSize));
    at += pieceSize;
    out.push(Buffer.from(relocation.push(piece, at >= text.length)));
    piece.fill("!");
  } while (at < text.length);
  assert.equal(relocation.pending, 0);
  return Buffer.concat(out).toString("latin1");
}

function relocateStrings(text: string, pairs: [string, string][]): string | "grow" | "shrink" {
  const bytes = latin1(text);
  const map = new PrefixMap(pairs);
  const given = latin1(text);
  for (let from = 0; ; ) {
    const match = nextString(given, map, from, given.length);
    if (match === undefined) return bytes.toString("latin1");
    if (match.stuck) return match.stuck.reason;
    match.edit.bytes.copy(bytes, match.edit.at);
    from = match.end;
  }
}

describe("texts are changed as Spack changes them", () => {
  for (const [input, map, output, changed] of vectorRows(
    "text_relocation",
    z.tuple([z.string(), pairsSchema, z.string(), z.boolean()]),
  ))
    test(JSON.stringify(input), () => {
      assert.equal(relocateText(input, map), output);
      for (const size of [1, 2, 3, 7]) assert.equal(relocateText(input, map, size), output);
      const relocation = new TextRelocation(new PrefixMap(map));
      relocation.push(latin1(input), true);
      assert.equal(relocation.changed, changed);
    });
});

describe("C strings are changed as Spack changes them", () => {
  const errors = { CannotGrowString: "grow", CannotShrinkCString: "shrink" } as const;
  for (const [input, map, output, changed] of vectorRows(
    "binary_relocation",
    z.tuple([
      z.string(),
      pairsSchema,
      z.string().nullable(),
      z.union([z.boolean(), z.enum(["CannotGrowString", "CannotShrinkCString"])]),
    ]),
  ))
    test(JSON.stringify(input), () => {
      const expected = typeof changed === "string" ? errors[changed] : output;
      assert.equal(relocateStrings(input, map), expected);
    });
});

// Few letters, so that prefixes, words and slashes often coincide.
const path = fc
  .array(fc.constantFrom("a", "b", "a.b", "-", "é"), { minLength: 1, maxLength: 3 })
  .map((parts) => `/${parts.join("/")}`);
const pairs = fc.array(fc.tuple(path, path), { minLength: 1, maxLength: 5 });
const pieces = fc.array(fc.oneof(path, fc.constantFrom("/", " ", "x", "-I", "\n", ".", "=", "\0", "xxxxxxxx")), {
  maxLength: 30,
});
const asBytes = (text: string): string => Buffer.from(text, "utf8").toString("latin1");
const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&");

function reference(entries: [string, string][]): [Map<string, string>, string] {
  const map = new Map(entries.map(([from, to]): [string, string] => [asBytes(from), asBytes(to)]));
  for (const [from, to] of map) if (from === to) map.delete(from);
  return [map, [...map.keys()].map(escaped).join("|") || "(?!)"];
}

test("texts: any pieces, any map, as the regular expression says", () => {
  fc.assert(
    fc.property(pieces, pairs, fc.integer({ min: 1, max: 20 }), (parts, entries, size) => {
      const text = asBytes(parts.join(""));
      const [map, alternatives] = reference(entries);
      const pattern = new RegExp(`(?<![\\w\\-_/])([\\w\\-_]*?)(${alternatives})([\\w\\-_/]*)`, "g");
      const expected = text.replace(pattern, (_all, a, found, b) => `${a}${map.get(found)}${b}`);
      assert.equal(relocateText(text, entries), expected);
      assert.equal(relocateText(text, entries, size), expected);
    }),
    { numRuns: 2000 },
  );
});

test("C strings: any map, as the regular expression says, and never longer or shorter", () => {
  fc.assert(
    fc.property(pieces, pairs, (parts, entries) => {
      const text = asBytes(parts.join(""));
      const [map, alternatives] = reference(entries);
      let expected = text;
      for (const found of text.matchAll(new RegExp(`(${alternatives})([^\\0]{0,7}\\0)?`, "g"))) {
        const [, old = "", rest] = found;
        const now = map.get(old) ?? "";
        const length = rest === undefined ? 7 : rest.length - 1;
        const shorter = old.length - now.length;
        let bytes: string;
        if (shorter < 0) expected = "grow";
        else if (length >= 7 || old.slice(-7 + length) === now.slice(-7 + length)) bytes = "/".repeat(shorter) + now;
        else if (shorter > 7) bytes = now + (rest ?? "");
        else expected = "shrink";
        if (expected === "grow" || expected === "shrink") break;
        bytes ??= "";
        expected = expected.slice(0, found.index) + bytes + expected.slice(found.index + bytes.length);
      }
      assert.equal(relocateStrings(text, entries), expected);
    }),
    { numRuns: 2000 },
  );
});

test("a text that was relocated is not changed again", () => {
  fc.assert(
    fc.property(pieces, (parts) => {
      const map: [string, string][] = [
        ["/a/b", "/new/place"],
        ["/a", "/n"],
      ];
      const once = relocateText(asBytes(parts.join("")), map);
      assert.equal(relocateText(once, map), once);
    }),
  );
});

test("a text is relocated with any number of prefixes, and with words of any length", () => {
  const many = Array.from({ length: 200_000 }, (_, at): [string, string] => [
    `/opt/store/package-${at + 100_000}`,
    `/s/p-${at}`,
  ]);
  const line = "-I/opt/store/package-125000/include -L/opt/store/other/lib ";
  const text = line.repeat(100_000) + "w".repeat(1_000_000) + "/".repeat(1_000_000) + "a/".repeat(500_000);
  const expected = "-I/s/p-25000/include -L/opt/store/other/lib ".repeat(100_000);
  assert.ok(mustEnd(() => relocateText(text, many, 65_536)).startsWith(expected));
});

test("prefixes that name no folder of their own are refused", async () => {
  for (const [from, says] of [
    ["", /"" is not absolute/],
    ["opt/store", /is not absolute/],
    ["/", /is the root folder/],
    ["///", /is the root folder/],
    ["/a\0b", /NUL/],
    [`/${"a".repeat(5000)}`, /longer than 4096 bytes/],
  ] as const) {
    await failsWith("RELOCATION_FAILED", () => new PrefixMap([[from, "/new"]]), says);
    await failsWith("RELOCATION_FAILED", () => new PrefixMap([["/old", from]]), says);
  }
});
