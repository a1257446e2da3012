// Proves that a check reads what pushes made, over any base, once per layer.
import assert from "node:assert/strict";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { FactsMemory } from "../../../lib/loader/facts-memory.ts";
import { type CheckRunOptions, checkRun } from "../../../lib/ops/image/check-run.ts";
import { push } from "../../../lib/ops/push/push.ts";
import { LayoutTarget } from "../../../lib/target/layout/layout.ts";
import type { ReadTarget } from "../../../lib/target/target.ts";
import { DiskCache } from "../../../lib/util/disk-cache.ts";
import { systemClock } from "../../../lib/util/time.ts";
import { makeBase } from "../../../scripts/make-base.ts";
import { imageOf, pushImage } from "../../support/content.ts";
import { failsWith } from "../../support/errors.ts";
import { golden } from "../../support/golden.ts";
import { elfAt } from "../../support/loading.ts";
import { glibc, pushTree } from "../../support/made-base.ts";
import { goldenStore, named, pushOptions } from "../../support/push.ts";
import { temporaryFolder } from "../../support/tree.ts";

const platform = { os: "linux", architecture: "amd64" };

/** An opened layout; a copy of a golden one, or an empty one. */
async function layout(copied?: string): Promise<LayoutTarget> {
  const folder = join(temporaryFolder(), "layout");
  if (copied !== undefined) cpSync(golden(copied), folder, { recursive: true });
  return await openLayout(folder, copied === undefined);
}

const opened: LayoutTarget[] = [];
after(async () => {
  for (const target of opened) await target.close();
});
async function openLayout(folder: string, create: boolean): Promise<LayoutTarget> {
  const target = await LayoutTarget.open(folder, { clock: systemClock, create, name: "layout" });
  opened.push(target);
  return target;
}

const bases: LayoutTarget = await layout();
before(async () => {
  await pushTree(bases, "new", glibc(36), 9000);
  await pushTree(bases, "small", glibc(36));
  await pushTree(bases, "old", glibc(28));
  await pushTree(bases, "musl", [elfAt("lib/ld-musl-x86_64.so.1", { soname: "libc.musl-x86_64.so.1" })]);
});
const base = (tag: string) => ({ name: tag, target: bases, reference: tag });

async function verdicts(target: ReadTarget, reference: string, options: Partial<CheckRunOptions> = {}) {
  const report = await checkRun(target, reference, { platform, ...options });
  const said = report.verdicts.map(({ base: name, starts, findings }) => [
    name ?? "itself",
    starts,
    ...new Set(findings.map(({ code }) => code)),
  ]);
  return { report, said };
}

// In it, one script starts through sbang, which Spack keeps outside of all prefixes: no image has it.
const SBANG = "SCRIPT_INTERPRETER_MISSING";

test("the environment that Spack pushed starts over a fitting base, and says why not over others", async () => {
  const cache = await layout("spack-1.2/plain.oci");
  const over = ["new", "old", "musl", "small"].map(base);
  const { report, said } = await verdicts(cache, "fleet-env", { bases: over });
  assert.deepEqual(said, [
    ["new", true, SBANG],
    ["old", false, "LIBC_TOO_OLD", SBANG],
    ["musl", false, "INTERPRETER_MISSING", SBANG],
    ["small", true, SBANG],
  ]);
  assert.equal(report.recommended, "small");
  assert.deepEqual(report.verdicts[0]?.checked, { programs: 2, libraries: 5, scripts: 2, unread: 0 });
  assert.equal(report.verdicts[0]?.system, "Made 2.36");
  const [old] = report.verdicts[1]?.findings ?? [];
  assert.deepEqual(
    [old?.package, old?.required, old?.found],
    ["paddle@3.1/kvupzkz", "GLIBC_2.34", "GLIBC_2.28"],
    "which Spack's images name without a history",
  );
});

test("the environment that stave pushed over a base of this machine starts as it is, and without base it does not", async () => {
  const { store } = await goldenStore();
  const folder = join(temporaryFolder(), "base");
  makeBase(folder, { tag: "b" });
  const from = await openLayout(folder, false);
  const target = await layout();
  const options = { base: { name: "b", target: from, reference: "b" }, tags: ["app"] };
  await push(pushOptions(store, target, options));
  const { report, said } = await verdicts(target, "app");
  assert.deepEqual(said, [["itself", true, SBANG]]);
  assert.equal(report.recommended, undefined);
  assert.ok((report.verdicts[0]?.size ?? 0) > 1000, "the size of the base is that of its layers");
  // The base of the image is replaced, not added to.
  assert.deepEqual((await verdicts(target, "app", { bases: [base("musl")] })).said, [
    ["musl", false, "INTERPRETER_MISSING", SBANG],
  ]);
});

test("a prefix that is left out of an image is named", async () => {
  const { store } = await goldenStore();
  const target = await layout();
  // All but the library that its programs need.
  const roots = ["voyage", "rigging"].map((name) => named(store, name));
  await push(pushOptions(store, target, { roots, only: "package", tags: ["app"], allowMissing: true }));
  const { report } = await verdicts(target, "app", { bases: [base("new")] });
  const found = report.verdicts[0]?.findings.filter(({ severity }) => severity === "error") ?? [];
  assert.ok(found.length > 0);
  for (const { code, fix } of found) {
    assert.equal(code, "LIBRARY_MISSING");
    assert.match(fix ?? "", /^add [a-z-]+-[0-9.]+-[a-z2-7]{32} to the image/);
  }
});

test("what is remembered of a layer is not fetched again", async () => {
  const cache = await layout("spack-1.2/plain.oci");
  const fetched: string[] = [];
  const counted = (target: LayoutTarget): ReadTarget =>
    new Proxy(target, {
      get: (object, key) => {
        const value: unknown = Reflect.get(object, key, object);
        if (typeof value !== "function") return value;
        if (key === "fetchBlob") fetched.push("");
        return value.bind(object);
      },
    });
  const memory = new FactsMemory(new DiskCache({ folder: temporaryFolder(), clock: systemClock }));
  const over = [{ ...base("new"), target: counted(bases) }];
  const first = await verdicts(counted(cache), "fleet-env", { bases: over, memory });
  const cold = fetched.splice(0).length;
  const second = await verdicts(counted(cache), "fleet-env", { bases: over, memory });
  assert.deepEqual(second.report, first.report);
  assert.deepEqual([cold, fetched.length], [10, 2], "afterwards only the two configs");
});

test("images without specs, artifacts, and bases of another architecture are refused", async () => {
  const cache = await layout("spack-1.2/plain.oci");
  await failsWith("CONTENT_INVALID", checkRun(bases, "new", { platform }), /has no layer of a spec/);
  const target = await layout();
  const { digest } = await pushImage(target, imageOf("artifact", [10], {}, "arm64"), "arm");
  assert.ok(digest);
  const other = { name: "arm", target, reference: "arm" };
  await failsWith(
    "PLATFORM_MISMATCH",
    checkRun(cache, "fleet-env", { platform, bases: [other] }),
    /expected linux\/amd64/,
  );
  await failsWith("MEDIA_TYPE", checkRun(cache, "index.spack", { platform }), /./);
});
