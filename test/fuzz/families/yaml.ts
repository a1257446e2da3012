// Fuzzes YAML: the parser, build infos, configuration, mirrors and environments.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { writeBuildInfo } from "../../../lib/image/archive/build-info-writer.ts";
import { parseBuildInfo } from "../../../lib/relocate/prefix/build-info-reader.ts";
import { Configuration } from "../../../lib/spack/config/config.ts";
import { type Mirror, mirrors } from "../../../lib/spack/config/mirror.ts";
import { findMirror, registryCredentials } from "../../../lib/spack/config/mirror-lookup.ts";
import * as settings from "../../../lib/spack/config/settings.ts";
import { definitions, readManifest, views } from "../../../lib/spack/config/spack-yaml.ts";
import { toolchains } from "../../../lib/spack/config/toolchains.ts";
import { readFlowYaml } from "../../../lib/spack/text/flow-yaml-reader.ts";
import { type FlowValue, flowScalar, writeFlowYaml } from "../../../lib/spack/text/flow-yaml-writer.ts";
import { parseYaml, toJson, type YamlNode } from "../../../lib/spack/text/yaml.ts";
import { AT, buildInfo as buildInfoOf } from "../../support/archive.ts";
import { configTree, hostAt } from "../../support/config-tree.ts";
import type { Family } from "../family.ts";
import { archives, goldenFile } from "../seeds.ts";

const buildInfos = archives(4).map((bytes) => {
  const text = buildInfoOf(gunzipSync(bytes));
  return text.slice(0, text.indexOf("\n") + 1);
});
const WORDS = [
  "{",
  "}",
  "[",
  "]",
  ": ",
  ", ",
  "'",
  '"',
  "&a ",
  "*a",
  "!!str ",
  "!",
  "|\n",
  ">\n",
  "---\n",
  "...\n",
  "#",
  "\t",
  "? ",
  "<<: ",
  "\\x",
  "\u2028",
  "\ufeff",
  "::",
  "+:",
  "-:",
  "~",
  "null",
  "0o7",
  "1e5",
];
const KEYS = [
  "config:",
  "mirrors:",
  "install_tree:",
  "root:",
  "projections:",
  "packages:",
  "permissions:",
  "url:",
  "fetch:",
  "push:",
  "access_pair:",
  "view:",
  "specs:",
  "definitions:",
  "matrix:",
  "when:",
  "$spack",
  "~/",
  "$x",
  "${y}",
];

const CONFIGS = [
  "config:\n  install_tree:\n    root: $spack/opt\n    padded_length: 128\n    projections:\n      all: '{name}-{version}'\n  locks: true\n  connect_timeout: 10\n  ssl_certs: /etc/ca.pem\n",
  "mirrors:\n  a: oci://ghcr.io/o/c\n  b: {url: s3://x/y, signed: false, access_pair: {id: i, secret_variable: S}}\n",
  "mirrors:\n  m:\n    fetch: {url: https://h, access_pair: [u, p], access_token: t}\n    push: /p\n",
  "packages:\n  all:\n    permissions: {read: world, write: group, group: g}\nupstreams:\n  u: {install_tree: /u}\n",
  "modules:\n  prefix_inspections:\n    ./bin: [PATH]\n    '': [X]\ntoolchains:\n  t:\n  - {spec: '%gcc', when: '%c'}\n",
  "include:\n- path: /nowhere\n  optional: true\n  when: 'os == \"x\"'\n",
];

const root = configTree({ "home/.spack/config.yaml": "", "env/spack.yaml": "" });
const host = hostAt(root, { S: "secret", x: "1" });
const manifest = join(root, "env", "spack.yaml");

// Reads everything that stave uses of a configuration.
function readAll(config: Configuration): Mirror[] {
  for (const read of [
    settings.installTree,
    settings.layout,
    settings.lockSettings,
    settings.networkSettings,
    settings.prefixInspections,
    settings.upstreams,
    settings.environmentsRoot,
    toolchains,
    definitions,
  ])
    read(config);
  settings.permissions(config, "zlib");
  const all = mirrors(config);
  registryCredentials(all, "ghcr.io", host.env);
  for (const mirror of all) for (const side of ["fetch", "push"] as const) mirror.credentials(side, host.env);
  return all;
}

// Spack's writer leaves "? a" and ": a" plain, although YAML reads them as a key and a value. stave does the same; even
// Spack cannot read them back.
const isReadable = (text: string): boolean => !/^[?:] /.test(text) || flowScalar(text) !== text;
const shape = (node: YamlNode | undefined): unknown => (node === undefined ? undefined : toJson(node));

export const family: Family = {
  name: "yaml",
  targets: [
    {
      name: "yaml texts",
      seeds: [...CONFIGS, ...buildInfos, goldenFile("spack-1.2/spack.yaml"), goldenFile("spack-0.23/spack.yaml")],
      words: WORDS,
      share: { of: 0.5, because: "a general YAML parser takes a millisecond for each" },
      run: (input) => shape(parseYaml(input.toString("utf8"), "f")),
    },
    {
      name: "flow yaml",
      seeds: buildInfos,
      words: WORDS,
      share: { of: 0.5, because: "each is read by the general parser too" },
      // The fast reader agrees with the general one on everything it accepts.
      run: (input) => {
        const text = input.toString("utf8");
        const fast = readFlowYaml(text, "f");
        if (fast !== undefined && text.length < 8192) assert.deepEqual(shape(fast), shape(parseYaml(text, "f")));
      },
    },
    {
      name: "build infos",
      seeds: buildInfos,
      words: [...WORDS, "buildpath: ", "relocate_binaries: ", "hash_to_prefix: ", "..", "/"],
      share: { of: 0.5, because: "what the fast reader gives up on goes to the general parser" },
      run: (input) => parseBuildInfo(input, "the build info"),
    },
    {
      name: "configuration",
      seeds: [...CONFIGS, goldenFile("spack-1.2/spack.yaml")],
      words: [...WORDS, ...KEYS],
      largest: 8192,
      share: { of: 0.1, because: "each is written to a file and read with all its sections" },
      run: (input) => {
        writeFileSync(manifest, input);
        const folder = join(root, "env");
        const environment = { name: "env", manifest, folder };
        const config = new Configuration({ host, environment });
        readAll(config);
        views(config, folder);
        return readManifest(manifest, config.context);
      },
    },
    {
      name: "settings of the command line",
      seeds: [
        "config:install_tree:root:/store",
        "mirrors:m:{url: 'oci://h/r'}",
        "config:locks:false",
        "packages:all:permissions:read:user",
      ],
      words: [...WORDS, ...KEYS, ":"],
      largest: 8192,
      share: { of: 0.5, because: "each makes a configuration" },
      run: (input) => readAll(new Configuration({ host, settings: [input.toString("utf8")] })),
    },
    {
      name: "names of mirrors",
      seeds: [
        "https://h/$SITE",
        "../a b+c",
        "/abs//x/../y/",
        "~/m",
        "file:///x",
        "s3://b/p",
        "oci+http://localhost:5000/c",
        "C:\\x",
      ],
      words: ["://", "..", "/", "\\", "~", "$", "%", "${", "}", "file:", "\0"],
      run: (input) => {
        const mirror = findMirror(`./${input.toString("utf8")}`, plain);
        for (const side of ["fetch", "push"] as const) assert.ok(URL.canParse(mirror.url(side)), mirror.url(side));
      },
    },
  ],
  properties: [
    {
      name: "flow yaml is read as it was written",
      check: (parameters) => {
        const value = fc.letrec<{ value: FlowValue }>((tie) => ({
          value: fc.oneof(
            { maxDepth: 3 },
            fc.string().filter(isReadable),
            fc.string({ unit: "binary" }).filter((text) => text.isWellFormed() && isReadable(text)),
            fc.array(tie("value"), { maxLength: 4 }),
            fc
              .array(fc.tuple(fc.string().filter(isReadable), tie("value")), { maxLength: 4 })
              .map((pairs) => new Map(pairs)),
          ),
        })).value;
        const plainOf = (one: FlowValue): unknown => {
          if (one instanceof Map) return Object.fromEntries(Array.from(one, ([key, each]) => [key, plainOf(each)]));
          return Array.isArray(one) ? one.map(plainOf) : one;
        };
        const texts = (node: YamlNode | undefined): unknown => {
          if (node?.kind === "map")
            return Object.fromEntries(Array.from(node.entries, ([key, { value: each }]) => [key, texts(each)]));
          return node?.kind === "list" ? node.items.map(texts) : node?.text;
        };
        fc.assert(
          fc.property(fc.array(value, { maxLength: 4 }), (list) => {
            // In configuration, a colon at the end of a key says how it merges. A text that starts with a colon and a
            // space is written plain, as in Spack, and read as an empty key.
            fc.pre(!/:["']?: |[[{ ]: /.test(writeFlowYaml(list)));
            assert.deepEqual(texts(parseYaml(writeFlowYaml(list), "f")), plainOf(list));
          }),
          parameters,
        );
      },
      share: { of: 0.2, because: "a general YAML parser takes a millisecond for each" },
    },
    {
      name: "build infos are read as they were written",
      share: { of: 0.2, because: "odd names go to the general parser" },
      check: (parameters) => {
        const name = fc
          .uint8Array({ minLength: 1, maxLength: 12 })
          .map((bytes) => Buffer.from(bytes).toString("latin1"));
        const plain = name.filter((text) => !/(?:^|\/)\.{0,2}(?:\/|$)|\0/.test(text) && !/^: |:$/.test(text));
        const list = fc.uniqueArray(plain, { maxLength: 6 });
        fc.assert(
          fc.property(list, list, list, (binaries, links, texts) => {
            const files = { binaries, links, texts };
            const read = parseBuildInfo(writeBuildInfo(AT, files), "the build info");
            assert.deepEqual(read.files, files);
            assert.deepEqual([...read.prefixes], AT.hashToPrefix);
          }),
          parameters,
        );
      },
    },
  ],
};

const plain = new Configuration({ host });
