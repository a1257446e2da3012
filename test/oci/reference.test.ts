// Proves that references and locations are parsed as Spack parses them, and that formatted ones parse back.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { z } from "zod";
import type { Digest } from "../../lib/oci/digest.ts";
import {
  DEFAULT_TAG,
  formatLocation,
  formatReference,
  isTag,
  parseLocation,
  parseReference,
  parseTag,
  sanitizeTag,
} from "../../lib/oci/reference.ts";
import { failsWith } from "../support/errors.ts";
import { mustEnd } from "../support/must-end.ts";
import { useSeed } from "../support/seed.ts";
import { vector } from "../support/vectors.ts";

useSeed();

const good = z.object({
  input: z.string(),
  domain: z.string(),
  name: z.string(),
  tag: z.string(),
  digest: z.string().nullish(),
});
const bad = z.object({ input: z.string(), error: z.string() });

// Spack knows only sha256; stave also reads sha512.
const BEYOND_SPACK = new Set([`example.com/a@sha512:${"0".repeat(128)}`]);

test("references are read as Spack reads them", async (t) => {
  for (const row of vector("image_reference", z.array(z.union([good, bad])))) {
    await t.test(JSON.stringify(row.input), async () => {
      if ("error" in row) {
        if (BEYOND_SPACK.has(row.input)) assert.equal(parseReference(row.input).digest?.slice(0, 7), "sha512:");
        else await failsWith("REFERENCE_INVALID", () => parseReference(row.input));
        return;
      }
      const reference = parseReference(row.input);
      assert.equal(reference.registry, row.domain);
      assert.equal(reference.repository, row.name);
      assert.equal(reference.tag ?? DEFAULT_TAG, row.tag);
      assert.equal(reference.digest ?? null, row.digest ?? null);
      assert.deepEqual(parseReference(formatReference(reference)), reference);
    });
  }
});

test("oci:// and oci+http:// are read as Spack reads them", async () => {
  const rows = vector("image_url", z.array(z.union([good.extend({ scheme: z.string() }).omit({ digest: true }), bad])));
  for (const row of rows) {
    if ("error" in row) {
      // For skopeo and stave this is a directory.
      if (row.input === "oci:x/y") continue;
      await failsWith("REFERENCE_INVALID", () => parseLocation(row.input));
      continue;
    }
    const location = parseLocation(row.input);
    assert.ok(location.kind === "registry");
    const { registry, repository, tag } = location.reference;
    assert.deepEqual(
      [location.scheme ?? "https", registry, repository, tag ?? DEFAULT_TAG],
      [row.scheme, row.domain, row.name, row.tag],
    );
  }
});

test("a host or port that no URL can have is refused as a reference, not as an internal error", async () => {
  for (const text of ["ghcr.io:99999/a", "[:::::]/a", "999.1.1.1/a"])
    await failsWith("REFERENCE_INVALID", () => parseReference(text), /is not a host, or its port is above 65535/);
});

test("any text becomes a tag as Spack makes it", () => {
  for (const [text, tag] of vector("ensure_valid_tag", z.array(z.tuple([z.string(), z.string()]))))
    assert.equal(sanitizeTag(text), tag);
});

const layouts = [
  { text: "oci-layout:dir", directory: "dir" },
  { text: "oci-layout:./a/b:tag", directory: "./a/b", tag: "tag" },
  { text: "oci-layout:/x:1/y", directory: "/x:1/y" },
  { text: "oci-layout:/x:1/y:t", directory: "/x:1/y", tag: "t" },
  { text: `oci-layout:d:t@sha256:${"a".repeat(64)}`, directory: "d", tag: "t", digest: `sha256:${"a".repeat(64)}` },
  { text: `oci-layout:d@sha256:${"a".repeat(64)}`, directory: "d", digest: `sha256:${"a".repeat(64)}` },
];

test("layout locations", () => {
  for (const { text, directory, tag, digest } of layouts) {
    const location = parseLocation(text);
    assert.deepEqual(location, { kind: "layout", directory, tag, digest });
    assert.equal(formatLocation(location), text);
  }
});

test("paths and skopeo's word are directories", () => {
  for (const [text, directory, tag] of [
    ["./a", "./a", undefined],
    ["../a/b:t", "../a/b", "t"],
    ["/srv/a:1/b", "/srv/a:1/b", undefined],
    [".", ".", undefined],
    ["oci:a", "a", undefined],
    ["oci:/a/b:t", "/a/b", "t"],
  ] as const)
    assert.deepEqual(parseLocation(text), { kind: "layout", directory, tag, digest: undefined }, text);
});

test("archives and the places of other tools are refused by name, with the next step", async () => {
  for (const text of [
    "oci-archive:a.tar",
    "docker-archive:a.tar:x:1",
    "docker-daemon:debian:12",
    "containers-storage:localhost/a",
    "dir:/a",
    "dir:./a",
  ]) {
    const error = await failsWith("UNSUPPORTED", () => parseLocation(text), new RegExp(`"${text.split(":")[0]}:"`));
    assert.ok(error.hint?.includes(`skopeo copy ${text} oci:DIR:TAG`), error.hint);
  }
  const home = await failsWith("REFERENCE_INVALID", () => parseLocation("~/a"), /only a shell expands/);
  assert.equal(home.hint, 'write "$HOME"/a');
});

test("what is written of a location is read as the same location", () => {
  const directory = fc.stringMatching(/^[a-z/.][a-z:/. ]{0,12}$/);
  const tag = fc.option(fc.constantFrom("t", "1.0"), { nil: undefined });
  const digest = fc.option(fc.constant(`sha256:${"a".repeat(64)}` as Digest), { nil: undefined });
  const same = (path: string) => path.replace(/\/+$/, "");
  fc.assert(
    fc.property(directory, tag, digest, (directory, tag, digest) => {
      const read = parseLocation(formatLocation({ kind: "layout", directory, tag, digest }));
      assert.ok(read.kind === "layout");
      assert.deepEqual([same(read.directory), read.tag, read.digest], [same(directory), tag, digest]);
    }),
  );
  for (const text of ["oci://localhost:5000/a:t", "oci+http://h.example/a", "oci://[::1]:5000/a", "debian"])
    assert.deepEqual(parseLocation(formatLocation(parseLocation(text))), parseLocation(text));
});

test("bad locations name what was typed and what was expected", async () => {
  for (const text of ["oci-layout:", "oci-layout:d:-x", "oci-layout:d:a b", "s3://b/x", "oci:///x", "x:y:z", "a\0b"]) {
    const error = await failsWith("REFERENCE_INVALID", () => parseLocation(text));
    assert.ok(error.message.length < 400);
  }
  const error = await failsWith("REFERENCE_INVALID", () => parseLocation("ftp://me:secret@host/x"));
  assert.ok(!error.message.includes("secret"));
});

test("tags as typed", async () => {
  for (const tag of ["a", "A_b-1.2", "x".repeat(128), "日本"]) assert.equal(parseTag(tag), tag);
  for (const tag of ["", "-a", ".a", "a b", "a/b", "a:b", "x".repeat(129), "a\n"]) {
    assert.ok(!isTag(tag));
    await failsWith("REFERENCE_INVALID", () => parseTag(tag));
  }
});

// Quadratic time would take forever.
const MANY = 2_000_000;

test("no text keeps the parser from ending, or makes it throw another error", () => {
  const nasty = [
    "a".repeat(MANY),
    "a-".repeat(MANY),
    "a.".repeat(MANY),
    "a/".repeat(MANY),
    `a${":a".repeat(MANY)}`,
    "a__".repeat(MANY),
    `oci:${":".repeat(MANY)}/:`,
    `oci:${":".repeat(MANY)}/a`,
  ];
  const check = (text: string) => {
    try {
      mustEnd(() => formatLocation(parseLocation(text)));
    } catch (error) {
      assert.equal((error as { code?: string }).code, "REFERENCE_INVALID", text.slice(0, 40));
    }
  };
  for (const text of nasty) check(text);
  fc.assert(fc.property(fc.string({ maxLength: 300 }), check));
});
