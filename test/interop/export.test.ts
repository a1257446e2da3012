// Proves that podman and skopeo read exported archives, and that stave loads an image into podman.
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { makeBase } from "../../scripts/make-base.ts";
import { findProgram } from "../../scripts/peers.ts";
import { stave } from "../support/cli.ts";
import { containerTools, peerTest, run } from "../support/peers.ts";
import { goldenStore } from "../support/push.ts";

const root = join(tmpdir(), `stave-export-${process.pid}`);
mkdirSync(root);
after(() => rmSync(root, { recursive: true, force: true }));
const layout = join(root, "images");
makeBase(layout, { tag: "app" });
makeBase(join(root, "dockered"), { tag: "app", docker: true });
const { flags, env } = containerTools();

/** The config of an image as skopeo reads it. */
const configOf = async (image: string): Promise<unknown> =>
  JSON.parse(await run("skopeo", ["--insecure-policy", "inspect", "--config", image]));

for (const [name, place, form, ...more] of [
  ["an OCI image as a docker archive", layout, "docker-archive"],
  ["an OCI image as an OCI archive", layout, "oci-archive"],
  ["a Docker image as a docker archive", join(root, "dockered"), "docker-archive"],
  ["a docker archive with Docker's media types", layout, "docker-archive", "--docker-media-types"],
  ["an OCI archive with Docker's media types", layout, "oci-archive", "--docker-media-types"],
] as const)
  peerTest(["skopeo", "podman"], `skopeo and podman read ${name}`, async () => {
    const file = join(root, `${form}.tar`);
    const ran = await stave([
      "export",
      `oci-layout:${place}:app`,
      "-o",
      file,
      "--format",
      form,
      "--json",
      "--name",
      "ghcr.io/org/app:1",
      ...more,
    ]);
    assert.equal(ran.status, 0, ran.stderr);
    assert.equal(JSON.parse(ran.stdout).report.size, statSync(file).size);
    assert.deepEqual(await configOf(`${form}:${file}`), await configOf(`oci:${layout}:app`));
    const copied = join(root, `${form}-copied`);
    // skopeo checks every layer against its diffID.
    await run("skopeo", ["--insecure-policy", "copy", `${form}:${file}`, `dir:${copied}`]);
    const loaded = await run("podman", [...flags, "load", "-i", file], env);
    assert.match(loaded, /ghcr\.io\/org\/app:1/);
    const entry = ["inspect", "--type", "image", "--format", "{{.Config.Env}}", "ghcr.io/org/app:1"];
    assert.match(await run("podman", [...flags, ...entry], env), /BASE=yes/);
    await run("podman", [...flags, "rmi", "ghcr.io/org/app:1"], env);
  });

peerTest(["skopeo", "podman"], "archives that skopeo and podman wrote are copied", async () => {
  const [docker, oci, saved] = ["docker", "oci", "saved"].map((name) => join(root, `by-${name}.tar`));
  await run("skopeo", ["--insecure-policy", "copy", `oci:${layout}:app`, `docker-archive:${docker}:x/y:one`]);
  await run("skopeo", ["--insecure-policy", "copy", `oci:${layout}:app`, `oci-archive:${oci}:two`]);
  await run("podman", [...flags, "load", "-i", `${docker}`], env);
  await run("podman", [...flags, "save", "-o", `${saved}`, "x/y:one"], env);
  const copies = [`docker-archive:${docker}:one`, `oci-archive:${oci}`, `docker-archive:${saved}`];
  for (const [at, from] of copies.entries()) {
    const ran = await stave(["copy", from, `oci-layout:${join(root, "copies")}:c${at}`]);
    assert.equal(ran.status, 0, ran.stderr);
    // The diffIDs are those of the image, though docker's archives hold other blobs.
    const rootfsOf = async (place: string): Promise<unknown> =>
      JSON.parse((await stave(["inspect", place, "--json"])).stdout).report.config.rootfs;
    assert.deepEqual(
      await rootfsOf(`oci-layout:${join(root, "copies")}:c${at}`),
      await rootfsOf(`oci-layout:${layout}:app`),
    );
  }
  const wrong = await stave(["copy", `oci-layout:${layout}:app`, "docker-archive:x.tar"]);
  assert.match(wrong.stderr, /is no destination of a copy.*\n.*stave export/);
});

peerTest(
  ["podman"],
  "the line that a push to a directory ends with loads the image under the name that it runs",
  async () => {
    const { sysroot } = await goldenStore();
    const cwd = join(root, "My Caches");
    const bin = join(root, "run-bin");
    for (const folder of [cwd, bin]) mkdirSync(folder);
    const main = new URL("../../dist/stave.js", import.meta.url).pathname;
    writeFileSync(join(bin, "podman"), `#!/bin/sh\nexec ${findProgram("podman")} ${flags.join(" ")} "$@"\n`);
    writeFileSync(join(bin, "stave"), `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`);
    for (const name of ["podman", "stave"]) chmodSync(join(bin, name), 0o755);
    const all = { ...env, SPACK_ROOT: "", PATH: `${bin}:${process.env["PATH"]}` };
    const store = ["--sysroot", sysroot, "--store", "/opt/harbor/store"];
    const base = ["--base-image", `oci-layout:${layout}:app`];
    const push = ["push", `oci-layout:${cwd}/a cache`, "hull", ...store, ...base, "--tag", "fleet", "--no-check-run"];
    const pushed = await stave(push, { cwd, env: all });
    assert.equal(pushed.status, 0, pushed.stderr);
    const [, line = ""] = /\nto run it: (.*)\n$/.exec(pushed.stderr) ?? [];
    const [load = "", start = ""] = line.split(" && ");
    assert.match(start, /^podman run --rm -it localhost\/a-cache:fleet$/, pushed.stderr);
    await run("sh", ["-c", load], all);
    await run("podman", [...flags, "image", "exists", start.split(" ").at(-1) ?? ""], env);
    const again = await stave(push, { cwd, env: all });
    assert.doesNotMatch(again.stderr, /to run it/);
  },
);

peerTest(["podman"], "an image is loaded into podman, and written to a pipe", async () => {
  const bin = join(root, "bin");
  mkdirSync(bin);
  const podman = join(bin, "podman");
  writeFileSync(podman, `#!/bin/sh\nexec ${findProgram("podman")} ${flags.join(" ")} "$@"\n`);
  chmodSync(podman, 0o755);
  const PATH = `${bin}:${process.env["PATH"]}`;
  const ran = await stave(["export", `oci-layout:${layout}:app`, "--load"], { env: { ...env, PATH } });
  assert.equal(ran.status, 0, ran.stderr);
  assert.match(ran.stdout, /^localhost\/images:app in podman/);
  assert.match(
    await run("podman", [...flags, "images", "--format", "{{.Repository}}:{{.Tag}}"], env),
    /^localhost\/images:app$/m,
  );
  const file = join(root, "piped.tar");
  const main = new URL("../../dist/stave.js", import.meta.url).pathname;
  await run("sh", ["-c", `"${process.execPath}" "${main}" export oci-layout:${layout}:app -o - > "${file}"`]);
  const written = join(root, "written.tar");
  assert.equal((await stave(["export", `oci-layout:${layout}:app`, "-o", written])).status, 0);
  assert.ok(readFileSync(file).equals(readFileSync(written)), "the same bytes each time");
  writeFileSync(podman, '#!/bin/sh\necho "no space" >&2\nexit 7\n');
  const failed = await stave(["export", `oci-layout:${layout}:app`, "--load"], { env: { ...env, PATH } });
  assert.match(failed.stderr, /podman load failed: no space/);
  assert.equal(failed.status, 6);
  for (const args of [[], ["-o", "x", "--load"], ["-o", "-", "--json"]])
    assert.equal((await stave(["export", `oci-layout:${layout}:app`, ...args])).status, 2, args.join(" "));
  const broken = await stave(["export", `oci-layout:${layout}:none`, "-o", join(root, "none.tar")]);
  assert.equal(broken.status, 5);
  assert.equal(existsSync(join(root, "none.tar")), false);
});
