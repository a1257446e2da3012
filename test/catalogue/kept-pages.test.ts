// Proves that a document is made once for all who ask for it, that the kept ones are bounded, and that few are made at
// once.
import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { KeptPages, type PageText } from "../../lib/catalogue/kept-pages.ts";

const page = (text: string): PageText => ({ type: "text/html", text, isFixed: false });

test("a document is made and compressed once, also for those who ask at the same time", async () => {
  const pages = new KeptPages();
  let made = 0;
  const make = async () => {
    made++;
    return page("x".repeat(5000));
  };
  const [first, second] = await Promise.all([pages.get("a", make), pages.get("a", make)]);
  assert.ok(first?.packed !== undefined);
  assert.equal(gunzipSync(first.packed).toString(), "x".repeat(5000));
  assert.equal(first, second);
  assert.equal(await pages.get("a", make), first);
  assert.equal(made, 1);
  const other = await pages.get("b", async () => page("y"));
  assert.equal(other?.packed, undefined);
  assert.notEqual(other?.etag, first.etag);
});

test("the documents that were used last are kept, up to a number of bytes", async () => {
  const pages = new KeptPages({ limit: 1000 });
  const made: string[] = [];
  const get = async (key: string, length = 400) =>
    await pages.get(key, async () => {
      made.push(key);
      return page("x".repeat(length));
    });
  for (const key of ["a", "b", "a", "c", "a", "b"]) await get(key);
  assert.deepEqual(made, ["a", "b", "c", "b"]);
  await get("large", 1001);
  await get("a");
  await get("large", 1001);
  assert.deepEqual(made.slice(4), ["large", "large"]);
});

test("a document that may not be kept is shared only by those who ask at the same time", async () => {
  const pages = new KeptPages();
  let made = 0;
  const ask = async () => await pages.shared("a", async () => page(`${++made}`));
  assert.equal((await Promise.all([ask(), ask()])).length, 2);
  assert.equal(made, 1);
  await ask();
  assert.equal(made, 2);
});

test("a document that cannot be made is an error each time, and few are made at once", async () => {
  const pages = new KeptPages();
  const fail = async () => await pages.get("bad", () => Promise.reject(new Error("no")));
  await assert.rejects(fail());
  await assert.rejects(fail());
  let running = 0;
  let most = 0;
  const make = async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setImmediate(resolve));
    running--;
    return page("x");
  };
  await Promise.all(Array.from({ length: 50 }, (_, at) => pages.get(`${at}`, make)));
  assert.equal(most, 4);
});
