// Proves that the journal of a long index.json loses nothing, whatever was killed.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { LayoutTarget } from "../../../lib/target/layout/layout.ts";
import { systemClock } from "../../../lib/util/time.ts";
import { dice } from "../../../scripts/dice.ts";
import { imageOf, pushImage } from "../../support/content.ts";
import { failsWith } from "../../support/errors.ts";
import { LOADER } from "../../support/loader.ts";
import { useSeed } from "../../support/seed.ts";

const seed = useSeed();
const root = mkdtempSync(join(tmpdir(), "stave-journal-"));
after(() => rmSync(root, { recursive: true, force: true }));
let counter = 0;
const place = () => join(root, String(counter++));
const open = (directory: string, create = true) => LayoutTarget.open(directory, { clock: systemClock, create });
const indexIn = (directory: string): { manifests: { digest: string; annotations?: Record<string, string> }[] } =>
  JSON.parse(readFileSync(join(directory, "index.json"), "utf8"));
const tagsOf = async (directory: string) => (await Array.fromAsync((await open(directory, false)).tags())).sort();
const tagsInFile = (directory: string) =>
  indexIn(directory).manifests.map((entry) => entry.annotations?.["org.opencontainers.image.ref.name"]);
const journalOf = (directory: string) => join(directory, ".stave-journal");

/** A layout with so many tags of one image that changes go to the journal. */
async function longLayout(count = 1000): Promise<{ directory: string; image: ReturnType<typeof imageOf> }> {
  const directory = place();
  const target = await open(directory);
  const image = imageOf("long");
  await pushImage(target, image, "first");
  await target.close();
  const [entry] = indexIn(directory).manifests;
  const manifests = Array.from({ length: count }, (_, at) => ({
    ...entry,
    annotations: { "org.opencontainers.image.ref.name": `t${at}` },
  }));
  writeFileSync(join(directory, "index.json"), JSON.stringify({ ...indexIn(directory), manifests }));
  return { directory, image };
}

test("a tag in a long list costs a line, and index.json has it after a moment and after the end", async () => {
  const { directory, image } = await longLayout(20_000);
  const target = await open(directory);
  const put = (tag: string) => target.pushManifest(image.bytes, image.descriptor.mediaType, { tag });
  const before = statSync(join(directory, "index.json"));
  for (let at = 0; at < 10; at++) await put(`new${at}`);
  assert.equal(statSync(join(directory, "index.json")).ino, before.ino, "not written anew for each tag");
  assert.ok(statSync(journalOf(directory)).size < 10_000);
  assert.equal((await tagsOf(directory)).length, 20_010, "other processes see it");
  while (existsSync(journalOf(directory))) await setTimeout(5);
  assert.equal(tagsInFile(directory).length, 20_010);
  await put("last");
  await target.deleteManifest("t0");
  await target.close();
  assert.ok(!existsSync(journalOf(directory)));
  assert.ok(tagsInFile(directory).includes("last") && !tagsInFile(directory).includes("t0"));
});

test("a journal that a killed process left counts, but for a line without its end; folding it twice changes nothing", async () => {
  const { directory, image } = await longLayout();
  const target = await open(directory);
  const other = imageOf("other");
  await pushImage(target, other, "moved");
  await target.pushManifest(image.bytes, image.descriptor.mediaType, { tag: "moved" });
  await target.deleteManifest("t1");
  const journal = readFileSync(journalOf(directory));
  const index = readFileSync(join(directory, "index.json"));
  await target.close();
  const folded = indexIn(directory);
  for (const [what, text, tail] of [
    ["not folded", index, ""],
    ["not folded, with a line that was not finished", index, '[["tag torn",[{"mediaTy'],
    ["folded, but not removed", readFileSync(join(directory, "index.json")), ""],
  ] as const) {
    writeFileSync(join(directory, "index.json"), text);
    writeFileSync(journalOf(directory), Buffer.concat([journal, Buffer.from(tail)]));
    const again = await open(directory, false);
    assert.equal((await again.headManifest("moved"))?.digest, image.descriptor.digest, what);
    assert.equal(await again.headManifest("t1"), undefined, what);
    await again.pushManifest(image.bytes, image.descriptor.mediaType, { tag: "t2" });
    await again.index.fold();
    assert.deepEqual(indexIn(directory), folded, what);
    assert.ok(!existsSync(journalOf(directory)));
  }
});

test("a journal that is damaged is named and not thrown away; one that is a link is not followed", async () => {
  const { directory, image } = await longLayout();
  const target = await open(directory);
  const put = () => target.pushManifest(image.bytes, image.descriptor.mediaType, { tag: "x" });
  for (const [text, says] of [
    ["{}\n", /invalid at the top level/],
    ["not JSON\n", /not valid JSON/],
    ['[["tag x",[{"mediaType":"a","digest":"../../etc/passwd","size":1}]]]\n', /invalid at 0\.1\.0\.digest/],
    [`[["tag x",[${JSON.stringify(image.descriptor)}]]]\n`, /entry under a wrong key/],
  ] as const) {
    writeFileSync(journalOf(directory), text);
    await failsWith("CONTENT_INVALID", put(), says);
    assert.equal(readFileSync(journalOf(directory), "utf8"), text);
  }
  rmSync(journalOf(directory));
  symlinkSync(join(directory, "elsewhere"), journalOf(directory));
  await failsWith("FILE_SYSTEM", put());
  assert.ok(!existsSync(join(directory, "elsewhere")));
});

test("what other programs write into index.json meanwhile is kept", async () => {
  const { directory, image } = await longLayout();
  const target = await open(directory);
  await target.pushManifest(image.bytes, image.descriptor.mediaType, { tag: "ours" });
  const index = indexIn(directory);
  const [entry] = index.manifests;
  index.manifests.push({
    ...entry,
    digest: entry?.digest ?? "",
    annotations: { "org.opencontainers.image.ref.name": "theirs" },
  });
  writeFileSync(join(directory, "index.json"), JSON.stringify(index));
  assert.ok((await target.headManifest("ours")) && (await target.headManifest("theirs")));
  await target.close();
  const tags = tagsInFile(directory);
  assert.ok(tags.includes("ours") && tags.includes("theirs") && tags.length === 1002);
});

test("a list does not grow beyond what can be read again", async () => {
  const { directory, image } = await longLayout(100_000);
  const target = await open(directory);
  const put = (tag: string) => target.pushManifest(image.bytes, image.descriptor.mediaType, { tag });
  await failsWith("TOO_LARGE", put("one-more"), /more than 100000 tags/);
  await put("t5");
  await target.close();
});

test("many changes in any order: memory, journal and file agree", async () => {
  const { directory } = await longLayout();
  const random = dice(seed);
  const targets = [await open(directory), await open(directory)];
  const images = Array.from({ length: 5 }, (_, at) => imageOf(`random ${at}`, []));
  const expected = new Map(tagsInFile(directory).map((tag) => [tag, imageOf("long").descriptor.digest]));
  for (let step = 0; step < 120; step++) {
    const target = targets[Math.floor(random() * 2)];
    const given = images[Math.floor(random() * 5)];
    const tag = `t${Math.floor(random() * 1100)}`;
    assert.ok(target && given);
    const dice = random();
    if (dice < 0.6) {
      await pushImage(target, given, tag);
      expected.set(tag, given.descriptor.digest);
    } else if (dice < 0.9) {
      if (expected.delete(tag)) await target.deleteManifest(tag);
    } else if (dice < 0.95) await target.index.fold();
    else if (await target.headManifest(given.descriptor.digest)) {
      await target.deleteManifest(given.descriptor.digest);
      for (const [name, digest] of expected) if (digest === given.descriptor.digest) expected.delete(name);
    }
    const head = await targets[step % 2]?.headManifest(tag);
    assert.equal(head?.digest, expected.get(tag), `seed ${seed}, step ${step}`);
    const sorted = (await targets[0]?.index.read())?.sortedTags();
    assert.deepEqual(sorted, [...expected.keys()].sort(), `seed ${seed}, step ${step}`);
  }
  for (const target of targets) await target.close();
  assert.deepEqual(tagsInFile(directory).filter(Boolean).sort(), [...expected.keys()].sort(), `seed ${seed}`);
});

const writer = new URL("../../support/layout-writer.ts", import.meta.url).pathname;

test("four processes at once lose nothing in a long list", { timeout: 60_000 }, async () => {
  const { directory } = await longLayout();
  const ended = Array.from({ length: 4 }, (_, at) => {
    const child = spawn(process.execPath, [...LOADER, writer, directory, `p${at}`, "50"], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    return new Promise<number | null>((resolve) => child.on("exit", resolve));
  });
  assert.deepEqual(await Promise.all(ended), Array(4).fill(0));
  assert.equal((await tagsOf(directory)).length, 1200);
  // They did not close the layout, and still exited only when index.json was complete.
  assert.equal(tagsInFile(directory).length, 1200);
});

test("a process that is killed loses nothing that it had announced", { timeout: 60_000 }, async () => {
  for (const delay of [200, 300, 400, 500, 700]) {
    const { directory } = await longLayout();
    const child = spawn(process.execPath, [...LOADER, writer, directory, "k", "2000"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    const closed = new Promise((resolve) => child.on("close", resolve));
    let said = "";
    child.stdout.on("data", (chunk) => {
      said += chunk;
    });
    await setTimeout(delay);
    child.kill("SIGKILL");
    await closed;
    const tags = new Set(await tagsOf(directory));
    for (const tag of said.split("\n").slice(0, -1)) assert.ok(tags.has(tag), `${tag} was announced`);
    const target = await open(directory);
    await pushImage(target, imageOf("next"), "next");
    await target.close();
    assert.equal(tagsInFile(directory).length, tags.size + 1);
  }
});
