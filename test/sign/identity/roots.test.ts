// Proves that published roots are believed only as they were signed and until they expire, and that what is kept of
// them needs no request.
import assert from "node:assert/strict";
import { globSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { PUBLIC_ROOT, type RootSource, Roots } from "../../../lib/sign/identity/roots.ts";
import { connect, jumpingClock } from "../../support/client.ts";
import { type SigstoreInstance, startSigstore } from "../../support/sigstore.ts";
import { temporaryFolder } from "../../support/tree.ts";
import { makeTuf, type TufContent, tufKey } from "../../support/tuf.ts";

const DAY = 24 * 3600_000;
let instance: SigstoreInstance;
before(async () => {
  instance = await startSigstore();
});
after(() => instance.close());

function publish(more: Partial<TufContent> = {}): RootSource {
  const { root, files } = makeTuf({
    targets: { "trusted_root.json": Buffer.from(JSON.stringify(instance.trustedRoot)) },
    expires: new Date(Date.now() + 7 * DAY),
    ...more,
  });
  instance.files.clear();
  for (const [path, bytes] of files) instance.files.set(`/tuf/${path}`, bytes);
  const first = join(temporaryFolder(), "root.json");
  writeFileSync(first, root);
  return { tuf: `${instance.url}/tuf`, first };
}

const asked = (): number => instance.requests.filter(({ path }) => path.startsWith("/tuf/")).length;

/** Reads a root as a new process would. */
async function read(source: RootSource, folder: string, { offline = false, ahead = 0 } = {}): Promise<string> {
  const { transport, close } = connect("127.0.0.1:1", "x", { retry: { attempts: 1 } });
  try {
    const clock = jumpingClock(Date.now() + ahead);
    return (await new Roots({ folder, transport: offline ? undefined : transport, clock }).root(source)).name;
  } finally {
    await close();
  }
}

test("a published root is fetched once a day, and used offline until it expires", async () => {
  const source = publish();
  const folder = temporaryFolder();
  await assert.rejects(read(source, folder, { offline: true }), { code: "CONFIG_INVALID", hint: /trustedRoot/ });
  assert.equal(await read(source, folder), `${instance.url}/tuf`);
  const once = asked();
  assert.equal(once, 5);
  await read(source, folder);
  await read(source, folder, { offline: true });
  assert.equal(asked(), once);
  await read(source, folder, { ahead: 2 * DAY });
  assert.ok(asked() > once);
  // Unreachable, but kept.
  const gone = instance.files.get("/tuf/timestamp.json");
  instance.meddle = (path) => (path.startsWith("/tuf/") ? { status: 503, body: Buffer.alloc(0) } : undefined);
  await read(source, folder);
  instance.meddle = undefined;
  assert.ok(gone);
});

test("expired, unsigned, changed and older documents are refused, and damage to what is kept is mended", async () => {
  await assert.rejects(read(publish({ expires: new Date(Date.now() - DAY) }), temporaryFolder()), {
    code: "CONFIG_INVALID",
    message: /expired/i,
  });
  const target = [...instance.files.keys()].find((path) => path.includes("trusted_root")) ?? "";
  for (const path of ["/tuf/timestamp.json", "/tuf/1.snapshot.json", "/tuf/1.targets.json", target]) {
    const source = publish();
    const bytes = Buffer.from(instance.files.get(path) ?? assert.fail(path));
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 20) ^ 1, bytes.length - 20);
    instance.files.set(path, bytes);
    await assert.rejects(read(source, temporaryFolder()), { code: "CONFIG_INVALID" }, path);
  }
  // Signed by another key than the first root names.
  const source = publish();
  publish();
  await assert.rejects(read(source, temporaryFolder()), { code: "CONFIG_INVALID" });

  // What is kept may have been cut by a killed run.
  const folder = temporaryFolder();
  const good = publish();
  await read(good, folder);
  for (const name of ["root.json", "timestamp.json", "snapshot.json", "targets.json"]) {
    const [path = ""] = globSync(join(folder, "*", name));
    writeFileSync(path, "{");
    await read(good, folder);
  }

  // An older state of the repository.
  const key = tufKey();
  const newer = publish({ key, version: 2 });
  await read(newer, folder);
  publish({ key, version: 1 });
  await assert.rejects(read(newer, folder, { ahead: 2 * DAY }), { code: "CONFIG_INVALID" });
});

test("the first root of the public instance is known, others must be named", async () => {
  const { tuf } = PUBLIC_ROOT;
  await assert.rejects(read({ tuf: `${instance.url}/other`, first: undefined }, temporaryFolder()), {
    message: /first root .* is not known/,
  });
  await assert.rejects(read(PUBLIC_ROOT, temporaryFolder(), { offline: true }), {
    code: "CONFIG_INVALID",
    message: new RegExp(`no trusted root from ${tuf}`),
  });
});
