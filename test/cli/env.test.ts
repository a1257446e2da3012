// Proves that real shells interpret the output of `stave env` correctly.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { shellText } from "../../lib/ops/store/env.ts";
import type { EnvVariable } from "../../lib/ops/store/env-variables.ts";
import { findProgram } from "../../scripts/peers.ts";
import { stave } from "../support/cli.ts";
import { failsWith } from "../support/errors.ts";
import { named } from "../support/push.ts";
import { copyOf, openStore, SPACK_1 } from "../support/stores.ts";
import { temporaryFolder } from "../support/tree.ts";

let sysroot = "";
let prefix = "";
before(async () => {
  sysroot = await copyOf(SPACK_1);
  const store = await openStore(SPACK_1, sysroot);
  prefix = store.prefixOf(named(store, "voyage"));
  mkdirSync(join(sysroot, prefix, "share/man"), { recursive: true });
});
const run = (args: string[], env: Record<string, string> = {}) =>
  stave(["env", "voyage", ...args, "--store", SPACK_1.root, "--sysroot", sysroot, "--no-env"], { env });

/** The variables of a shell after it executed a text. */
function told(shell: string, text: string, env: Record<string, string>): Record<string, string> {
  const flags = shell.endsWith("csh") ? ["-f"] : [];
  const ran = spawnSync(shell, [...flags, "-c", `${text}\n/usr/bin/env -0`], { encoding: "utf8", env });
  assert.equal(ran.status, 0, ran.stderr);
  return Object.fromEntries(
    ran.stdout
      .split("\0")
      .filter(Boolean)
      .map((entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)]),
  );
}

test("sh puts folders in front of what it has then", async () => {
  const { stdout, status, stderr } = await run([]);
  assert.equal(status, 0, stderr);
  assert.match(stdout, new RegExp(`^export PATH='${prefix}/bin[^']*'"\\$\\{PATH:\\+:\\$PATH\\}";$`, "m"));
  const at = told("/bin/sh", stdout, { PATH: "/usr/bin:/bin" });
  assert.ok(at["PATH"]?.startsWith(`${prefix}/bin:`) && at["PATH"].endsWith(":/usr/bin:/bin"), at["PATH"]);
  assert.match(at["MANPATH"] ?? "", new RegExp(`^${prefix}/share/man:.*:$|^${prefix}/share/man:$`));
  // An empty variable adds no empty folder, which would mean the current one.
  assert.ok(!told("/bin/sh", stdout, { PATH: "/bin", CMAKE_PREFIX_PATH: "" })["CMAKE_PREFIX_PATH"]?.includes("::"));
  assert.ok(!/(?:^|:)$/.test(told("/bin/sh", stdout, { PATH: "/bin" })["CMAKE_PREFIX_PATH"] ?? ":"));
});

test("each folder is named once, and the specs come before what they need", async () => {
  const { report } = JSON.parse((await run(["--json"], { PATH: "/usr/bin" })).stdout);
  for (const { path, name } of report.variables) assert.equal(new Set(path.before).size, path.before.length, name);
  const cmake = report.variables.find((variable: EnvVariable) => variable.name === "CMAKE_PREFIX_PATH");
  assert.equal(cmake.path.before[0], prefix);
  assert.equal(cmake.value, cmake.path.before.join(":"));
  assert.ok(report.variables.find((variable: EnvVariable) => variable.name === "PATH").value.endsWith(":/usr/bin"));
});

const NASTY: EnvVariable[] = [
  { name: "A", path: undefined, value: "it's $(echo bad) `echo bad` \\ \" !! * ~ \n end" },
  { name: "B", path: { before: ["/a b'c", "/$HOME"], after: ["/z!"] }, value: "/a b'c:/$HOME:/own:/z!" },
  { name: "C_PATH", path: { before: [], after: ["/last"] }, value: "/last" },
  { name: "GONE", path: undefined, value: undefined },
];
for (const [shell, kind] of [
  ["sh", "sh"],
  ["bash", "sh"],
  ["zsh", "sh"],
  ["csh", "csh"],
  ["tcsh", "csh"],
  ["fish", "fish"],
] as const)
  test(`${shell} takes values as they are`, { skip: findProgram(shell) ? false : `${shell} is absent` }, () => {
    const at = told(findProgram(shell) ?? shell, shellText(NASTY, kind), {
      PATH: "/bin",
      B: "/own",
      GONE: "x",
      HOME: temporaryFolder(),
    });
    assert.deepEqual(
      [at["A"], at["B"], at["C_PATH"], at["GONE"]],
      [NASTY[0]?.value, "/a b'c:/$HOME:/own:/z!", "/last", undefined],
    );
  });

const VALUES = [
  ...[
    "a b",
    "a  b",
    " a ",
    "a\tb",
    "a\nb",
    "\n",
    "a\rb",
    "a*b",
    "a?b",
    "a[bc]d",
    "a{b,c}d",
    "~root",
    "it's",
    'a"b',
    "a!b",
    "!!",
  ],
  ...[
    "a\\b",
    "a\\",
    "a\\!b",
    "$HOME",
    "`echo x`",
    "$(echo x)",
    "a;b",
    "a #b",
    "\u00e9\u4e2d",
    "a\u001b]0;title\u0007b",
    "a\u0085b",
    "^a^b",
    "a&b|c<d>(e)",
    "",
    // What the log of a workflow run would obey.
    "##[add-mask]a'##['",
    "a\n::add-mask::b\n\n \t::error::c",
  ],
];
const READS = {
  sh: ['eval "$(cat text)"', ". ./text"],
  csh: ["eval `cat text`", 'eval "`cat text`"', "source text"],
  fish: ["source text", "cat text | source"],
};
for (const [shell, kind] of [
  ["sh", "sh"],
  ["bash", "sh"],
  ["zsh", "sh"],
  ["tcsh", "csh"],
  ["fish", "fish"],
] as const)
  test(`${shell} takes any value, however it reads the text`, {
    skip: findProgram(shell) ? false : `${shell} is absent`,
  }, () => {
    const folder = temporaryFolder();
    const variables = VALUES.map((value, at) => ({ name: `V${at}`, path: undefined, value }));
    const text = shellText(variables, kind);
    assert.doesNotMatch(text, /[^\P{Cc}\n]/u, "control characters on a terminal");
    assert.doesNotMatch(text, /##\[|^\s*::/m, "commands to the runner of a workflow");
    writeFileSync(join(folder, "text"), text);
    for (const read of READS[kind]) {
      const at = told(findProgram(shell) ?? shell, `cd ${folder}\n${read}`, { PATH: "/usr/bin:/bin", HOME: folder });
      assert.deepEqual(
        variables.map(({ name }) => at[name]),
        VALUES,
        read,
      );
    }
  });

test("texts for shells that are not here", () => {
  assert.equal(
    shellText(NASTY.slice(1), "csh"),
    "setenv B '/a b'\\''c:/$HOME:/own:/z\\!';\nsetenv C_PATH '/last';\nunsetenv GONE;\n",
  );
  assert.equal(
    shellText(NASTY.slice(1), "fish"),
    "set -gx --path B '/a b\\'c' '/$HOME' $B '/z!';\nset -gx --path C_PATH $C_PATH '/last';\nset -e GONE;\n",
  );
});

test("names that are more than names, and flags that contradict, are refused", async () => {
  for (const name of ["X;rm", "A B", "", "1A", "A\nB", "\u00e9"])
    await failsWith("SPEC_INVALID", () => shellText([{ name, path: undefined, value: "" }], "sh"));
  assert.equal((await run(["--csh", "--fish"])).status, 2);
  assert.equal((await run(["--sh", "--json"])).status, 2);
  const absent = await stave(["env", "--store", SPACK_1.root, "--sysroot", sysroot, "--no-env"]);
  assert.equal(absent.status, 2);
});
