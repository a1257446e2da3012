// Proves that inspecting arbitrary paths never fails.
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isGone, isVisible, kindAt } from "../../lib/util/inspect-path.ts";
import { temporaryFolder } from "../support/tree.ts";

const root = temporaryFolder();
chmodSync(root, 0o755);
mkdirSync(join(root, "folder"));
writeFileSync(join(root, "file"), "");
symlinkSync("nowhere", join(root, "broken"));
symlinkSync("loop", join(root, "loop"));
symlinkSync("/loop", join(root, "own-loop"));
mkdirSync(join(root, "private/inner"), { recursive: true });
chmodSync(join(root, "private"), 0);

const rows: [name: string, path: string, seen: { visible: boolean; gone: boolean; kind: ReturnType<typeof kindAt> }][] =
  [
    ["a folder", "folder", { visible: true, gone: false, kind: "folder" }],
    ["a file", "file", { visible: true, gone: false, kind: "file" }],
    ["a broken link", "broken", { visible: true, gone: false, kind: undefined }],
    ["nothing", "nothing/at/all", { visible: false, gone: true, kind: undefined }],
    ["a name below a file", "file/x", { visible: false, gone: true, kind: undefined }],
    ["a name below a loop of links", "loop/x", { visible: false, gone: false, kind: undefined }],
    ["a loop of links", "loop", { visible: true, gone: false, kind: undefined }],
    ["a name that is too long", "x".repeat(300), { visible: false, gone: false, kind: undefined }],
    ["a path that is too long", "x/".repeat(3000), { visible: false, gone: false, kind: undefined }],
    ["a name with a NUL", "a\0b", { visible: false, gone: false, kind: undefined }],
    ["a folder of somebody else", "private/inner", { visible: false, gone: false, kind: undefined }],
  ];
for (const [name, path, seen] of rows)
  test(`${name} is looked at without a failure`, () => {
    const look = () => {
      const place = join(root, path);
      return { visible: isVisible(place), gone: isGone(place), kind: kindAt(place) };
    };
    // Root can look everywhere.
    const isRoot = process.geteuid?.() === 0;
    if (isRoot) process.seteuid?.(65534);
    try {
      assert.deepEqual(look(), seen);
      // Below another root, links are resolved there.
      if (path === "loop" || path === "loop/x" || path === "broken") return;
      const below = {
        visible: isVisible(`/${path}`, root),
        gone: isGone(`/${path}`, root),
        kind: kindAt(`/${path}`, root),
      };
      assert.deepEqual(below, seen, "below another root");
    } finally {
      if (isRoot) process.seteuid?.(0);
    }
  });
