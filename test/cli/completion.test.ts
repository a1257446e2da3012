// Proves that the completion scripts work in the shells themselves, and that nothing that was typed is evaluated.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";
import { peerTest, run } from "../support/peers.ts";
import { startRegistry } from "../support/registry.ts";
import { temporaryFolder } from "../support/tree.ts";

const work = temporaryFolder();
const scripts: Record<string, string> = {};
for (const shell of ["bash", "zsh", "fish"]) {
  const { stdout, status } = await stave(["completion", shell], { cwd: work });
  assert.equal(status, 0);
  writeFileSync(join(work, shell), stdout);
  scripts[shell] = join(work, shell);
}
// The scripts call stave by its name.
const programs = join(work, "bin");
mkdirSync(programs);
writeFileSync(join(programs, "stave"), `#!/bin/sh\nexec '${process.execPath}' '${resolve("dist/stave.js")}' "$@"\n`, {
  mode: 0o755,
});
const env = { HOME: work, PATH: `${programs}:${process.env["PATH"]}`, SPACK_ROOT: "", XDG_CACHE_HOME: "" };

/** What bash offers for the last of the words, which are typed with blanks between them. */
async function bash(...words: string[]): Promise<string[]> {
  const script = `source ${scripts["bash"]}; cd ${work}; COMP_WORDS=("$@"); COMP_LINE="$*"; COMP_POINT=\${#COMP_LINE}; COMP_CWORD=$(($# - 1)); _stave; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return (await run("bash", ["-c", script, "bash", ...words], env)).split("\n").filter((line) => line !== "");
}

/** What zsh offers for the last of the words, or the name of what completes it. */
async function zsh(...words: string[]): Promise<string[]> {
  const told = `compdef() { : }; compadd() { while [[ $1 != -- ]] { shift }; shift; for word; do [[ $word == "$PREFIX"* ]] && print -r -- $word; done }
    _files() { print FILES }; _normal() { print COMMAND }; _describe() { print -rl -- \${(P)4} }`;
  const script = `${told}; source ${scripts["zsh"]}; cd ${work}; words=("$@"); CURRENT=$#; PREFIX=$words[-1]; _stave`;
  const said = await run("zsh", ["-f", "-c", `${script}; true`, "zsh", ...words], env);
  return said.split("\n").filter((line) => line !== "");
}

/** What fish offers for a line. */
async function fish(line: string): Promise<string[]> {
  const script = `source ${scripts["fish"]}; cd ${work}; complete -C ${JSON.stringify(line)}`;
  return (await run("fish", ["--no-config", "-c", script], env)).split("\n").filter((text) => text !== "");
}

test("bash: verbs, flags, choices, parts", async () => {
  assert.deepEqual(await bash("stave", "pus"), ["push"]);
  assert.ok((await bash("stave", "")).includes("install"));
  assert.deepEqual(await bash("stave", "copy", "--all-t"), ["--all-tags"]);
  assert.deepEqual(await bash("stave", "cp", "--all-t"), ["--all-tags"]);
  assert.deepEqual(await bash("stave", "copy", "--color", "al"), ["always"]);
  assert.deepEqual(await bash("stave", "trust", "ex"), ["explain"]);
  assert.deepEqual(await bash("stave", "push", "x", "/etc/pas"), []);
  assert.deepEqual(await bash("stave", "he"), ["help"]);
  assert.deepEqual(await bash("stave", "help", "pus"), ["push"]);
  assert.deepEqual(await bash("stave", "push", "--hel"), ["--help"]);
  assert.deepEqual(await bash("stave", "--he"), ["--help"]);
});

test("bash: what was typed is not evaluated", async () => {
  for (const word of ["$(touch ran)", "`touch ran`", "a;touch ran", "-$(touch ran)"]) {
    await bash("stave", word);
    await bash("stave", "copy", word);
    await bash("stave", word, "");
  }
  assert.ok(!existsSync(join(work, "ran")));
});

peerTest(["fish"], "fish: verbs and flags", async () => {
  const complete = async (line: string): Promise<string> => (await fish(line)).join("\n");
  assert.match(await complete("stave pus"), /^push\t/m);
  assert.match(await complete("stave copy --all-t"), /^--all-tags\t/m);
  assert.match(await complete("stave copy --color "), /^always/m);
  assert.match(await complete("stave trust ex"), /^explain/m);
  assert.match(await complete("stave help pus"), /^push/m);
  assert.match(await complete("stave push --hel"), /^--help\t/m);
});

peerTest(["zsh"], "zsh: the script defines a completion", async () => {
  const script = `autoload -U compinit; compinit -D -u; source ${scripts["zsh"]}; print $_comps[stave]; whence -w _stave`;
  assert.equal(await run("zsh", ["-f", "-c", script], { HOME: work }), "_stave\n_stave: function\n");
  await run("zsh", ["-f", "-n", scripts["zsh"] ?? ""]);
});

const registry = await startRegistry();
const cache = `oci-layout:${golden("spack-1.2/plain.oci")}`;
const repository = `oci+http://${registry.host}/org/app`;
const listed = await stave(["list", "-a", cache], { cwd: work, env });
assert.equal(listed.status, 0, listed.stderr);
await stave(["copy", `${cache}:fleet-env`, `${repository}:one`], { cwd: work, env });
const copied = await stave(["copy", `${cache}:fleet-env`, `${repository}:v2`], { cwd: work, env });
assert.equal(copied.status, 0, copied.stderr);
mkdirSync(join(work, ".spack"));
writeFileSync(
  join(work, ".spack/mirrors.yaml"),
  "mirrors:\n  site-mirror: file:///none\n  '$(touch ran)': file:///none\n",
);
writeFileSync(join(work, ".spack/config.yaml"), `config:\n  environments_root: ${work}/envs\n`);
for (const name of ["science", "$(touch ran)", "two words", "-rf"])
  mkdirSync(join(work, "envs", name), { recursive: true });
// Completion asks no registry.
await registry.close();

const VALUES: { words: string[]; offers: string[]; inBash?: string[] }[] = [
  { words: ["find", "fl"], offers: ["fleet", "fleet@1.0"] },
  { words: ["find", "fleet@"], offers: ["fleet@1.0"], inBash: ["@1.0"] },
  { words: ["list", cache, "hu"], offers: ["hull", "hull@1.10.1"] },
  { words: ["why-miss", "-m", cache, "hu"], offers: ["hull", "hull@1.10.1"] },
  { words: ["list", "site"], offers: ["site-mirror"] },
  { words: ["list", "-m", "site"], offers: ["site-mirror"] },
  { words: ["find", "-e", "sci"], offers: ["science"] },
  { words: ["inspect", `${repository}:`], offers: [`${repository}:one`, `${repository}:v2`], inBash: ["one", "v2"] },
  { words: ["inspect", `${repository}:v`], offers: [`${repository}:v2`], inBash: ["v2"] },
  { words: ["module", "tc"], offers: ["tcl"] },
  { words: ["copy", "--color", "al"], offers: ["always"] },
];
for (const { words, offers, inBash = offers } of VALUES) {
  const line = words.join(" ").replaceAll(cache, "CACHE").replaceAll(repository, "REPO");
  test(`bash: values for ${line}`, async () => assert.deepEqual(await bash("stave", ...words), inBash));
  peerTest(["zsh"], `zsh: values for ${line}`, async () => assert.deepEqual(await zsh("stave", ...words), offers));
  peerTest(["fish"], `fish: values for ${line}`, async () =>
    assert.deepEqual(
      (await fish(["stave", ...words].join(" "))).map((text) => text.split("\t")[0]),
      offers,
    ),
  );
}

/** What stave itself answers. */
async function answer(kinds: string, ...words: string[]): Promise<string[]> {
  const { status, stdout, stderr } = await stave(["__complete", kinds, ...words], { cwd: work, env });
  assert.equal(status, 0, stderr);
  assert.equal(stderr, "");
  return stdout.split("\n").filter((line) => line !== "");
}

test("names that a shell might run, split or take for a flag are not offered", async () => {
  assert.deepEqual(await answer("mirror", ""), ["site-mirror"]);
  assert.deepEqual(await answer("environment", ""), ["science"]);
  assert.deepEqual(await answer("spec,nothing,constructor", "fl"), ["fleet", "fleet@1.0"]);
});

test("a changed configuration is seen at once", async () => {
  assert.deepEqual(await answer("mirror", ""), ["site-mirror"]);
  writeFileSync(join(work, ".spack/mirrors.yaml"), "mirrors:\n  other: file:///none\n");
  assert.deepEqual(await answer("mirror", ""), ["other"]);
  writeFileSync(join(work, ".spack/mirrors.yaml"), "mirrors: [");
  assert.deepEqual(await answer("mirror", ""), []);
  rmSync(join(work, ".spack/mirrors.yaml"));
});

test("a damaged, hostile, linked or huge memory offers nothing of it", async () => {
  const kinds = join(work, ".cache/stave/known-specs");
  const files = readdirSync(kinds, { recursive: true, encoding: "utf8" }).filter((name) => name.includes("/"));
  assert.ok(files.length > 0);
  const write = (text: string): void => {
    for (const name of files) writeFileSync(join(kinds, name), text);
  };
  for (const [text, offers] of [
    ["", []],
    ['{"words":', []],
    ['{"words":[1]}', []],
    ['{"words":{"0":"a"}}', []],
    ['{"words":["good","$(touch ran)","a b","-rf","a\\nb","\\u001b[2J","`x`","a;b","~x","é"]}', ["good", "é"]],
  ] as const) {
    write(text);
    assert.deepEqual(await answer("spec", ""), offers, text);
  }
  for (const name of files) truncateSync(join(kinds, name), 3_000_000_000);
  assert.deepEqual(await answer("spec", ""), []);
  for (const name of files) {
    rmSync(join(kinds, name));
    symlinkSync("/dev/zero", join(kinds, name));
  }
  assert.deepEqual(await answer("spec", ""), []);
  assert.ok(!existsSync(join(work, "ran")));
});

test("passwords and user names of places are not remembered", async () => {
  await stave(["tags", `oci+http://me:secret@${registry.host}/org/app`], { cwd: work, env });
  assert.ok((await answer("image", "")).every((word) => !word.includes("secret")));
});

test("a word that is not among the choices is refused in words of stave's own", async () => {
  for (const [args, says] of [
    [
      ["completion", "fishh"],
      /^error: unknown shell 'fishh', expected one of bash, zsh, fish \[USAGE\]\n.*mean fish\?/,
    ],
    [
      ["module", "voyage"],
      /^error: unknown kind 'voyage', expected tcl or lmod \[.*\n.*mean `stave module tcl voyage`\?/,
    ],
    [["trust", "shwo"], /^error: unknown action 'shwo', expected one of .*\n.*mean show\?/],
    [
      ["find", "--color", "alway"],
      /^error: 'alway' is no value of --color <when>, expected one of .*\n.*mean always\?/,
    ],
    [
      ["module", "a'; b"],
      /^error: unknown kind 'a'; b', expected tcl or lmod \[USAGE\]\n {2}hint: `stave module --help`/,
    ],
  ] as const) {
    const { status, stderr } = await stave([...args], { cwd: work });
    assert.equal(status, 2);
    assert.match(stderr, says);
  }
});

test("another shell is refused", async () => {
  const { status, stderr } = await stave(["completion", "tcsh"], { cwd: work });
  assert.equal(status, 2);
  assert.match(stderr, /bash, zsh, fish/);
});
