// Proves that a catalogue is written only where nothing else is, replaces only itself, and leaves no mixture behind.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ReadOciCache } from "../../lib/cache/oci-cache.ts";
import { SiteFolder } from "../../lib/catalogue/site-folder.ts";
import { isStaveError } from "../../lib/errors.ts";
import { type WebReport, writeCatalogue } from "../../lib/ops/cache/web.ts";
import type { SpecDocument } from "../../lib/spack/spec/spec-file.ts";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { type Clock, systemClock } from "../../lib/util/time.ts";
import { madeSpec } from "../support/caches.ts";
import { indexedLayout } from "../support/catalogue.ts";
import { jumpingClock } from "../support/client.ts";
import { temporaryFolder } from "../support/tree.ts";

const address = { kind: "images", text: "oci://host/cache" } as const;

async function write(
  directory: string,
  specs: readonly SpecDocument[],
  clock: Clock = systemClock,
): Promise<WebReport> {
  const target = await LayoutTarget.open(await indexedLayout(specs), { clock: systemClock });
  try {
    return await writeCatalogue(new ReadOciCache(target), { directory, address, clock });
  } finally {
    await target.close();
  }
}

const one = madeSpec("one", "1");
const two = madeSpec("two", "2");
const dataOf = (folder: string): string => JSON.parse(readFileSync(join(folder, "catalogue.json"), "utf8")).data;

test("a second run replaces the documents, and removes those that are stale", async () => {
  const folder = join(temporaryFolder(), "new/site");
  await write(folder, [one]);
  const first = dataOf(folder);
  writeFileSync(join(folder, "assets/old-0123.js"), "");
  writeFileSync(join(folder, "plain/7.html"), "");
  mkdirSync(join(folder, "data/new-1"));
  mkdirSync(join(folder, ".git"));
  const { removed } = await write(folder, [one, two]);
  assert.equal(removed, 4);
  assert.notEqual(dataOf(folder), first);
  assert.deepEqual(readdirSync(join(folder, "data")), [dataOf(folder).slice("data/".length)]);
  assert.deepEqual(readdirSync(join(folder, "plain")), ["1.html"]);
  assert.ok(existsSync(join(folder, ".git")));
  assert.ok(existsSync(join(folder, dataOf(folder), "packages/two.json")));
});

test("new files that a killed run left are replaced", async () => {
  const folder = temporaryFolder();
  await write(folder, [one]);
  for (const name of ["catalogue.json.new", "index.html.new"]) writeFileSync(join(folder, name), "a part");
  await write(folder, [one, two]);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.endsWith(".new")),
    [],
  );
  writeFileSync(join(folder, "other.new"), "");
  await assert.rejects(write(folder, [one]), { code: "USAGE", message: /other content: other\.new/ });
});

test("the same cache gives the same files", async () => {
  const folder = temporaryFolder();
  const first = await write(folder, [one, two]);
  const names = readdirSync(folder, { recursive: true });
  const second = await write(folder, [one, two]);
  assert.deepEqual({ ...second, cache: "" }, { ...first, cache: "" });
  assert.deepEqual(readdirSync(folder, { recursive: true }), names);
});

const REFUSED: { name: string; make: (folder: string) => void }[] = [
  { name: "a folder with another file", make: (folder) => writeFileSync(join(folder, "notes.txt"), "") },
  { name: "the folder of another site", make: (folder) => writeFileSync(join(folder, "index.html"), "") },
];
for (const { name, make } of REFUSED)
  test(`${name} is refused, and stays as it is`, async () => {
    const folder = temporaryFolder();
    make(folder);
    const before = readdirSync(folder);
    await assert.rejects(write(folder, [one]), (error) => isStaveError(error, "USAGE"));
    assert.deepEqual(readdirSync(folder), before);
  });

for (const name of ["data", "assets", "plain", "index.html", "catalogue.json"])
  test(`a link in the place of ${name} is refused, so that nothing is written elsewhere`, async () => {
    const folder = temporaryFolder();
    const elsewhere = temporaryFolder();
    await write(folder, []);
    rmSync(join(folder, name), { recursive: true });
    symlinkSync(elsewhere, join(folder, name));
    await assert.rejects(write(folder, [one]), (error) => isStaveError(error, "USAGE"));
    assert.deepEqual(readdirSync(elsewhere), []);
  });

test("a run that was stopped before its end is taken up by the next", async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, ".stave-catalogue"), "");
  mkdirSync(join(folder, "data/new-1/packages"), { recursive: true });
  const { removed } = await write(folder, [one]);
  assert.equal(removed, 1);
});

test("runs that write to the same folder at once wait for each other, and all succeed", async () => {
  const folder = temporaryFolder();
  const many = Array.from({ length: 60 }, (_, at) => madeSpec(`p${at}`, "1"));
  await Promise.all([many, [one], [one, two], many.slice(1)].map((specs) => write(folder, specs)));
  const { data, packages } = JSON.parse(readFileSync(join(folder, "catalogue.json"), "utf8"));
  assert.deepEqual(readdirSync(join(folder, "data")), [data.slice("data/".length)]);
  for (const [name] of packages) assert.ok(existsSync(join(folder, data, `packages/${name}.json`)), name);
});

test("a run that does not end is a conflict, and keeps its unfinished data", async () => {
  const folder = temporaryFolder();
  const site = await SiteFolder.open(folder, { clock: systemClock });
  await site.writeData("packages/one.json", "{}");
  const before = readdirSync(folder, { recursive: true });
  await assert.rejects(write(folder, [two], jumpingClock()), (error) => isStaveError(error, "CONFLICT"));
  assert.deepEqual(readdirSync(folder, { recursive: true }), before);
  await site.close();
  await write(folder, [two]);
});
