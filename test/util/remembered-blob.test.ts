// Proves that documents are stored compressed, and used only if their digest matches.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { zstdCompressSync } from "node:zlib";
import { digestOf } from "../../lib/oci/digest.ts";
import { DiskCache } from "../../lib/util/disk-cache.ts";
import { rememberedDocument } from "../../lib/util/remembered-blob.ts";
import { systemClock } from "../../lib/util/time.ts";
import { temporaryFolder } from "../support/tree.ts";

test("a document is fetched once, and again if its cache entry is damaged, is another document or is too long", async () => {
  const folder = temporaryFolder();
  const memory = new DiskCache({ folder, clock: systemClock });
  const document = Buffer.from(JSON.stringify(Array.from({ length: 500 }, () => "the same again")));
  const blob = { digest: digestOf(document), size: document.length };
  let fetched = 0;
  const read = async (): Promise<void> => {
    const bytes = await rememberedDocument(memory, blob, () => {
      fetched++;
      return Promise.resolve(Buffer.from(document));
    });
    assert.ok(bytes.equals(document));
  };
  await read();
  await read();
  assert.equal(fetched, 1);
  const names = readdirSync(join(folder, "documents"), { recursive: true, encoding: "utf8" });
  const name = names.find((one) => statSync(join(folder, "documents", one)).isFile()) ?? "";
  const file = join(folder, "documents", name);
  assert.ok(statSync(file).size < document.length / 20);
  const whole = readFileSync(file);
  const damages = [
    whole.subarray(0, -3),
    Buffer.from("not compressed"),
    Buffer.alloc(0),
    zstdCompressSync(Buffer.alloc(document.length, "x")),
    zstdCompressSync(Buffer.alloc(100 * 1024 * 1024)),
  ];
  for (const [at, damage] of damages.entries()) {
    writeFileSync(file, damage);
    await read();
    assert.equal(fetched, at + 2);
    await read();
    assert.equal(fetched, at + 2);
  }
});
