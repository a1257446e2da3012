// Fuzzes what users type for specs, versions and conditions.
import assert from "node:assert/strict";
import fc from "fast-check";
import { z } from "zod";
import { parseSpecTag } from "../../../lib/cache/spec-tag.ts";
import { isStaveError } from "../../../lib/errors.ts";
import { decide } from "../../../lib/spack/config/when-condition.ts";
import { printQuery } from "../../../lib/spack/query/query.ts";
import { satisfies } from "../../../lib/spack/query/satisfies.ts";
import { parseQueries } from "../../../lib/spack/query/spec-parser.ts";
import { intersectTargets, targetSatisfies } from "../../../lib/spack/query/target-range.ts";
import {
  intersectVersions,
  parseVersions,
  printVersions,
  versionsIntersect,
  versionsSatisfy,
} from "../../../lib/spack/query/version-range.ts";
import { readSpecFile } from "../../../lib/spack/spec/spec-file.ts";
import { formatPath, formatSpec } from "../../../lib/spack/spec/spec-format.ts";
import { compareVersions, parseVersion } from "../../../lib/spack/spec/version.ts";
import { hostAt } from "../../support/config-tree.ts";
import { vector } from "../../support/vectors.ts";
import type { Family } from "../family.ts";
import { inputsOf, specFiles, textsOf } from "../seeds.ts";

const { root, graph } = readSpecFile(Buffer.from(specFiles(100).at(-1) ?? ""), "spec.json");
const WORDS = [
  "@",
  ":",
  "=",
  "==",
  "+",
  "~",
  "-",
  "^",
  "%",
  "%%",
  "^[virtuals=mpi] ",
  "[",
  "]",
  "when='",
  "deptypes=link,run ",
  "/abc",
  " target=",
  "platform=linux ",
  "os=",
  'cflags="-O2 -g"',
  ",",
  "'",
  '"',
  "\\",
  "git.main=1.2",
  "@=",
  "develop",
  ".",
  "a",
  "*",
  "arch=linux-debian12-x86_64",
  "namespace=",
];
const queries = [...inputsOf("spec_parse"), ...textsOf("spec_satisfies").filter((text) => text.length < 200)];
const ranges = [
  ...textsOf("version_satisfies"),
  ...textsOf("version_list_normalise"),
  ...textsOf("version_range_relations"),
];
const host = hostAt("/r", { X: "1" });

export const family: Family = {
  name: "queries",
  targets: [
    {
      name: "query texts",
      seeds: queries,
      words: WORDS,
      run: (input) => {
        for (const query of parseQueries(input.toString("utf8"))) {
          if (query.file === undefined) satisfies(root, graph, query);
          const printed = printQuery(query);
          assert.deepEqual(parseQueries(printed).map(printQuery), [printed]);
        }
      },
    },
    {
      name: "version lists",
      seeds: ranges,
      words: [":", ",", "=", ".", "-", "_", "rc", "alpha", "develop", "git.", "99999999999999999999", "1"],
      run: (input) => {
        const list = parseVersions(input.toString("utf8"));
        const printed = printVersions(list);
        assert.equal(printVersions(parseVersions(printed)), printed);
        assert.ok(versionsSatisfy(list, list), printed);
        versionsIntersect(list, list);
        parseVersions(printVersions(intersectVersions(list, list)) || ":");
      },
    },
    {
      name: "versions",
      seeds: vector("version_order", z.object({ ascending: z.array(z.array(z.string())) })).ascending.flat(),
      words: [".", "-", "_", "rc", "alpha", "beta", "develop", "main", "0", "00", "99999999999999999999"],
      run: (input) => {
        const [a = "", b = ""] = input.toString("utf8").split(" ");
        const [left, right] = [parseVersion(a), parseVersion(b)];
        assert.equal(Math.sign(compareVersions(left, right)), -Math.sign(compareVersions(right, left)) || 0);
      },
    },
    {
      name: "conditions",
      seeds: [
        "os == 'x'",
        '"X" not in env',
        "platform in ('a', 'b') and not (target != \"y\" or hostname)",
        "arch.satisfies('x')",
        "env.get('X') == '1'",
      ],
      words: [
        "(",
        ")",
        "[",
        "]",
        "not ",
        "and ",
        "or ",
        "in ",
        "==",
        "!=",
        "'",
        '"',
        "env",
        ".",
        ",",
        "True",
        "None",
        "12",
      ],
      run: (input) => decide(input.toString("utf8"), host),
    },
    {
      name: "format strings",
      seeds: [
        "{name}-{version}-{hash}",
        "{architecture}/{compiler.name}-{compiler.version}/{^mpi.name}",
        "{variants.x}{@version}{/hash:7}",
        "\\{x\\}{%compiler}",
      ],
      words: [
        "{",
        "}",
        "\\",
        ".",
        "^",
        "@",
        "=",
        "/",
        ":",
        "hash:",
        "architecture.target",
        "prefix",
        "variants.",
        "namespace",
        "spack_root",
      ],
      run: (input) => {
        const format = input.toString("utf8");
        formatSpec(root, format);
        assert.ok(!/(?:^|\/)\.\.(?:\/|$)|\0/.test(formatPath(root, format)), "a path that leads up");
      },
    },
    {
      name: "targets",
      seeds: ["x86_64", "x86_64:", ":zen3", "haswell:icelake", "x86_64_v2:x86_64_v4,aarch64", "zen2,zen3"],
      words: [":", ",", "x86_64", "zen3", "icelake", "aarch64"],
      run: (input) => {
        const [a = "", b = ""] = input.toString("utf8").split(" ");
        targetSatisfies("zen3", a);
        const both = intersectTargets(a, b);
        if (both !== undefined && targetSatisfies("zen3", both))
          assert.ok(targetSatisfies("zen3", a) && targetSatisfies("zen3", b));
      },
    },
    {
      name: "tags of specs",
      seeds: [
        "zlib-1.2.3-abcdefghijklmnopqrstuvwxyz234567.spack",
        "index.spack",
        "font-100dpi-1.0-abcdefghijklmnopqrstuvwxyz234567.spack",
      ],
      words: ["-", ".spack", "abcdefghijklmnopqrstuvwxyz234567", "1.0", "develop"],
      run: (input) => parseSpecTag(input.toString("utf8")),
    },
  ],
  properties: [
    {
      name: "queries mean the same after printing",
      check: (parameters) => {
        const name = fc.stringMatching(/^[a-z][a-z0-9]{0,4}$/);
        const version = fc.constantFrom("1", "1.2", "2.0-rc1", "develop", "1:2", ":3", "=1.2", "1:2,4");
        const node = fc
          .tuple(
            name,
            fc.option(version),
            fc.array(fc.tuple(fc.constantFrom("+", "~", "++", "~~"), name), { maxLength: 2 }),
            fc.array(fc.tuple(name, fc.constantFrom("=", ":=", "=="), fc.string({ minLength: 1, maxLength: 6 })), {
              maxLength: 2,
            }),
          )
          .map(([n, v, flags, pairs]) =>
            [
              `${n}${v === null ? "" : `@${v}`}${flags.map(([sign, flag]) => sign + flag).join("")}`,
              ...pairs.map(([key, sign, value]) => `${key}${sign}'${value.replace(/['"\\]/g, "_")}'`),
            ].join(" "),
          );
        const text = fc
          .tuple(node, fc.array(fc.tuple(fc.constantFrom("^", "%", "%%"), node), { maxLength: 3 }))
          .map(([head, edges]) => [head, ...edges.map(([sign, child]) => sign + child)].join(" "));
        fc.assert(
          fc.property(text, (given) => {
            try {
              const [query] = parseQueries(given);
              if (query)
                assert.equal(
                  satisfies(root, graph, query),
                  satisfies(root, graph, parseQueries(printQuery(query))[0] ?? query),
                );
            } catch (error) {
              if (!isStaveError(error, "SPEC_INVALID")) throw error;
            }
          }),
          parameters,
        );
      },
    },
  ],
};
