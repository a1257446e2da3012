// Proves that environments pushed by stave work in real registries and container tools, and that their programs run.
import assert from "node:assert/strict";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { hashSync } from "bcryptjs";
import { makeBase } from "../../scripts/make-base.ts";
import { findProgram } from "../../scripts/peers.ts";
import { type Ran, stave } from "../support/cli.ts";
import { containerTools, peerTest, run, runIn, startDistribution } from "../support/peers.ts";
import { goldenStore, named } from "../support/push.ts";
import { startServe, tlsFile } from "../support/serve.ts";

// podman takes the path of a layout for a name, which must be in lower case.
const root = join(tmpdir(), `stave-push-${process.pid}`);
mkdirSync(root);
after(() => rmSync(root, { recursive: true, force: true }));
const { sysroot } = await goldenStore();
const base = join(root, "base");
makeBase(base, { tag: "small" });
makeBase(join(root, "docker-base"), { tag: "small", docker: true });

async function push(cache: string, ...args: string[]): Promise<Ran> {
  const common = [
    "push",
    "--sysroot",
    sysroot,
    "--store",
    "/opt/harbor/store",
    "--base-image",
    `oci-layout:${base}:small`,
  ];
  const env = { XDG_CACHE_HOME: mkdtempSync(join(root, "cache-")) };
  const ran = await stave([...common, cache, "fleet", "hull", "--tag", "app", ...args], { env });
  assert.equal(ran.status, 0, ran.stderr);
  return ran;
}

const skopeo = (...args: string[]) => run("skopeo", ["--insecure-policy", ...args]);
const layers = (inspected: string): number => JSON.parse(inspected).Layers.length;

peerTest(
  ["docker-registry", "skopeo", "buildah"],
  "docker-registry: skopeo reads it, and voyage runs in it",
  async () => {
    const registry = await startDistribution();
    const { flags, env } = containerTools();
    const buildah = (...args: string[]) => run("buildah", [...flags, ...args], env);
    try {
      await push(`oci+http://${registry.host}/org/cache`, "--update-index");
      const name = `${registry.host}/org/cache:app`;
      assert.equal(layers(await skopeo("inspect", "--tls-verify=false", `docker://${name}`)), 9);
      const container = (await buildah("from", "--tls-verify=false", name)).trim();
      const said = await runIn(container, ["voyage"], { flags, env });
      assert.match(said, /^voyage 420 from \/opt\/harbor\/store\/linux-x86_64\/voyage-/);
      const variables = await runIn(container, ["env"], { flags, env });
      assert.match(variables, /^BASE=yes$/m);
      assert.match(variables, /^PATH=\/opt\/harbor\/store\/.*\/voyage-[^:]*\/bin:.*:\/usr\/bin:\/bin$/m);
      assert.match(variables, /^CMAKE_PREFIX_PATH=\/opt\/harbor\/store\//m);
      // The image of one spec runs too.
      const { Tags } = JSON.parse(
        await skopeo("list-tags", "--tls-verify=false", `docker://${registry.host}/org/cache`),
      );
      const tag = Tags.find((each: string) => each.startsWith("paddle-"));
      const paddle = (await buildah("from", "--tls-verify=false", `${registry.host}/org/cache:${tag}`)).trim();
      assert.match(await runIn(paddle, ["paddle"], { flags, env }), /^paddle 420 /);
    } finally {
      await registry.stop();
    }
  },
);

peerTest(["podman", "skopeo"], "stave serve with TLS and a login: podman pulls, skopeo copies", async () => {
  const users = `me:${hashSync("s3cret", 4)}\n`;
  const server = await startServe({ directory: join(root, "served"), tls: true, users });
  const { flags, env } = containerTools();
  try {
    const auth = join(root, "auth.json");
    writeFileSync(auth, JSON.stringify({ auths: { [server.host]: { auth: btoa("me:s3cret") } } }));
    await push(`oci://${server.host}/org/cache`, "--cacert", tlsFile("ca.crt"), "--authfile", auth);
    const name = `${server.host}/org/cache:app`;
    const certificates = join(root, "certs");
    mkdirSync(certificates);
    copyFileSync(tlsFile("ca.crt"), join(certificates, "ca.crt"));
    await run("podman", [...flags, "pull", "-q", "--cert-dir", certificates, "--authfile", auth, name], env);
    const [inspected] = JSON.parse(await run("podman", [...flags, "image", "inspect", name], env));
    assert.equal(inspected.RootFS.Layers.length, 9);
    assert.ok(inspected.Config.Env.some((entry: string) => entry.startsWith("CMAKE_PREFIX_PATH=/opt/harbor/store/")));
    const back = join(root, "back");
    await skopeo("copy", "--src-cert-dir", certificates, "--src-authfile", auth, `docker://${name}`, `oci:${back}:app`);
    assert.equal(layers(await skopeo("inspect", `oci:${back}:app`)), 9);
  } finally {
    await server.close();
  }
});

peerTest(
  ["skopeo", "buildah"],
  "a directory over a Docker base: Docker's media types throughout, and voyage runs",
  async () => {
    const layout = join(root, "layout");
    const { flags, env } = containerTools();
    await push(`oci-layout:${layout}`, "--base-image", `oci-layout:${join(root, "docker-base")}:small`);
    const served = await startServe({ directory: layout });
    try {
      const name = `${served.host}/${served.repository}:app`;
      const raw = JSON.parse(await skopeo("inspect", "--raw", "--tls-verify=false", `docker://${name}`));
      const types = new Set([
        raw.mediaType,
        raw.config.mediaType,
        ...raw.layers.map((layer: { mediaType: string }) => layer.mediaType),
      ]);
      assert.deepEqual(
        [...types],
        [
          "application/vnd.docker.distribution.manifest.v2+json",
          "application/vnd.docker.container.image.v1+json",
          "application/vnd.docker.image.rootfs.diff.tar.gzip",
        ],
      );
      const container = (await run("buildah", [...flags, "from", "--tls-verify=false", name], env)).trim();
      const said = await runIn(container, ["voyage"], { flags, env });
      assert.match(said, /^voyage 420 from /);
    } finally {
      await served.close();
    }
  },
);

peerTest(
  ["buildah"],
  "a tagged image has its user, working folder and variables, and an entrypoint of its own",
  async () => {
    const layout = join(root, "settings");
    const { flags, env } = containerTools();
    const settings = [
      "--entrypoint",
      "voyage",
      "--user",
      "1000:1000",
      "--workdir",
      "/srv/data",
      "--label",
      "made=here",
    ];
    const config = join(root, "image.yaml");
    writeFileSync(config, "# overridden by a flag\nworkdir: /tmp\nenv: {GREETING: hello}\nexpose: ['80']\n");
    await push(`oci-layout:${layout}`, ...settings, "--image-config", config);
    const container = (await run("buildah", [...flags, "from", `oci:${layout}:app`], env)).trim();
    const script = "pwd; echo $GREETING; cat /proc/self/status";
    const said = await runIn(container, ["sh", "-c", script], { flags, env });
    assert.match(said, /^\/srv\/data\nhello\n/);
    assert.match(said, /^Uid:\s+1000\s/m);
    assert.match(said, /^Gid:\s+1000\s/m);
    const { OCIv1 } = JSON.parse(await run("buildah", [...flags, "inspect", container], env));
    const { Entrypoint, Cmd, ExposedPorts, Labels } = OCIv1.config;
    assert.deepEqual([Entrypoint, Cmd, ExposedPorts], [["voyage"], undefined, { "80/tcp": {} }]);
    assert.equal(Labels.made, "here");
  },
);

peerTest(["buildah", "umoci"], "a slim image with a view and a user of its own", async () => {
  const layout = join(root, "extras");
  const { flags, env } = containerTools();
  await push(`oci-layout:${layout}`, "--view", "/opt/view", "--add-user", "app:1234", "--slim");
  const container = (await run("buildah", [...flags, "from", `oci:${layout}:app`], env)).trim();
  const script = "command -v voyage; voyage; cd; pwd; echo done > file; cat file /proc/self/status";
  const said = await runIn(container, ["sh", "-c", script], { flags, env });
  assert.match(said, /^\/opt\/view\/bin\/voyage\nvoyage 420 from .*\n\/home\/app\ndone\n/);
  assert.match(said, /^Uid:\s+1234\s/m);
  assert.match(said, /^Gid:\s+1234\s/m);
  const bundle = join(root, "extras-bundle");
  await run("umoci", ["unpack", "--rootless", "--image", `${layout}:app`, bundle]);
  assert.match(readFileSync(join(bundle, "rootfs/etc/passwd"), "utf8"), /^app:x:1234:1234::\/home\/app:\/bin\/sh$/m);
});

const PROGRAM = '#include <stdio.h>\nint main(void) { puts("seventeen"); return 0; }\n';

for (const tool of ["strip", "eu-strip"])
  peerTest(
    [tool, "gcc", "readelf", "buildah"],
    `a program runs without its debug sections, which ${tool} removed`,
    async () => {
      const { store, sysroot } = await goldenStore();
      const prefix = store.locate(store.prefixOf(named(store, "voyage")));
      const [source, program] = [join(root, "seventeen.c"), join(prefix, "bin/seventeen")];
      writeFileSync(source, PROGRAM);
      await run("gcc", ["-g", "-o", program, source]);
      const bin = mkdtempSync(join(root, "bin-"));
      symlinkSync(findProgram(tool) ?? "", join(bin, tool));
      const layout = join(root, `stripped-${tool}`);
      const from = ["--sysroot", sysroot, "--store", store.root, `oci-layout:${layout}`, "fleet", "--tag", "app"];
      const env = { XDG_CACHE_HOME: mkdtempSync(join(root, "cache-")), PATH: bin };
      const args = ["--base-image", `oci-layout:${base}:small`, "--no-check-run", "--strip"];
      const ran = await stave(["push", ...from, ...args], { env });
      assert.equal(ran.status, 0, ran.stderr);
      const { flags, env: confined } = containerTools();
      const container = (await run("buildah", [...flags, "from", `oci:${layout}:app`], confined)).trim();
      // The base has no C library of its own.
      const mounted = (await run("buildah", [...flags, "mount", container], confined)).trim();
      const stripped = join(mounted, store.prefixOf(named(store, "voyage")), "bin/seventeen");
      assert.match(await run("readelf", ["-SW", program]), /\.debug_info/);
      assert.doesNotMatch(await run("readelf", ["-SW", stripped]), /\.debug_/);
      assert.equal(statSync(stripped).mode, statSync(program).mode);
      assert.equal(await run(stripped, []), "seventeen\n");
      assert.match(await runIn(container, ["voyage"], { flags, env: confined }), /^voyage 420 /);
    },
  );
