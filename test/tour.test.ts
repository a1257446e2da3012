// Proves that the commands of docs/tour.md print what it says, run in order by a shell in an empty folder.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { golden, goldenSysroot } from "./support/golden.ts";
import { LOADER } from "./support/loader.ts";

const root = new URL("..", import.meta.url).pathname;

interface Step {
  command: string;
  expected: string[];
}

/** The steps of all `console` blocks: lines with a dollar sign, each with its output below. */
function steps(document: string): Step[] {
  const found: Step[] = [];
  for (const [, block = ""] of document.matchAll(/^```console\n([\s\S]*?)^```/gm))
    for (const line of block.trimEnd().split("\n"))
      if (line.startsWith("$ ")) found.push({ command: line.slice(2), expected: [] });
      else found.at(-1)?.expected.push(line);
  return found;
}

const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");

/** An ellipsis matches anything within a line; alone in a line, any number of lines. */
function pattern(lines: readonly string[]): RegExp {
  const parts = lines.map((line) => (line === "…" ? "(?:.*\n)*?" : `${line.split("…").map(escaped).join(".*")}\n`));
  return new RegExp(`^${parts.join("")}$`);
}

test("the tour is as it is told", { timeout: 120_000 }, async (t) => {
  // No longer than the root the golden store was built for: some of its programs have no room for more.
  const folder = mkdtempSync("/tmp/");
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const bin = join(folder, "bin");
  mkdirSync(bin);
  symlinkSync(await goldenSysroot("spack-1.2"), join(folder, "machine"));
  for (const file of ["spack.yaml", "spack.lock"])
    cpSync(golden(`spack-1.2/${file}`), join(folder, "fleet", file), { recursive: true });
  const command = join(root, "dist/stave.js");
  if (!existsSync(command))
    execFileSync(process.execPath, [...LOADER, "scripts/build.ts", "--bundle-only"], { cwd: root });
  writeFileSync(join(bin, "stave"), `#!/bin/sh\nexec '${process.execPath}' '${command}' "$@"\n`);
  chmodSync(join(bin, "stave"), 0o755);
  const all = steps(readFileSync(join(root, "docs/tour.md"), "utf8"));
  assert.ok(all.length > 15);
  // One shell for all, so that variables persist; a separate line ends each command's output.
  const script = all.map((step) => `${step.command}\necho\necho @@@`).join("\n");
  const env = { PATH: `${bin}:${process.env["PATH"]}`, HOME: join(folder, "home") };
  const output = execFileSync("sh", ["-c", `exec 2>&1\n${script}`], { cwd: folder, env, encoding: "utf8" });
  const printed = output.split("\n@@@\n");
  for (const [at, { command: typed, expected }] of all.entries()) {
    const text = printed[at] ?? "";
    assert.match(text, pattern(expected), `$ ${typed}\n${text}`);
  }
});
