// Proves that the script `sbang` of a store works with the available shells.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ensureSbang } from "../../lib/store/sbang.ts";
import { failsWith } from "../support/errors.ts";
import { temporaryFolder } from "../support/tree.ts";

const folder = temporaryFolder();
const storeAt = (root: string) => ({ root, locate: (path: string) => path });
const sbang = await ensureSbang(storeAt(folder));

const CASES = [
  { name: "a plain interpreter", lines: ["#!/bin/cat -n"], says: "/bin/cat -n SCRIPT a b" },
  { name: "lua", lines: ["--!/x/lua -W"], says: "/x/lua -W SCRIPT a b" },
  { name: "node", lines: ["//!/x/node"], says: "/x/node SCRIPT a b" },
  { name: "php", lines: ["<?php #!/x/php -q ?>"], says: "/x/php -q SCRIPT a b" },
  { name: "perl", lines: ["#!/x/perl -w"], says: "/x/perl -w -x SCRIPT a b" },
  { name: "ruby by env", lines: ["#!/usr/bin/env ruby"], says: "/usr/bin/env ruby -x SCRIPT a b" },
  { name: "patterns of file names", lines: ["#!/bin/echo /*"], says: "/bin/echo /* SCRIPT a b" },
  { name: "only two lines", lines: ["", "#!/bin/cat"], says: "", status: 1 },
  { name: "itself", lines: ["#!/bin/sbang"], says: "", status: 1 },
  { name: "a blank interpreter", lines: ["#! "], says: "", status: 1 },
];

for (const shell of ["/bin/sh", "/bin/bash"])
  test(`runs what the second line names, in ${shell}`, () => {
    for (const { name, lines, says, status } of CASES) {
      const script = join(folder, "script");
      writeFileSync(script, [`#!/bin/sh ${sbang}`, ...lines].join("\n"));
      const ran = spawnSync(shell, [sbang, script, "a", "b"], { encoding: "utf8", env: { SBANG_DEBUG: "1" } });
      if (status !== undefined) {
        assert.equal(ran.status, status, name);
        assert.match(ran.stderr, /^sbang: /, name);
      } else assert.equal(ran.stdout.trim(), says.replace("SCRIPT", script), `${name}: ${ran.stderr}`);
    }
  });

test("a script really runs, with its arguments as they are", () => {
  const script = join(folder, "long script");
  writeFileSync(script, `#!/bin/sh ${sbang}\n#!/bin/sh -e\nprintf '[%s]' "$0" "$@"\n`, { mode: 0o755 });
  const ran = spawnSync(script, ["a b", "*", ""], { encoding: "utf8" });
  assert.equal(ran.stdout, `[${script}][a b][*][]`, ran.stderr);
  assert.equal(spawnSync("/bin/sh", [sbang]).status, 1);
  assert.equal(spawnSync("/bin/sh", [sbang, "/nowhere"]).status, 1);
});

test("a script that is there stays, padding is left out, and too long a path is refused", async () => {
  assert.equal(statSync(sbang).mode & 0o7777, 0o755);
  const root = join(folder, "other");
  mkdirSync(join(root, "bin"), { recursive: true });
  writeFileSync(join(root, "bin/sbang"), "Spack's");
  assert.equal(
    await ensureSbang(storeAt(`${root}/__spack_path_placeholder__/__spack_path_pl`)),
    join(root, "bin/sbang"),
  );
  assert.equal(readFileSync(join(root, "bin/sbang"), "utf8"), "Spack's");
  assert.deepEqual(readdirSync(join(folder, "bin")), ["sbang"]);
  await failsWith("CONFIG_INVALID", ensureSbang(storeAt(`/${"x".repeat(118)}`)), /129 bytes, expected at most 127/);
});
