// Proves that the completion scripts work in the shells themselves, and that nothing that was typed is evaluated.
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { stave } from "../support/cli.ts";
import { peerTest, run } from "../support/peers.ts";
import { temporaryFolder } from "../support/tree.ts";

const work = temporaryFolder();
const scripts: Record<string, string> = {};
for (const shell of ["bash", "zsh", "fish"]) {
  const { stdout, status } = await stave(["completion", shell], { cwd: work });
  assert.equal(status, 0);
  writeFileSync(join(work, shell), stdout);
  scripts[shell] = join(work, shell);
}

/** What bash offers for the last of the words. */
async function bash(...words: string[]): Promise<string[]> {
  const script = `source ${scripts["bash"]}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); cd ${work}; _stave; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return (await run("bash", ["-c", script, "bash", ...words])).split("\n").filter((line) => line !== "");
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
  const complete = (line: string): Promise<string> =>
    run("fish", ["--no-config", "-c", `source ${scripts["fish"]}; complete -C ${JSON.stringify(line)}`], {
      HOME: work,
    });
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
