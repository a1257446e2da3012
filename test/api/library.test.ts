// Proves that the library works as users call it: one function per job, checked arguments, parts that load alone.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { after, test } from "node:test";
import * as stave from "../../lib/index.ts";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { systemClock } from "../../lib/util/time.ts";
import { imageOf, pushImage } from "../support/content.ts";
import { failsWith } from "../support/errors.ts";
import { golden, goldenSysroot } from "../support/golden.ts";
import { glibc, pushTree } from "../support/made-base.ts";
import { copiedMirror } from "../support/mirrors.ts";
import { temporaryFolder } from "../support/tree.ts";

const work = mkdtempSync("/tmp/");
after(() => rmSync(work, { recursive: true, force: true }));
const surroundings = { env: {}, home: work, cwd: work };
const environment = false as const;
const cache = "oci-layout:./cache";

test("sync copies between caches of any kind, and migrate brings a mirror to the newest layout", async () => {
  const folder = temporaryFolder();
  const options = { environment, surroundings, unsigned: true };
  const from = `oci-layout:${golden("spack-1.2/plain.oci")}`;
  const planned = await stave.sync(from, `file://${folder}/m`, { ...options, specs: ["hull"], dryRun: true });
  assert.deepEqual([planned.specs.length, planned.isDryRun, existsSync(join(folder, "m"))], [3, true, false]);
  const done = await stave.sync(from, `file://${folder}/m`, { ...options, specs: ["hull"], jobs: 2 });
  assert.deepEqual([done.failures, done.index?.specs], [[], 3]);
  await using opened = await stave.openCache(`file://${folder}/m`, { environment, surroundings });
  assert.equal((await stave.sync(opened, `oci-layout:${folder}/i`, options)).specs.length, 3);
  const old = await copiedMirror(2);
  const migrated = await stave.migrate(`file://${old}`, { ...options, deleteExisting: true });
  assert.deepEqual([migrated.left, migrated.removed.length, existsSync(join(old, "build_cache"))], [[], 7, true]);
  await failsWith("UNSUPPORTED", stave.migrate(`oci-layout:${folder}/i`, options));
  await failsWith("USAGE", stave.sync(from, `file://${folder}/m`, { ...options, specz: [] } as never));
});

test("push, list, updateIndex, copy and install need a place and what is meant", async () => {
  const sysroot = await goldenSysroot("spack-1.2");
  const store = { store: "/opt/harbor/store", sysroot, environment, surroundings };
  const seen = new Set<string>();
  const onProgress = (event: stave.ProgressEvent): void => void seen.add(event.type);
  const pushed = await stave.push(cache, { ...store, specs: ["hull"], tags: ["app"], onProgress });
  assert.deepEqual(pushed.failures, []);
  assert.ok(seen.has("bytes") && seen.has("done"));
  const updated = await stave.updateIndex(cache, { environment, surroundings });
  const written = await stave.writeCatalogue(cache, "site", { surroundings, images: true, address: "ghcr.io/org/c" });
  assert.equal(written.specs, updated.specs);
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

test("a tagged image is measured, checked, rebased, put into an index and exported", async () => {
  const platform = "linux/amd64";
  const store = { store: "/opt/harbor/store", sysroot: await goldenSysroot("spack-1.2"), environment, surroundings };
  const bases = await LayoutTarget.open(join(work, "bases"), { clock: systemClock, create: true });
  for (const tag of ["old", "new"]) await pushTree(bases, tag, [...glibc(36), { type: "file", path: tag }]);
  await bases.close();
  const common = { surroundings };
  const base = "oci-layout:./bases:old";
  const more = { ...store, specs: ["hull"], tags: ["run"], baseImage: base, image: { slim: true }, view: "/opt/view" };
  const pushed = await stave.push(cache, more);
  assert.deepEqual(pushed.failures, []);
  assert.equal(pushed.views[0]?.path, "/opt/view");
  const size = await stave.imageSize(`${cache}:run`, { ...common, platform });
  assert.ok(size.packages.some(({ name }) => name.startsWith("hull@")) && size.dispensable === 0);
  const checked = await stave.checkRun(`${cache}:run`, { ...common, platform, bases: ["oci-layout:./bases:new"] });
  assert.equal(checked.recommended, "oci-layout:./bases:new");
  const rebased = await stave.rebase(`${cache}:run`, "oci-layout:./bases:new", { ...common, from: base, tag: "next" });
  assert.deepEqual([rebased.tag, rebased.isWritten], ["next", true]);
  const index = await stave.imageIndex(`${cache}:all`, [`${cache}:next`], common);
  assert.deepEqual(index.images, [{ platform, tag: "all.linux-amd64", digest: rebased.to }]);
  const exported = await stave.exportImage(`${cache}:all`, "app.tar", { ...common, platform, name: "localhost/app:1" });
  assert.equal(statSync(join(work, "app.tar")).size, exported.size);
  assert.equal(exported.name, "localhost/app:1");
  await failsWith("USAGE", stave.checkRun(cache, { bases: "x" } as never));
  await failsWith("USAGE", stave.rebase(`${cache}@sha256:${"0".repeat(64)}`, base, common));
});

test("a search, modulefiles and a garbage collection are what the verbs do", async () => {
  const options = { environment, surroundings, anyArchitecture: true };
  const layout = `oci-layout:${golden("spack-1.2/plain.oci")}`;
  const { packages } = await stave.search("hul", layout, options);
  assert.deepEqual(
    packages.map(({ name, match }) => [name, match]),
    [["hull", "prefix"]],
  );
  const { specs } = await stave.list(layout, { ...options, roots: true });
  assert.deepEqual(
    specs.map(({ name }) => name),
    ["fleet"],
  );

  const store = mkdtempSync("/tmp/");
  const installed = await stave.install(layout, { ...options, store, specs: ["fleet"], unsigned: true });
  assert.deepEqual(installed.failures, []);
  const written = await stave.writeModules("tcl", "modules", { environment, surroundings, store, specs: ["fleet"] });
  assert.ok(written.modules.some(({ name, outcome }) => name === "hull" && outcome === "written"));
  const alone = { environment, surroundings, store, specs: ["fleet"], dependencies: false, dryRun: true };
  assert.deepEqual(
    (await stave.writeModules("tcl", "modules", alone)).modules.map(({ outcome }) => outcome),
    ["same"],
  );
  await failsWith("USAGE", stave.writeModules("lua" as never, "modules", alone));
  await failsWith("SPEC_INVALID", stave.writeModules("tcl", "modules", { ...alone, specs: ["@@"] }));

  const plan = await stave.planGc(store, { environment, surroundings, grace: 0 });
  // Only the record of the compiler, which is the system's.
  assert.deepEqual(
    [plan.specs.map(({ name, external }) => [name, external]), plan.kept.explicit],
    [[["gcc", true]], 1],
  );
  assert.equal((await stave.planGc(store, { environment, surroundings })).kept.young > 0, true);
  assert.deepEqual((await stave.gc(store, { environment, surroundings, grace: 0 })).specs, plan.specs);
  assert.deepEqual((await stave.planGc(store, { environment, surroundings, grace: 0 })).specs, []);
  await failsWith("USAGE", stave.gc(store, { grace: -1 }));
  rmSync(store, { recursive: true });
});

const at = { environment, surroundings };
const WRONG: { name: string; run(): Promise<unknown>; says: RegExp }[] = [
  {
    name: "an unknown option",
    run: () => stave.push(cache, { colour: "x" } as never),
    says: /^push has no option "colour"/,
  },
  { name: "a number for a text", run: () => stave.push(cache, { store: 1 } as never), says: /push: store is 1/ },
  { name: "a wrong share", run: () => stave.planPush(cache, { ...at, shard: "3/2" }), says: /shard "3\/2"/ },
  { name: "no cache", run: () => stave.updateIndex(5 as never), says: /cache is 5, expected a text or what openCache/ },
  { name: "one wrong cache of several", run: () => stave.install([cache, {} as never]), says: /cache is an object/ },
  { name: "no cache of several", run: () => stave.list([cache, null as never]), says: /the cache is null/ },
  {
    name: "no signal",
    run: () => stave.openCache(cache, { signal: {} } as never),
    says: /signal is an object, expected an AbortSignal/,
  },
  {
    name: "credentials without a password",
    run: () => stave.openTarget("a/b", { credentials: [{ registry: "a", username: "b" }] } as never),
    says: /credentials\[0\]\.password is undefined, expected a text/,
  },
  {
    name: "an unknown field of an option",
    run: () => stave.openTarget("a/b", { proxy: { socks: "x" } } as never),
    says: /^openTarget: proxy has no option "socks"/,
  },
  { name: "a true environment", run: () => stave.list(cache, { environment: true } as never), says: /a text or false/ },
  { name: "a text for a number", run: () => stave.copy("a/b", "c/d", { jobs: "4" } as never), says: /jobs is "4"/ },
  { name: "a text for a list", run: () => stave.list(cache, { specs: "hull" } as never), says: /specs is "hull"/ },
  {
    name: "a signal where the surroundings of the process belong",
    run: () => stave.list(cache, { surroundings: { signal: AbortSignal.abort() } } as never),
    says: /surroundings has no option "signal"/,
  },
  {
    name: "an infinite number",
    run: () => stave.list(cache, { minRate: Number.POSITIVE_INFINITY }),
    says: /minRate is Infinity, expected a number, 0 or more/,
  },
  {
    name: "a negative number",
    run: () => stave.list(cache, { minRate: -1 }),
    says: /minRate is -1, expected a number, 0 or more/,
  },
  { name: "no place", run: () => stave.openTarget(undefined as never), says: /place is undefined, expected a text/ },
  { name: "a word of no choice", run: () => stave.install(cache, { only: "some" } as never), says: /only is "some"/ },
  {
    name: "options that are no object",
    run: () => stave.openStore("/x", 5 as never),
    says: /options argument is 5, expected an object/,
  },
  { name: "one image for a cache", run: () => stave.openCache("oci://ghcr.io/a/b:1", at), says: /not one image/ },
];
for (const { name, run, says } of WRONG)
  test(`refused at the door: ${name}`, () => failsWith("USAGE", run, says).then(() => undefined));

test("undefined surroundings are those of this process", async () => {
  const undefinedOnes = { env: undefined, home: undefined, cwd: undefined, clock: undefined, uid: undefined };
  const absent = join(work, "absent");
  await failsWith(
    "NOT_FOUND",
    stave.openCache(`oci-layout:${absent}`, { environment: false, surroundings: undefinedOnes as object }),
    /absent/,
  );
});

test("a failure to close hides no error: the one that ended the work is thrown", async () => {
  const folder = temporaryFolder();
  const from = await LayoutTarget.open(join(folder, "from"), { clock: systemClock, create: true });
  for (const name of ["a", "b", "c"]) await pushImage(from, imageOf(name, [1000]), name);
  await from.close();
  const index = join(folder, "to/index.json");
  const to = await LayoutTarget.open(join(folder, "to"), { clock: systemClock, create: true });
  const image = imageOf("long", [1000]);
  await pushImage(to, image, "long");
  // A longer index has a journal, which is folded when the target is closed.
  const { mediaType } = image.descriptor;
  const tags = Array.from({ length: 300 }, (_, at) => `${"x".repeat(120)}${at}`);
  await Promise.all(tags.map((tag) => to.pushManifest(image.bytes, mediaType, { tag })));
  await to.close();
  const spoil = (): void => {
    if (!existsSync(join(folder, "to/.stave-journal"))) return;
    rmSync(index, { recursive: true });
    mkdirSync(index);
  };
  const [source, destination] = [`oci-layout:${folder}/from`, `oci-layout:${folder}/to`];
  const options = { surroundings, allTags: true, jobs: 1, onProgress: spoil };
  const error = await failsWith("PARTIAL", stave.copy(source, destination, options));
  assert.match(error.errors?.[0]?.message ?? "", /index\.json: EISDIR/);
});

const NEAR: { given: string; meant: string }[] = [
  { given: "tag", meant: "tags" },
  { given: "onprogress", meant: "onProgress" },
  { given: "failfast", meant: "failFast" },
  { given: "spec", meant: "specs" },
  { given: "baseimage", meant: "baseImage" },
];
for (const { given, meant } of NEAR)
  test(`the option ${given} is refused with the one that was meant`, async () => {
    const error = await failsWith("USAGE", stave.push(cache, { [given]: "x" } as never), /no option/);
    assert.equal(error.hint, `did you mean ${meant}?`);
  });

test("plans say what would be done, and do nothing", async () => {
  const sysroot = await goldenSysroot("spack-1.2");
  const store = { store: "/opt/harbor/store", sysroot, environment, surroundings, specs: ["fleet"] };
  const none = "oci-layout:./planned";
  const all = await stave.planPush(none, store);
  assert.ok(all.specs.length > 1 && all.specs.every(({ action }) => action === "pack"));
  assert.ok(!existsSync(join(work, "planned")));
  const shares = [
    await stave.planPush(none, { ...store, shard: "1/2" }),
    await stave.planPush(none, { ...store, shard: "2/2" }),
  ];
  const packed = shares.flatMap(({ specs }) => specs.filter(({ action }) => action === "pack").map(({ hash }) => hash));
  assert.deepEqual(packed.sort(), all.specs.map(({ hash }) => hash).sort());

  const from = `oci-layout:${golden("spack-1.2/plain.oci")}`;
  const root = join(work, "plan-store");
  const plan = await stave.planInstall(from, { ...at, anyArchitecture: true, store: root, specs: ["hull"] });
  assert.ok(plan.specs.some(({ name, action }) => name === "hull" && action === "install"));
  assert.ok(!existsSync(root));
});

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
    stave.planPush("oci-layout:./none", { signal, ...at, store: golden("none"), specs: ["x"] }),
    stave.install("oci-layout:./none", { signal, ...at, store: join(work, "none"), specs: ["x"] }),
    stave.planInstall("oci-layout:./none", { signal, ...at, store: join(work, "none"), specs: ["x"] }),
  ];
  for (const one of all) await failsWith("ABORTED", one);
});

/** Every file of the library that an import reads. */
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
    assert.ok(!parts("api/functions/open-target.ts").has(part), `a copy loads ${part}`);
  }
  for (const part of ["auth", "spack", "image"])
    assert.ok(!parts("exports/serve.ts").has(part), `stave/serve loads ${part}`);
  assert.ok(!loaded(join(lib, "exports/serve.ts")).has(join(lib, "http/transport.ts")), "stave/serve loads undici");
  for (const part of ["auth", "target", "ops"])
    assert.ok(!parts("exports/spack.ts").has(part), `stave/spack loads ${part}`);
});
