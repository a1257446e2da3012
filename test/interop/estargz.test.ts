// Proves that the reference implementation verifies eStargz layers, and that other programs use them as any others.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { makeBase } from "../../scripts/make-base.ts";
import { findProgram } from "../../scripts/peers.ts";
import { stave } from "../support/cli.ts";
import { estargzVerifier } from "../support/estargz.ts";
import { containerTools, run, runIn } from "../support/peers.ts";
import { goldenStore } from "../support/push.ts";

const verifier = await estargzVerifier();
const { store, sysroot } = await goldenStore();
// podman takes the path of a layout for a name, which must be in lower case.
const root = join(tmpdir(), `stave-lazy-${process.pid}`);
mkdirSync(root);
after(() => rmSync(root, { recursive: true, force: true }));
makeBase(join(root, "base"), { tag: "small" });
const isBuilt = typeof verifier !== "string";

test("the reference implementation verifies every file, and podman and buildah use the layers as they are", {
  timeout: 120_000,
  skip: isBuilt ? false : verifier,
}, async () => {
  assert.ok(isBuilt);
  const layout = join(root, "estargz");
  const from = ["--sysroot", sysroot, "--store", store.root, `oci-layout:${layout}`, "fleet", "hull", "--tag", "app"];
  const args = ["--base-image", `oci-layout:${join(root, "base")}:small`, "--estargz"];
  const ran = await stave(["push", ...from, ...args], { env: { XDG_CACHE_HOME: join(root, "xdg") } });
  assert.equal(ran.status, 0, ran.stderr);
  assert.match(
    ran.stdout,
    /^eStargz: [\d.]+ [kM]B \(\+[\d.]+ %\), stored beside the [\d.]+ [kM]B of the specs' own layers$/m,
  );
  const blob = (digest: string): string => join(layout, "blobs/sha256", digest.slice(7));
  const { manifests } = JSON.parse(readFileSync(join(layout, "index.json"), "utf8"));
  const isApp = (each: { annotations: Record<string, string> }): boolean =>
    each.annotations["org.opencontainers.image.ref.name"] === "app";
  const { layers } = JSON.parse(readFileSync(blob(manifests.find(isApp).digest), "utf8"));
  let verified = 0;
  for (const { digest, annotations } of layers) {
    const toc = annotations?.["containerd.io/snapshot/stargz/toc.digest"];
    if (toc === undefined) continue;
    assert.match(await run(verifier.program, [blob(digest), toc]), /^[1-9]\d* files [1-9]\d* chunks$/m);
    await assert.rejects(run(verifier.program, [blob(digest), `sha256:${"0".repeat(64)}`]));
    verified++;
  }
  assert.ok(verified >= 6, `${verified} layers`);
  if (findProgram("podman") === undefined || findProgram("buildah") === undefined) return;
  const { flags, env } = containerTools();
  await run("podman", [...flags, "pull", "-q", `oci:${layout}:app`], env);
  const container = (await run("buildah", [...flags, "from", `oci:${layout}:app`], env)).trim();
  assert.match(await runIn(container, ["voyage"], { flags, env }), /^voyage 420 /);
});
