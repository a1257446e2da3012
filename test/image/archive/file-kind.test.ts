// Proves that files are classified for relocation as Spack classifies them.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { z } from "zod";
import { type Classifier, FileClassifier } from "../../../lib/image/archive/file-kind.ts";
import { LegacyClassifier } from "../../../lib/image/archive/file-kind-legacy.ts";
import { beginsWithTerm, PrefixSearch, searchTerms } from "../../../lib/image/archive/prefix-search.ts";
import { vector } from "../../support/vectors.ts";

const KINDS: Record<string, string> = { BINARY: "binary", TEXT: "text", UNKNOWN: "none" };

function classify(classifier: Classifier, pieces: Iterable<Buffer>): string {
  for (const piece of pieces) classifier.add(piece);
  return classifier.end();
}

// Cuts bytes into random pieces.
function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const cuts = [0, ...at.map((n) => n % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return cuts.slice(1).map((end, i) => bytes.subarray(cuts[i], end));
}

describe("files are told apart as Spack does", () => {
  for (const [name, latin1, kind] of vector("file_type", z.array(z.tuple([z.string(), z.string(), z.string()]))))
    test(name, () => {
      const bytes = Buffer.from(latin1, "latin1");
      // A text counts if it contains a prefix: here its own start.
      const terms = [bytes.subarray(0, 1)];
      assert.equal(classify(new FileClassifier(terms), [bytes]), KINDS[kind]);
    });
});

test("the pieces in which a file comes do not matter", () => {
  const bytes = fc.oneof(
    fc.string({ unit: "binary", maxLength: 40 }).map((text) => Buffer.from(`/opt/x ${text}`, "utf8")),
    fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.concat([Buffer.from("/opt/x"), array])),
    fc
      .string({ unit: fc.constantFrom("/opt", "/opt/x", "a", "-", "/", " ", "é", "\xff"), maxLength: 12 })
      .map((text) => Buffer.from(text, "latin1")),
  );
  const terms = searchTerms(["/opt/x"]);
  fc.assert(
    fc.property(bytes, fc.array(fc.nat(50), { maxLength: 8 }), (all, at) => {
      const whole = classify(new FileClassifier(terms), [all]);
      assert.equal(classify(new FileClassifier(terms), cut(all, at)), whole);
      const decoded = Buffer.from(all.toString("utf8"), "utf8").equals(all);
      const isText = all.length >= 8 && (decoded || !/[\0\x7f-\x9f]/.test(all.toString("latin1")));
      const mentions = /(?<![\w\-/])[\w-]*?\/opt\/x/.test(all.toString("latin1"));
      assert.equal(whole, isText && mentions ? "text" : "none");
    }),
    { numRuns: 2000 },
  );
});

test("prefixes are found where Spack's regular expression finds them", () => {
  const unit = fc.constantFrom("/r/s", "/r/sto", "/q", "/", "-", "_", "x", "I", " ", ":", "=", "\xe9", "\n");
  fc.assert(
    fc.property(fc.string({ unit, maxLength: 14 }), fc.array(fc.nat(60), { maxLength: 6 }), (text, at) => {
      const prefixes = ["/r/sto", "/q", "/r/s"];
      const search = new PrefixSearch(searchTerms(prefixes));
      for (const piece of cut(Buffer.from(text, "latin1"), at)) search.add(piece);
      // JavaScript's \w is ASCII, as Python's is on bytes.
      assert.equal(search.found, /(?<![\w\-_/])([\w\-_]*?)(\/r\/sto|\/q|\/r\/s)([\w\-_/]*)/.test(text));
    }),
    { numRuns: 3000 },
  );
});

test("a search is linear in the face of many near misses", () => {
  const search = new PrefixSearch(searchTerms(["/opt/store"]));
  const piece = Buffer.from(`/${"a".repeat(1 << 20)}${"/opt/store".repeat(20_000)}`);
  for (let n = 0; n < 20; n++) search.add(piece);
  assert.equal(search.found, false);
});

test("of terms that begin alike the shortest is searched", () => {
  const terms = searchTerms(["/s/a-1", "/s/b-2", "/t/bin/sbang", "/s", "", "/s/é"]);
  assert.deepEqual(terms.map(String), ["/s", "/t/bin/sbang"]);
  assert.equal(beginsWithTerm(Buffer.from("/store/x"), terms), true);
  assert.equal(beginsWithTerm(Buffer.from("/t/bin"), terms), false);
});

describe("before 1.0 the MIME type decides", () => {
  const elf = (type: number): Buffer =>
    Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, ...Array(9).fill(0), type, 0, 62, 0]);
  const rows: [string, Buffer | string, string][] = [
    ["a program", elf(2), "binary"],
    ["a shared library", elf(3), "binary"],
    ["an object file", elf(1), "none"],
    ["a core dump", elf(4), "none"],
    ["a script", "#!/bin/sh\n/r/s/bin/x\n", "text"],
    ["a short text", "/r/s", "text"],
    ["Latin-1 text", Buffer.from("caf\xe9 /r/s\n", "latin1"), "text"],
    ["text with a NUL", "/r/s\0/r/s", "none"],
    ["text with an escape sequence", "\x1b[1m /r/s\x1b[0m", "text"],
    ["JSON", '{"p": "/r/s"}\n', "none"],
    ["not quite JSON", '{"p": "/r/s"\n', "text"],
    ["PostScript", "%!PS-Adobe-3.0\n% /r/s\n", "none"],
    ["SVG", '<?xml version="1.0"?>\n<!-- /r/s -->\n<svg xmlns="x"/>', "none"],
    ["other XML", '<?xml version="1.0"?>\n<a href="/r/s"/>', "text"],
    ["a text that mentions nothing", "hello world", "none"],
  ];
  for (const [name, content, expected] of rows)
    test(name, () => {
      const bytes = Buffer.from(content as string);
      for (const pieces of [[bytes], [...bytes].map((byte) => Buffer.from([byte]))])
        assert.equal(classify(new LegacyClassifier(searchTerms(["/r/s"])), pieces), expected);
    });
});
