// Proves that everything below a prefix is written through a HeldTree: other calls that change files occur only where
// this test lists them.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";

const lib = resolve(import.meta.dirname, "../../lib");

const CHANGES =
  /^(?:append|chmod|chown|copyFile|cp|createWriteStream|fchmod|fchown|ftruncate|futimes|lchmod|lchown|link|lutimes|mkdir|mkdtemp|open|rename|rm|rmdir|symlink|truncate|unlink|utimes|write)(?:File|v)?(?:Sync)?$/;

// What each file changes, and with which calls.
const ALLOWED: Record<string, { what: string; calls: string[] }> = {
  "store/notes.ts": {
    what: "notes of what is under way, in the database folder",
    calls: ["openSync", "unlinkSync", "writeFileSync"],
  },
  "relocate/file/open-file.ts": {
    what: "files that a HeldTree located, by their descriptors",
    calls: ["fchmodSync", "ftruncateSync", "openSync", "writeSync"],
  },
  "relocate/file/patchelf.ts": { what: "a temporary file of a HeldTree", calls: ["writeSync"] },
  "relocate/unpack/tree-writer.ts": {
    what: "new files, links and folders at places of a HeldTree",
    calls: [
      ...["chmodSync", "fchmodSync", "futimesSync", "linkSync", "lutimesSync", "mkdirSync", "openSync"],
      ...["symlinkSync", "utimesSync", "writeSync"],
    ],
  },
  "store/sbang.ts": { what: "the store's own script", calls: ["chmod", "link", "rm", "writeFile"] },
  "store/write-database.ts": { what: "the database", calls: ["open", "rename", "rm"] },
  "ops/cache/try-relocation.ts": { what: "a temporary folder", calls: ["mkdtemp"] },
  "ops/image/archive-source.ts": { what: "nothing: it opens for reading", calls: ["open"] },
  "ops/image/attach-files.ts": { what: "nothing: it opens for reading", calls: ["open"] },
  "ops/push/prefix-facts.ts": { what: "nothing: it opens for reading", calls: ["openSync"] },
  "ops/push/slim-layers.ts": { what: "a temporary folder", calls: ["mkdtemp", "rm"] },
  "ops/store/verify.ts": { what: "nothing: it opens for reading", calls: ["openSync"] },
  "ops/store/view-folder.ts": { what: "the folder of the view", calls: ["link", "mkdir", "rm", "symlink"] },
};

const IMPORT = /import\s+(?:type\s+)?([^;]*?)\s+from\s+"node:fs(?:\/promises)?"/g;

test("prefixes are written by one module", () => {
  const found: Record<string, string[]> = {};
  for (const folder of ["relocate", "store", "ops"])
    for (const name of readdirSync(join(lib, folder), { recursive: true, encoding: "utf8" })) {
      if (!name.endsWith(".ts")) continue;
      const file = `${folder}/${name}`;
      const text = readFileSync(join(lib, file), "utf8");
      assert.ok(
        !/\b(?:import|require)\(\s*"node:fs/.test(text),
        `${file} loads node:fs in a way that is not seen here`,
      );
      for (const [, names = ""] of text.matchAll(IMPORT)) {
        assert.match(names, /^\{/, `${file} imports all of node:fs`);
        const calls = names.split(/[{},]/).map((part) => part.trim().split(/\s+as\s+/)[0] ?? "");
        const changing = calls.filter((call) => CHANGES.test(call));
        if (changing.length > 0) found[file] = [...(found[file] ?? []), ...changing].toSorted();
      }
    }
  const allowed = Object.fromEntries(Object.entries(ALLOWED).map(([file, { calls }]) => [file, calls.toSorted()]));
  for (const [file, calls] of Object.entries(found))
    assert.deepEqual(
      calls.filter((call) => !allowed[file]?.includes(call)),
      [],
      `${file}: what is below a prefix is changed through lib/util/held-tree.ts; list here what else it changes`,
    );
  for (const file of Object.keys(allowed)) assert.ok(found[file], `${file} is listed and changes nothing`);
});
