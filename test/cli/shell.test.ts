// Proves that `stave shell` starts the user's shell with the specs, that its prompt shows them, that the user's own
// files hold, and that nothing that a cache says is evaluated.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { findProgram } from "../../scripts/peers.ts";
import { inTerminal, stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";

const skip = findProgram("script") === undefined && "there is no `script` to make a terminal with";
// Short: the binaries of the cache are not padded.
const work = mkdtempSync("/tmp/");
mkdirSync(join(work, "tmp"));
after(() => rmSync(work, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));
const cache = `oci-layout:${golden("spack-1.2/plain.oci")}`;
const env = {
  HOME: work,
  SPACK_ROOT: "",
  TMPDIR: join(work, "tmp"),
  XDG_RUNTIME_DIR: "",
  PATH: process.env["PATH"] ?? "",
};
// Startup files that put their own PATH first, and count.
const OWN = "PATH=/usr/bin:/bin:$PATH\nMARK=own$MARK\n";
writeFileSync(join(work, ".bashrc"), `${OWN}PS1='B$ '\n`);
writeFileSync(join(work, "envfile"), `${OWN}PS1='S$ '\n`);
mkdirSync(join(work, "zdot"));
writeFileSync(join(work, ".zshenv"), `ZDOTDIR=$HOME/zdot\n`);
writeFileSync(join(work, "zdot/.zshrc"), `${OWN}PROMPT='Z%% '\n`);
mkdirSync(join(work, ".config/fish"), { recursive: true });
// Without it, fish fills it in the background, beyond the end of the shell.
mkdirSync(join(work, ".local/share/fish/generated_completions"), { recursive: true });
writeFileSync(
  join(work, ".config/fish/config.fish"),
  "set -gx PATH /usr/bin /bin $PATH\nset -g MARK \"own$MARK\"\nfunction fish_prompt; echo -n 'F> '; end\n",
);

/** Types lines into a shell once its prompt is there; returns what the terminal showed. */
async function typed(keys: string, after: string, more: Record<string, string>, args = ["fleet"]) {
  return await inTerminal(["shell", cache, ...args, "-o"], {
    cwd: work,
    env: { ...env, ...more },
    type: { after, keys },
  });
}

const LINES = 'voyage; echo "mark=$MARK= files=$STAVE_SHELL_FILES$STAVE_SHELL_PATH="; command -v voyage\nexit 3\n';
for (const [name, prompt, more] of [
  ["bash", "(fleet@1.0) B$ ", {}],
  ["zsh", "(fleet@1.0) Z% ", {}],
  ["fish", "(fleet@1.0) F> ", {}],
  ["dash", "(fleet@1.0) S$ ", { ENV: join(work, "envfile") }],
  ["sh", "(fleet@1.0) S$ ", { ENV: join(work, "envfile") }],
] as const) {
  const path = findProgram(name);
  const why = skip || (path === undefined && `there is no ${name}`);
  test(`${name}: the prompt, the programs, and the user's own files`, { skip: why }, async () => {
    const { status, output } = await typed(LINES, prompt, { SHELL: path ?? "", ...more });
    assert.equal(status, 3, output);
    assert.match(output, /voyage 420 from/);
    assert.match(output, /mark=own= files==/);
    // The folders of the specs come before those of the user's own files.
    assert.match(output, new RegExp(`^${work}/.local/share/stave/store/\\w{10}/bin/voyage`, "m"));
    const left = readdirSync(join(work, "tmp")).filter((file) => file.startsWith("stave-"));
    assert.deepEqual(left, []);
  });
}

test("a shell in a shell shows both; what a variable says is not evaluated", { skip }, async () => {
  const { output } = await typed("exit\n", "fleet@1.0) B$ ", {
    SHELL: "/bin/bash",
    STAVE_SHELL: "outer@1 $(touch\tran) `touch\tran` \\w\u001b[31m",
  });
  assert.match(output, /\(outer@1 touchran w31m fleet@1\.0\) B\$ /);
  assert.ok(!readdirSync(work).includes("ran"));
});

test("without SHELL the account's shell is started; of other shells the prompt is theirs", { skip }, async () => {
  const known = await inTerminal(["shell", cache, "fleet", "-o", "--plan"], { cwd: work, env });
  assert.match(known.output, /nothing to install; would start a shell/);
  writeFileSync(join(work, "strange"), '#!/bin/sh\necho strange "$STAVE_SHELL" $#\n', { mode: 0o755 });
  const strange = await inTerminal(["shell", cache, "fleet", "-o"], {
    cwd: work,
    env: { ...env, SHELL: join(work, "strange") },
  });
  assert.match(strange.output, /the prompt of .*strange does not show the specs; \$STAVE_SHELL has them/);
  assert.match(strange.output, /strange fleet@1\.0 0/);
  const { status, output } = await typed("echo at=$0=\nexit\n", "fleet@1.0) ", { SHELL: "" });
  assert.equal(status, 0, output);
  assert.match(output, /at=\S*sh=/);
});

test("a shell that is not there, and no terminal, are errors", { skip }, async () => {
  for (const shell of ["/nowhere/bash", "nosuchshell"]) {
    const { status, output } = await inTerminal(["shell", cache, "fleet", "-o"], {
      cwd: work,
      env: { ...env, SHELL: shell },
    });
    assert.equal(status, 5, output);
    assert.match(output, new RegExp(`${shell}[\\s\\S]*hint:\\S* set SHELL`));
  }
  const { status, stderr } = await stave(["shell", cache, "fleet", "-o"], { cwd: work, env });
  assert.equal(status, 2);
  assert.match(stderr, /needs a terminal[\s\S]*stave run oci-layout:\S+ fleet -- PROGRAM/);
});
