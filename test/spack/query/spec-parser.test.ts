// Proves that the query parser reports errors well, round-trips, and stays fast on hostile text.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { z } from "zod";
import { StaveError } from "../../../lib/errors.ts";
import { printQuery, resolveFiles, type SpecQuery } from "../../../lib/spack/query/query.ts";
import { splitFlags } from "../../../lib/spack/query/satisfies.ts";
import { parseQueries, parseQuery } from "../../../lib/spack/query/spec-parser.ts";
import { parseVersions, printVersions } from "../../../lib/spack/query/version-range.ts";
import { BUILD, LINK, RUN, TEST } from "../../../lib/spack/spec/node.ts";
import { failsWith } from "../../support/errors.ts";
import { makeGraph } from "../../support/graph.ts";
import { mustEnd } from "../../support/must-end.ts";
import { useSeed } from "../../support/seed.ts";
import { vector } from "../../support/vectors.ts";

useSeed();

const HOST = { host: { platform: "linux", os: "debian12", target: "icelake" } };

const VARIANT = z.object({
  type: z.string(),
  values: z.array(z.union([z.boolean(), z.string()])),
  propagate: z.boolean(),
  concrete: z.boolean(),
});
const SPEC = z.object({
  name: z.string().nullable(),
  namespace: z.string().nullable(),
  versions: z.string(),
  abstract_hash: z.string().nullable(),
  arch: z.array(z.string().nullable()).nullable(),
  variants: z.record(z.string(), VARIANT),
  flags: z.record(z.string(), z.array(z.string())),
  deps: z.array(
    z.object({
      name: z.string(),
      direct: z.boolean(),
      virtuals: z.array(z.string()),
      deptypes: z.array(z.string()),
      spec: z.string(),
    }),
  ),
});
type VectorSpec = z.infer<typeof SPEC>;
const ROWS = vector(
  "spec_parse",
  z
    .array(
      z.union([
        z.object({ input: z.string(), specs: z.array(SPEC), str: z.array(z.string()) }),
        z.object({ input: z.string(), error: z.string(), message: z.string() }),
      ]),
    )
    .min(50),
);

// A query in the shape of the vectors.
function shape(query: SpecQuery): VectorSpec {
  const arch = [query.platform ?? null, query.os ?? null, query.target ?? null];
  const variants = [...query.variants].map(
    ([name, { value, exact, propagated }]): [string, z.infer<typeof VARIANT>] => [
      name,
      {
        type: typeof value === "boolean" ? "BOOL" : "MULTI",
        values: typeof value === "boolean" ? [value] : [...(value ?? [])],
        propagate: propagated,
        concrete: exact,
      },
    ],
  );
  const names: [number, string][] = [
    [BUILD, "build"],
    [LINK, "link"],
    [RUN, "run"],
    [TEST, "test"],
  ];
  return {
    name: query.name ?? null,
    namespace: query.namespace ?? null,
    versions: query.versions ? printVersions(query.versions) : ":",
    abstract_hash: query.hash ?? null,
    arch: arch.some((part) => part !== null) ? arch : null,
    variants: Object.fromEntries(variants),
    flags: Object.fromEntries(
      [...query.flags].map(([kind, flags]) => [kind, flags.flatMap(({ text }) => splitFlags(text))]),
    ),
    deps: query.edges
      .map(({ child, direct, virtuals, types }) => ({
        name: child.name ?? "",
        direct,
        virtuals: [...virtuals].toSorted(),
        deptypes: names.filter(([type]) => (types & type) !== 0).map(([, name]) => name),
        spec: printQuery(child),
      }))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1)),
  };
}

for (const row of ROWS)
  test(`"${row.input}" is read as by Spack`, async () => {
    if (!("specs" in row)) {
      if (row.error === "NoSuchSpecFileError") assert.equal(parseQuery(row.input).file, row.input);
      else
        assert.match((await failsWith("SPEC_INVALID", () => parseQueries(row.input, HOST))).message, /character \d+/);
      return;
    }
    const expected = row.specs.map((spec) => ({
      ...spec,
      // Spack prints the compiler names from before 1.0, and reads them as today's packages.
      deps: spec.deps
        .map((dep) => ({ ...dep, spec: printQuery(parseQuery(dep.spec)) }))
        .toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    }));
    const queries = parseQueries(row.input, HOST);
    assert.deepEqual(queries.map(shape), expected);
    for (const query of queries) assert.deepEqual(parseQuery(printQuery(query)), query, printQuery(query));
  });

const ERRORS = [
  { given: "zlib $x", column: 6, caret: "     ^" },
  { given: "zlib@1.2 @1.3", column: 10, caret: "         ^^^^" },
  { given: "zlib cflags='-O2", column: 13, caret: "            ^^^^" },
  { given: "zlib ^", column: 6, caret: "     ^" },
  { given: "zlib ^[virtuals=mpi", column: 20, caret: "                   ^" },
  { given: "zlib ^[deptypes=never] x", column: 8, caret: "       ^^^^^^^^^^^^^^" },
  { given: "zlib ^[when='$'] x", column: 8, caret: "       ^^^^^^^^" },
  { given: "zlib@1.4:1.2", column: undefined, caret: undefined },
  { given: "zlib ^a@1 ^a@2", column: 11, caret: "          ^" },
  { given: "zlib ^a+x ^a~x", column: 11, caret: "          ^" },
  { given: "zlib os=fe os=be", column: 12, caret: "           ^^^^^" },
  { given: "a b", column: 3, caret: "  ^" },
  { given: "a arch=linux-x-=\\", column: 3, caret: "  ^^^^^^^^^^^^^^^" },
  { given: "arch==linux-x-y", column: 1, caret: "^^^^^^^^^^^^^^^" },
  { given: "]", column: 1, caret: "^" },
  { given: "", column: undefined, caret: undefined },
];
for (const { given, column, caret } of ERRORS)
  test(`what is wrong with "${given}" is shown`, async () => {
    const error = await failsWith("SPEC_INVALID", () => parseQuery(given, HOST));
    if (column === undefined) return;
    assert.match(error.message, new RegExp(`at character ${column}:`));
    assert.equal(error.hint, `${given}\n${caret}`);
  });

test("reserved words need a host that is known", async () => {
  await failsWith("SPEC_INVALID", () => parseQuery("zlib os=fe"), /means this host/);
  await failsWith("SPEC_INVALID", () => parseQuery("zlib platform=darwin os=fe", HOST), /not darwin/);
  assert.equal(parseQuery("zlib target=default_target", HOST).target, "icelake");
});

test("a file stands for the spec that it holds", async () => {
  const [node] = makeGraph(1, () => []);
  assert.ok(node);
  const seen: string[] = [];
  const read = async (path: string) => {
    seen.push(path);
    return node;
  };
  const query = await resolveFiles(parseQuery("zlib ^./a/b.spec.json %gcc"), read);
  assert.deepEqual(seen, ["./a/b.spec.json"]);
  assert.equal(query.edges[0]?.child.hash, node.hash);
});

// -- generated queries

const ident = fc.stringMatching(/^[a-z0-9_][a-z0-9_-]{0,6}$/);
const version = fc
  .array(fc.constantFrom("1.2", "=1.3", "2:", ":1.1", "3:4.5", "main", "=1.0-rc1", "01.1:1.2"), {
    minLength: 1,
    maxLength: 3,
  })
  .map((parts) => `@${parts.join(",")}`);
const value = fc.oneof(
  fc.stringMatching(/^[a-zA-Z0-9_.,:=%^~/\\*+-]{1,8}$/),
  fc.string({ maxLength: 8 }).map((text) => `'${text.replaceAll("'", "\\'").replace(/\\$/, "")}'`),
);
const variant = fc.oneof(
  fc.tuple(fc.constantFrom("+", "~", " -", "++", "~~"), ident).map(([sign, name]) => sign + name),
  fc.tuple(ident, fc.constantFrom("=", ":=", "==", ":=="), value).map(([name, sign, text]) => ` ${name}${sign}${text}`),
  fc
    .tuple(fc.constantFrom("cflags", "ldlibs", "target", "os", "platform", "arch"), value)
    .map(([k, v]) => ` ${k}=${v}`),
);
const node = fc
  .tuple(
    fc.option(
      fc.oneof(
        ident,
        fc.tuple(ident, ident).map(([a, b]) => `${a}.${b}`),
      ),
      { nil: "*" },
    ),
    fc.option(version, { nil: "" }),
    fc.array(variant, { maxLength: 3 }),
    fc.option(
      ident.map((text) => ` /${text.replaceAll("-", "")}`),
      { nil: "" },
    ),
  )
  .map(([name, at, variants, hash]) => name + at + variants.join("") + hash);
const edge = fc
  .tuple(
    fc.constantFrom("^", "%", "%%"),
    fc.constantFrom("", "[deptypes=link,run] ", "[virtuals=mpi,c] ", "[when='+x y=\\'a b\\''] "),
    fc.constantFrom("", "c=", "c,cxx="),
    node,
  )
  .map(([sign, attributes, virtuals, text]) => ` ${sign}${attributes}${virtuals}${text}`);
const spec = fc.tuple(node, fc.array(edge, { maxLength: 3 })).map(([text, edges]) => text + edges.join(""));

test("parsing what was printed gives the same query", () => {
  let read = 0;
  fc.assert(
    fc.property(spec, (text) => {
      const queries = parsed(text);
      for (const query of queries ?? []) {
        read++;
        assert.deepEqual(parseQueries(printQuery(query)), [query], printQuery(query));
      }
    }),
    { numRuns: 4000, verbose: 1 },
  );
  assert.ok(read > 500, `only ${read} texts were specs`);
});

test("a range whose ends are spelled differently is parsed the same after printing", () => {
  for (const text of ["a ^b@:1.1 ^b@01.1:1.2", "b@1:1.2,01", "a ^b@1:1.2,01:01"]) {
    const [query] = parseQueries(text);
    assert.ok(query);
    assert.deepEqual(parseQueries(printQuery(query)), [query], printQuery(query));
  }
});

test("a direct dependency that is named again prints with its own dependencies", () => {
  for (const text of [
    "%%8 ^8 %%b",
    "a %b ^b %c",
    "a %b %d ^b %c ^e %f",
    "a %[deptypes=link,run] b ^[deptypes=link,run] b %c",
  ]) {
    const [query] = parseQueries(text);
    assert.ok(query);
    assert.deepEqual(parseQueries(printQuery(query)), [query], printQuery(query));
  }
});

test("a namespace that looks like flags or edges prints as it was written", () => {
  for (const text of ["t namespace=%+h", "t namespace=a.b/c", "t namespace='a b'", "a.b.t"])
    assert.equal(printQuery(parseQueries(text)[0] as SpecQuery), text);
});

// Undefined for an invalid spec; any other error is a defect of the parser.
function parsed(text: string): SpecQuery[] | undefined {
  try {
    return parseQueries(text, HOST);
  } catch (error) {
    if (error instanceof StaveError && error.code === "SPEC_INVALID") return undefined;
    throw error;
  }
}

const MANY = 10_000;
const HOSTILE: readonly [string, string][] = [
  ...[
    "@",
    "^",
    "%",
    "[",
    "]",
    "'",
    '"',
    ":",
    ",",
    "a",
    "1",
    "=",
    "/",
    ".",
    "-",
    "~",
    "+",
    "\\",
    " ",
    "*",
    "\u0000",
  ].map((text): [string, string] => [`${JSON.stringify(text)} many times`, text.repeat(MANY)]),
  ...["@", "a=", "a='", "^[", "^[when='", "^[virtuals=", "a@", "%%", "/", "@git."].flatMap((head) =>
    ["a", ":", "1.", "1,", "a,", "^", "'", " ", "\\'", "/a", "9", "a=", "-a", "=", "0"].map(
      (tail): [string, string] => [
        `${head} and ${JSON.stringify(tail)} many times`,
        head + tail.repeat(MANY / tail.length),
      ],
    ),
  ),
  ["many variants", Array.from({ length: 2000 }, (_, at) => `+a${at}`).join("")],
  ["one variant again and again", "+a".repeat(5000)],
  ["many versions", `@${"1.2,".repeat(3000)}1`],
  ["many falling versions", `@${Array.from({ length: 2000 }, (_, at) => `=${9000 - at}`).join(",")}`],
  ["many paths", "/a".repeat(5000)],
  ["many names with paths", "a/a ".repeat(2500)],
  ["many dependencies of one name", "^a@1: ".repeat(1600)],
  ["many dependencies with other variants", Array.from({ length: 1000 }, (_, at) => `^a+b${at} `).join("")],
  ["many dependencies", Array.from({ length: 1500 }, (_, at) => `^a${at} `).join("")],
  ["many flags", "cflags=a ".repeat(1100)],
  ["conditions within conditions", "^[when='".repeat(1200)],
  ["spaces everywhere", `@1${" ".repeat(5000)},${" ".repeat(5000)}`],
  ["many spaces after many names", `a${" ".repeat(100)}`.repeat(100)],
  ["escaped quotes", `a='${"\\'".repeat(5000)}`],
];
for (const [name, text] of HOSTILE)
  test(`the parser ends, with its own error if any: ${name}`, () => void mustEnd(() => parsed(text)));

test("the parser ends for random text, and throws no other error", () => {
  const token = fc.constantFrom(
    ..."@^%[]'\"\\:,=+~-/. *".split(""),
    "a",
    "1",
    "gcc",
    "git.",
    "when=",
    "virtuals=",
    ".json",
    "\n",
  );
  const text = fc.oneof(
    fc.string({ maxLength: 10_000, unit: "binary" }),
    fc.array(token, { maxLength: 3000 }).map((parts) => parts.join("")),
  );
  fc.assert(
    fc.property(text, (given) => {
      mustEnd(() => parsed(given));
      try {
        parseVersions(given);
      } catch (error) {
        assert.ok(error instanceof StaveError && error.code === "SPEC_INVALID");
      }
    }),
    { numRuns: 500, verbose: 1, interruptAfterTimeLimit: 5000 },
  );
});
