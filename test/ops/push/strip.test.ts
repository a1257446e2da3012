// Proves that a tagged image without debug sections has everything else, that the images of single specs keep them, and
// that nothing is stripped twice.
import assert from "node:assert/strict";
import { chmodSync, existsSync, linkSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { StripTool } from "../../../lib/image/archive/strip.ts";
import type { ImageSettings } from "../../../lib/image/image-settings.ts";
import { parseCompression } from "../../../lib/image/pack/compression.ts";
import { LayerMemory } from "../../../lib/image/pack/layer-memory.ts";
import { digestOf } from "../../../lib/oci/digest.ts";
import { type PushOptions, push } from "../../../lib/ops/push/push.ts";
import { specTag } from "../../../lib/spack/spec/spec-name.ts";
import type { Target } from "../../../lib/target/target.ts";
import { DiskCache } from "../../../lib/util/disk-cache.ts";
import { systemClock } from "../../../lib/util/time.ts";
import { layoutForTests } from "../../support/caches.ts";
import { withSections } from "../../support/elf-sections.ts";
import { failsWith } from "../../support/errors.ts";
import { loadableElf } from "../../support/loadable-elf.ts";
import { goldenStore, named, pushOptions } from "../../support/push.ts";
import { readImage } from "../../support/read-image.ts";
import { temporaryFolder } from "../../support/tree.ts";

const { store } = await goldenStore();
const hull = store.prefixOf(named(store, "hull"));
const elf = loadableElf({ soname: "libextra.so" });
const debug = withSections(elf, { ".debug_info": "d".repeat(5000) });
const clean = withSections(elf, {});
const lib = join(store.locate(hull), "lib");
writeFileSync(join(lib, "libextra.so"), debug);
chmodSync(join(lib, "libextra.so"), 0o755);
linkSync(join(lib, "libextra.so"), join(lib, "libtwin.so"));
writeFileSync(join(lib, "libdata.so"), Buffer.concat([debug, Buffer.from("data behind it")]));
mkdirSync(join(lib, "debug"));
writeFileSync(join(lib, "debug/libextra.so.debug"), debug);

const folder = temporaryFolder();
writeFileSync(join(folder, "clean"), clean);
const program = join(folder, "strip");
writeFileSync(program, `#!/bin/sh\necho run >> ${folder}/runs\ncat ${folder}/clean > "$3"\n`, { mode: 0o755 });
const scratch = join(folder, "scratch");
mkdirSync(scratch);
const stripProgram: StripTool = { program, id: "1", scratch };
const runs = (): number =>
  existsSync(join(folder, "runs")) ? readFileSync(join(folder, "runs"), "utf8").split("\n").length - 1 : 0;

const warnings: string[] = [];
const options = (target: Target, image: ImageSettings, more: Partial<PushOptions> = {}): PushOptions =>
  pushOptions(store, target, {
    tags: ["app"],
    image,
    stripProgram,
    progress: (event) => void (event.type === "warning" && warnings.push(event.text)),
    ...more,
  });
const at = (path: string): string => `${hull.slice(1)}/${path}`;

test("the tagged image has no debug sections and all else; the images of specs have them", async () => {
  const [whole, target] = [await layoutForTests(), await layoutForTests()];
  await push(options(whole, {}));
  assert.deepEqual((await push(options(target, { strip: true }))).failures, []);
  const [before, after] = [await readImage(whole, "app"), await readImage(target, "app")];
  assert.equal(before.entries.get(at("lib/libextra.so")), digestOf(debug));
  assert.equal(after.entries.get(at("lib/libextra.so")), digestOf(clean));
  assert.equal(after.entries.get(at("lib/libtwin.so")), before.entries.get(at("lib/libtwin.so")), "a hard link stays");
  for (const [path, said] of before.entries)
    if (path !== at("lib/libextra.so") && !path.endsWith("/.spack/binary_distribution"))
      assert.equal(after.entries.get(path), said, path);
  const tag = specTag(named(store, "hull"));
  assert.deepEqual((await readImage(target, tag)).digests, (await readImage(whole, tag)).digests);
  assert.deepEqual(warnings, [
    `the debug sections of lib/libdata.so of hull@1.10.1/uwlohrq stay: removing them would damage the file, or strip cannot read it`,
  ]);
  assert.deepEqual(readdirSync(scratch), []);
});

test("what was stripped is remembered, also by a slim image, but not what another program stripped", async () => {
  const target = await layoutForTests();
  const later = { ...systemClock, now: () => systemClock.now() + 60_000 };
  const cache = new DiskCache({ folder: temporaryFolder(), clock: later });
  const memory = new LayerMemory(cache, parseCompression("gzip"));
  const more = { memory, clock: later };
  const start = runs();
  await push(options(target, { strip: true }, more));
  assert.equal(runs() - start, 1);
  const again = await push(options(target, { strip: true }, more));
  assert.deepEqual([again.images[0]?.isNew, again.totals.sentBytes, runs() - start], [false, 0, 1]);
  // A new place: the layers are only looked up.
  const before = runs();
  await push(options(await layoutForTests(), { strip: true }, more));
  assert.ok(runs() - before <= 1);
  const other = await push(options(target, { strip: true, slim: true }, more));
  assert.equal(other.images[0]?.isNew, true);
  const { entries } = await readImage(target, "app");
  assert.equal(entries.get(at("lib/libextra.so")), digestOf(clean));
  assert.ok(!entries.has(at("include/hull.h")));
  const since = runs();
  await push(options(target, { strip: true }, { ...more, stripProgram: { ...stripProgram, id: "2" }, tags: ["new"] }));
  assert.equal(runs() - since, 1);
});

test("an image without debug sections and a whole one do not share layers under a tag", async () => {
  const target = await layoutForTests();
  await push(options(target, {}));
  await push(options(target, { strip: true }));
  assert.equal((await readImage(target, "app")).entries.get(at("lib/libextra.so")), digestOf(clean));
  await push(options(target, {}));
  assert.equal((await readImage(target, "app")).entries.get(at("lib/libextra.so")), digestOf(debug));
});

test("a package that is kept whole is not stripped", async () => {
  const target = await layoutForTests();
  await push(options(target, { strip: true, slim: { packages: { hull: ["all"] } } }));
  assert.equal((await readImage(target, "app")).entries.get(at("lib/libextra.so")), digestOf(debug));
});

test("without the program it is refused before anything is packed", async () => {
  const target = await layoutForTests();
  const error = await failsWith("UNSUPPORTED", push(options(target, { strip: true }, { stripProgram: undefined })));
  assert.match(error.message, /strip or eu-strip, and neither is on the PATH$/);
  assert.match(error.hint ?? "", /^install binutils or elfutils/);
  for await (const tag of target.tags()) assert.fail(tag);
});
