// Proves which scopes count, and in which order, for every generation of Spack, and what an include may do.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Configuration, type ConfigurationOptions } from "../../../lib/spack/config/config.ts";
import type { Host } from "../../../lib/spack/config/machine.ts";
import { folderSections } from "../../../lib/spack/config/scope-file.ts";
import { findInstallation } from "../../../lib/spack/config/spack-installation.ts";
import { formatPlace, toJson } from "../../../lib/spack/text/yaml.ts";
import { configTree, hostAt, spackFiles } from "../../support/config-tree.ts";
import { failsWith } from "../../support/errors.ts";

interface Given {
  files?: Record<string, string>;
  version?: string;
  env?: Record<string, string>;
  host?: Partial<Host>;
  options?: (root: string) => Partial<ConfigurationOptions>;
}

function configuration({ files = {}, version, env = {}, host = {}, options }: Given): {
  config: Configuration;
  root: string;
} {
  const root = configTree({ ...(version === undefined ? {} : spackFiles("spack", version)), ...files });
  const at = hostAt(root, version === undefined ? env : { SPACK_ROOT: join(root, "spack"), ...env }, host);
  return {
    root,
    config: new Configuration({ host: at, installation: findInstallation(undefined, at), ...options?.(root) }),
  };
}

const timeout = (seconds: number) => `config: {connect_timeout: ${seconds}}\n`;
// The scopes with a `config` section, highest first.
const existing = (config: Configuration): string[] =>
  config.scopes.filter(({ content }) => content.section("config") !== undefined).map(({ name }) => name);
const environment = (root: string) => ({
  environment: { name: "dev", folder: join(root, "env"), manifest: join(root, "env/spack.yaml") },
});

const PLACES = [
  "spack/etc/spack",
  "spack/etc/spack/site",
  "spack/etc/spack/defaults",
  "spack/etc/spack/defaults/base",
  "spack/etc/spack/defaults/linux",
  "system",
  "home/.spack",
  "home/.spack/linux",
  "one",
  "two",
];
const everywhere = {
  ...Object.fromEntries(PLACES.map((place, at) => [`${place}/config.yaml`, timeout(at)])),
  "env/spack.yaml": `spack:\n  ${timeout(99)}`,
};
const all = (root: string) => ({
  ...environment(root),
  custom: [{ folder: join(root, "one") }, { folder: join(root, "two") }],
});

const ORDER: { version: string; expect: string[] }[] = [
  {
    version: "1.2.0.dev0",
    expect: [
      "cmd_scope_1",
      "cmd_scope_0",
      "env:dev",
      "spack",
      "user",
      "site",
      "system",
      "defaults",
      "defaults:linux",
      "defaults:base",
      "_builtin",
    ],
  },
  {
    version: "1.1.0",
    expect: [
      "cmd_scope_1",
      "cmd_scope_0",
      "env:dev",
      "spack",
      "user",
      "site",
      "system",
      "defaults",
      "defaults:linux",
      "defaults:base",
      "_builtin",
    ],
  },
  {
    version: "1.0.2",
    expect: [
      "cmd_scope_1",
      "cmd_scope_0",
      "env:dev",
      "user",
      "site",
      "system",
      "defaults",
      "defaults:linux",
      "defaults:base",
      "_builtin",
    ],
  },
  {
    version: "0.23.1",
    expect: [
      "cmd_scope_1",
      "cmd_scope_0",
      "env:dev",
      "user/linux",
      "user",
      "site",
      "system",
      "defaults/linux",
      "defaults",
      "_builtin",
    ],
  },
];
for (const { version, expect } of ORDER)
  test(`scopes of Spack ${version} have its precedence`, () => {
    const { config } = configuration({ version, files: everywhere, options: all });
    assert.deepEqual(existing(config), expect);
  });

test("without Spack there are the system's and the user's configuration, over what Spack ships", () => {
  const { config } = configuration({
    files: { "home/.spack/config.yaml": timeout(5), "system/config.yaml": "config: {locks: false}" },
  });
  assert.deepEqual(existing(config), ["user", "system", "_builtin"]);
  const { locks, connect_timeout, db_lock_timeout } = toJson(config.section("config") ?? assert.fail()) as Record<
    string,
    unknown
  >;
  assert.deepEqual([locks, connect_timeout, db_lock_timeout], [false, 5, 60]);
});

for (const version of ["1.2.0", "1.0.0", "0.22.1", undefined])
  test(`environment variables move and remove the user's and the system's scope (Spack ${version})`, () => {
    const files = {
      "home/.spack/config.yaml": timeout(1),
      "system/config.yaml": timeout(2),
      "other/config.yaml": timeout(3),
    };
    const value = (env: (root: string) => Record<string, string>) => {
      const root = configTree({ ...(version ? spackFiles("spack", version) : {}), ...files });
      const host = hostAt(root, { ...(version ? { SPACK_ROOT: join(root, "spack") } : {}), ...env(root) });
      return toJson(
        new Configuration({ host, installation: findInstallation(undefined, host) }).get("config:connect_timeout") ??
          assert.fail(),
      );
    };
    assert.equal(
      value(() => ({})),
      1,
    );
    assert.equal(
      value((root) => ({ SPACK_USER_CONFIG_PATH: join(root, "other") })),
      3,
    );
    assert.equal(
      value((root) => ({ SPACK_USER_CONFIG_PATH: "/nowhere", SPACK_SYSTEM_CONFIG_PATH: join(root, "other") })),
      3,
    );
    assert.equal(
      value(() => ({ SPACK_DISABLE_LOCAL_CONFIG: "" })),
      30,
    );
  });

test("each value says from which file and line it is", () => {
  const { config, root } = configuration({
    version: "1.2.0",
    files: {
      "home/.spack/mirrors.yaml": "mirrors:\n  mine: {binary: true}\n",
      "system/mirrors.yaml": "mirrors:\n  mine:\n    url: https://a\n",
    },
  });
  assert.equal(formatPlace(config.get("mirrors:mine:url")?.place ?? assert.fail()), `${root}/system/mirrors.yaml:3:10`);
  assert.equal(
    formatPlace(config.get("mirrors:mine:binary")?.place ?? assert.fail()),
    `${root}/home/.spack/mirrors.yaml:2:18`,
  );
});

test("a section or a key of a higher scope that ends in :: replaces those below", () => {
  const { config } = configuration({
    files: {
      "system/mirrors.yaml": "mirrors: {a: https://a, b: {url: https://b, signed: false}}",
      "home/.spack/mirrors.yaml": "mirrors:\n  b::\n    url: https://c\n",
      "one/mirrors.yaml": "mirrors::\n  only: https://o\n",
    },
    options: () => ({}),
  });
  assert.deepEqual(JSON.parse(JSON.stringify(toJson(config.section("mirrors") ?? assert.fail()))), {
    b: { url: "https://c" },
    a: "https://a",
  });
  const over = configuration({
    files: { "system/mirrors.yaml": "mirrors: {a: https://a}", "one/mirrors.yaml": "mirrors::\n  only: https://o\n" },
    options: (root) => ({ custom: [{ folder: join(root, "one") }] }),
  });
  assert.deepEqual(JSON.parse(JSON.stringify(toJson(over.config.section("mirrors") ?? assert.fail()))), {
    only: "https://o",
  });
});

test("a key with + or - in a file is another key, as in Spack, and a note says so", () => {
  const { config, root } = configuration({
    files: {
      "system/config.yaml": "config: {build_stage: [/a]}",
      "home/.spack/config.yaml": "config:\n  build_stage+:\n  - /b\n",
    },
  });
  assert.deepEqual(toJson(config.get("config:build_stage") ?? assert.fail()), ["/a"]);
  assert.deepEqual(
    config.notes.map(({ place, text }) => `${formatPlace(place)} ${text}`),
    [
      `${root}/home/.spack/config.yaml:2:3 the key build_stage+ is ignored: Spack reads \`+:\` and \`-:\` on the command line only`,
    ],
  );
});

const SETTINGS: { name: string; settings: string[]; path: string; expect: unknown }[] = [
  { name: "a value", settings: ["config:connect_timeout:9"], path: "config:connect_timeout", expect: 9 },
  {
    name: "text in quotes, with colons",
    settings: ['mirrors:m:url:"oci://h:1/r"'],
    path: "mirrors:m:url",
    expect: "oci://h:1/r",
  },
  {
    name: "a quoted key",
    settings: ["packages:'a:b':version:[1]"],
    path: "packages",
    expect: { "a:b": { version: [1] }, all: { permissions: { read: "world", write: "user" } } },
  },
  {
    name: "one item for a list",
    settings: ["config:build_stage:/b"],
    path: "config:build_stage",
    expect: ["/b", "/a"],
  },
  {
    name: "items behind a list",
    settings: ["config:build_stage-:/b"],
    path: "config:build_stage",
    expect: ["/a", "/b"],
  },
  { name: "text in front", settings: ["config:misc_cache+:/pre"], path: "config:misc_cache", expect: "/pre/misc" },
  {
    name: "instead of what is below",
    settings: ["config:build_stage::[/b]"],
    path: "config:build_stage",
    expect: ["/b"],
  },
  {
    name: "several in the order given",
    settings: ["config:x:b:1", "config:x:a:2", "config:x:b:3"],
    path: "config:x",
    expect: { b: 3, a: 2 },
  },
];
for (const { name, settings, path, expect } of SETTINGS)
  test(`a setting of the command line is above all scopes: ${name}`, () => {
    const { config } = configuration({
      files: { "home/.spack/config.yaml": "config: {build_stage: [/a], misc_cache: /misc}" },
      options: () => ({ settings }),
    });
    const value = path.split(":").length === 1 ? config.section(path) : config.get(path);
    assert.equal(JSON.stringify(toJson(value ?? assert.fail())), JSON.stringify(expect));
  });
for (const setting of ["", "config", "config:", "config:a:", "config:a:[", ":::"])
  test(`a setting that is none is a usage error: ${JSON.stringify(setting)}`, async () => {
    await failsWith("USAGE", () => configuration({ options: () => ({ settings: [setting] }) }), /the setting/);
  });

test("includes lie below the scope that includes them, the first of them highest", () => {
  const { config } = configuration({
    version: "1.2.0",
    env: { SITE: "here", ELSEWHERE: "moved" },
    files: {
      "home/.spack/include.yaml": `include:
- first
- path: second.yaml
- path: missing
  optional: true
- {path: no.yaml, when: 'platform == "darwin"'}
- {path: x, path_override_env_var: ELSEWHERE, name: renamed}
- $SITE
`,
      "home/.spack/first/config.yaml": "config: {a: first}",
      "home/.spack/second.yaml": "config: {a: second, b: second}",
      "home/.spack/no.yaml": "config: {a: no, b: no, c: no}",
      "home/.spack/moved/config.yaml": "config: {a: moved, b: moved, c: moved}",
      "home/.spack/here/config.yaml": "config: {a: here, c: here, d: here}",
    },
  });
  const { a, b, c, d } = toJson(config.section("config") ?? assert.fail()) as Record<string, unknown>;
  assert.deepEqual([a, b, c, d], ["first", "second", "moved", "here"]);
  assert.deepEqual(existing(config).slice(0, 4), ["user:first", "user:second.yaml", "renamed", "user:here"]);
});

test("Spack 0.x has includes in environments only", () => {
  const { config } = configuration({
    version: "0.23.0",
    files: {
      "home/.spack/include.yaml": "include: [more]",
      "home/.spack/more/config.yaml": timeout(1),
      "env/spack.yaml": "spack: {include: [conf, one.yaml]}",
      "env/conf/config.yaml": timeout(2),
      "env/one.yaml": timeout(3),
    },
    options: environment,
  });
  assert.deepEqual(
    existing(config)
      .slice(0, 2)
      .map((name) => name.replace(/:\/.*\//, ":")),
    ["env:dev:conf", "env:dev:one.yaml"],
  );
});

test("include:: of an environment hides everything but Spack's defaults", () => {
  const { config, root } = configuration({
    version: "1.2.0",
    files: { ...everywhere, "env/spack.yaml": `spack:\n  include:: [kept]\n`, "env/kept/config.yaml": timeout(7) },
    options: environment,
  });
  assert.deepEqual(existing(config), [
    `env:dev:${root}/env/kept`,
    "defaults",
    "defaults:linux",
    "defaults:base",
    "_builtin",
  ]);
});

test("what is not here is noted and not fetched: URLs, git, and conditions only Python can decide", () => {
  const { config, root } = configuration({
    version: "1.2.0",
    files: {
      "home/.spack/include.yaml": `include:
- https://user:pass@example.org/x.yaml
- git: https://token@example.org/r.git
  branch: main
  paths: [a]
- path: a
  when: re.match("a", hostname)
`,
    },
  });
  const at = `${root}/home/.spack/include.yaml`;
  assert.deepEqual(
    config.notes.map(({ place, text }) => `${formatPlace(place)} ${text}`),
    [
      `${at}:2:3 the include is ignored: it is the URL https://***@example.org/x.yaml`,
      `${at}:3:3 the include is ignored: it is in the git repository https://***@example.org/r.git`,
      `${at}:6:3 the include is ignored: cannot decide \`re.match("a", hostname)\`: it uses re, which only Python understands`,
    ],
  );
});

const WRONG: {
  name: string;
  files: Record<string, string>;
  code?: "CONFIG_INVALID" | "TOO_LARGE" | "FILE_SYSTEM";
  message: RegExp;
}[] = [
  {
    name: "an include that leads back to itself",
    files: {
      "home/.spack/include.yaml": "include: [a.yaml]",
      "home/.spack/a.yaml": "include: [b.yaml]",
      "home/.spack/b.yaml": "include: [a.yaml]",
    },
    message: /b\.yaml:1:11: the include of .*a\.yaml leads back to itself/,
  },
  {
    name: "a folder that includes itself",
    files: { "home/.spack/include.yaml": "include: [.]" },
    message: /leads back to itself/,
  },
  {
    name: "a required include that is not there",
    files: { "home/.spack/include.yaml": "include:\n- gone" },
    message: /include\.yaml:2:3: the included .*gone does not exist/,
  },
  {
    name: "includes that double at every level",
    files: {
      "home/.spack/include.yaml": "include: [n0.yaml]",
      ...Object.fromEntries(
        Array.from({ length: 30 }, (_, i) => [
          `home/.spack/n${i}.yaml`,
          `include: [n${i + 1}.yaml, ./x/../n${i + 1}.yaml, {path: n${i + 1}.yaml, name: z${i}}]`,
        ]),
      ),
      "home/.spack/n30.yaml": "",
    },
    message: /more than 1000 scopes/,
  },
  {
    name: "an include of the wrong kind",
    files: { "home/.spack/include.yaml": "include:\n- {path: 5}" },
    message: /include\.yaml:2:10: include\[0\]:path is 5: expected string, received number/,
  },
  {
    name: "an unknown key in an include",
    files: { "home/.spack/include.yaml": "include:\n- {path: a, optionl: true}" },
    message: /include\[0\] is a mapping: the key optionl is unknown/,
  },
  {
    name: "include that is no list",
    files: { "home/.spack/include.yaml": "include: a" },
    message: /include is a scalar, expected a list/,
  },
  {
    name: "another section in a section's file",
    files: { "home/.spack/config.yaml": "confg: {}" },
    message: /config\.yaml:1:1: the key is confg, expected config/,
  },
  {
    name: "a list instead of a mapping",
    files: { "home/.spack/config.yaml": "- a" },
    message: /config\.yaml:1:1: the file contains a list, expected a mapping/,
  },
  {
    name: "a folder named like a file",
    files: { "home/.spack/config.yaml/x": "" },
    message: /config\.yaml is not a regular file/,
  },
  {
    name: "bytes that are no text",
    files: { "home/.spack/config.yaml": "config: \ufffd" },
    message: /is not UTF-8 text/,
  },
];
for (const { name, files, code = "CONFIG_INVALID", message } of WRONG)
  test(`is an error with its place: ${name}`, async () => {
    await failsWith(
      code,
      () => {
        const root = configTree({ ...spackFiles("spack", "1.2.0"), ...files });
        if (name.startsWith("bytes"))
          writeFileSync(join(root, "home/.spack/config.yaml"), Buffer.from([0x63, 0x3a, 0x20, 0xff]));
        const host = hostAt(root, { SPACK_ROOT: join(root, "spack") });
        new Configuration({ host, installation: findInstallation(undefined, host) }).section("config");
      },
      message,
    );
  });

test("a file of 100 MB is refused without reading it, and a pipe without waiting", async () => {
  const root = configTree({ "home/.spack/config.yaml": "" });
  truncateSync(join(root, "home/.spack/config.yaml"), 100e6);
  const config = () => new Configuration({ host: hostAt(root) }).section("config");
  await failsWith("TOO_LARGE", config, /config\.yaml has 100000000 bytes, expected at most/);
  const other = configTree({});
  mkdirSync(join(other, "home/.spack"), { recursive: true });
  execFileSync("mkfifo", [join(other, "home/.spack/config.yaml")]);
  await failsWith(
    "CONFIG_INVALID",
    () => new Configuration({ host: hostAt(other) }).section("config"),
    /is not a regular file/,
  );
});

test("an installation that is named and is none is an error", async () => {
  const root = configTree({ "empty/x": "" });
  await failsWith("CONFIG_INVALID", () => findInstallation("empty", hostAt(root)), /empty is not a Spack installation/);
  await failsWith(
    "CONFIG_INVALID",
    () => findInstallation(undefined, hostAt(root, { SPACK_ROOT: "/none" })),
    /\/none is not a Spack installation/,
  );
  assert.equal(findInstallation(undefined, hostAt(root, { PATH: `relative:${root}:/none` })), undefined);
});

test("a home that this user may not enter has no configuration; a file that may not be read is an error", async () => {
  const files = { "home/.spack/config.yaml": timeout(7), "system/config.yaml": timeout(8) };
  const { config, root } = configuration({ files });
  // Root may read everything.
  const isRoot = process.getuid?.() === 0;
  const asUser = <T>(work: () => T): T => {
    if (isRoot) process.seteuid?.(65_534);
    try {
      return work();
    } finally {
      if (isRoot) process.seteuid?.(0);
    }
  };
  chmodSync(root, 0o755);
  chmodSync(join(root, "home"), 0o000);
  assert.deepEqual(
    asUser(() => existing(config)),
    ["system", "_builtin"],
  );
  chmodSync(join(root, "home"), 0o755);
  chmodSync(join(root, "home/.spack/config.yaml"), 0o000);
  const user = folderSections(join(root, "home/.spack"));
  const error = await failsWith("FILE_SYSTEM", () => asUser(() => user.section("config")));
  assert.match(error.hint ?? "", /^check the permissions of it/);
});
