// The library as a user calls it: each job by one function, arguments checked at the door, parts that load alone.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { after, test } from "node:test";
import * as stave from "../../lib/index.ts";
import { failsWith } from "../support/errors.ts";
import { golden, goldenSysroot } from "../support/golden.ts";

const work = mkdtempSync("/tmp/");
after(() => rmSync(work, { recursive: true, force: true }));
const surroundings = { env: {}, home: work, cwd: work };
const environment = false as const;
const cache = "oci-layout:./cache";

test("push, list, updateIndex, copy and install need a place and what is meant", async () => {
  const sysroot = await goldenSysroot("spack-1.2");
  const store = { store: "/opt/harbor/store", sysroot, environment, surroundings };
  const seen = new Set<string>();
  const onProgress = (event: stave.ProgressEvent): void => void seen.add(event.type);
  const pushed = await stave.push(cache, { ...store, specs: ["hull"], tags: ["app"], onProgress });
  assert.deepEqual(pushed.failures, []);
  assert.ok(seen.has("bytes") && seen.has("done"));
  const updated = await stave.updateIndex(cache, { environment, surroundings });
  assert.equal(updated.isWritten, true);

  await using opened = await stave.openCache(cache, { environment, surroundings });
  const options = { environment, surroundings, anyArchitecture: true };
  const { specs } = await stave.list(opened, { ...options, specs: ["hull"] });
  assert.deepEqual(
    specs.map(({ name }) => name),
    ["hull"],
  );
  const { images } = await stave.copy(`${cache}:app`, "oci-layout:./copy:app", { surroundings });
  await using copied = await stave.openTarget("oci-layout:./copy", { surroundings });
  assert.equal((await copied.target.fetchManifest(await copied.reference())).descriptor.digest, images[0]?.digest);

  const installed = await stave.install([opened], { ...options, store: join(work, "s"), specs: ["hull"] });
  assert.deepEqual(installed.failures, []);
  const there = await stave.openStore(join(work, "s"), { environment, surroundings });
  assert.equal([...there.records("hull")][0]?.installed, true);
});

const at = { environment, surroundings };
const WRONG: { name: string; run(): Promise<unknown>; says: RegExp }[] = [
  { name: "an unknown option", run: () => stave.push(cache, { tag: "x" } as never), says: /no option "tag"/ },
  { name: "a text for a number", run: () => stave.copy("a/b", "c/d", { jobs: "4" } as never), says: /jobs is "4"/ },
  { name: "a text for a list", run: () => stave.list(cache, { specs: "hull" } as never), says: /specs is "hull"/ },
  { name: "no place", run: () => stave.openTarget(undefined as never), says: /place is undefined, expected a text/ },
  { name: "a word of no choice", run: () => stave.install(cache, { only: "some" } as never), says: /only is "some"/ },
  { name: "options that are no object", run: () => stave.openStore("/x", 5 as never), says: /options is number/ },
  { name: "one image for a cache", run: () => stave.openCache("oci://ghcr.io/a/b:1", at), says: /not one image/ },
];
for (const { name, run, says } of WRONG)
  test(`refused at the door: ${name}`, () => failsWith("USAGE", run, says).then(() => undefined));

test("a signal that is aborted ends every function before it does anything", async () => {
  const signal = AbortSignal.abort(new stave.StaveError("ABORTED", "enough"));
  const all: Promise<unknown>[] = [
    stave.openTarget("oci-layout:./none", { signal, surroundings, create: true }),
    stave.copy("oci-layout:./none", "oci-layout:./none2", { signal, surroundings }),
    stave.openCache("oci-layout:./none", { signal, ...at, create: true }),
    stave.list("oci-layout:./none", { signal, ...at }),
    stave.updateIndex("oci-layout:./none", { signal, ...at }),
    stave.openStore(join(work, "none"), { signal, ...at, mayBeEmpty: true }),
    stave.push("oci-layout:./none", { signal, ...at, store: golden("none"), specs: ["x"] }),
    stave.install("oci-layout:./none", { signal, ...at, store: join(work, "none"), specs: ["x"] }),
  ];
  for (const one of all) await failsWith("ABORTED", one);
});

/** Every file of the library that is read when one is imported. */
function loaded(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const [, name = ""] of readFileSync(file, "utf8").matchAll(
    /^(?:import|export) (?!type )[^;]*?from "(\.[^"]+\.ts)"/gm,
  ))
    loaded(resolve(dirname(file), name), seen);
  return seen;
}

test("the parts load only themselves, and the whole loads nothing before it is used", () => {
  const lib = resolve(import.meta.dirname, "../../lib");
  const parts = (file: string) =>
    new Set([...loaded(join(lib, file))].map((path) => relative(lib, path).split("/")[0]));
  assert.deepEqual([...parts("index.ts")].sort(), ["errors.ts", "index.ts"]);
  for (const part of ["spack", "image", "cache", "store", "serve"]) {
    assert.ok(!parts("exports/oci.ts").has(part), `stave/oci loads ${part}`);
    assert.ok(!parts("api/open-target.ts").has(part), `a copy loads ${part}`);
  }
  for (const part of ["auth", "spack", "image"])
    assert.ok(!parts("exports/serve.ts").has(part), `stave/serve loads ${part}`);
  assert.ok(!loaded(join(lib, "exports/serve.ts")).has(join(lib, "http/transport.ts")), "stave/serve loads undici");
  for (const part of ["auth", "target", "ops"])
    assert.ok(!parts("exports/spack.ts").has(part), `stave/spack loads ${part}`);
});
