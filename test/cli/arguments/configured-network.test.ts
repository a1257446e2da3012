// Proves that every verb that talks to a registry applies the network settings of Spack's configuration.
import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { stave } from "../../support/cli.ts";
import { configTree, spackFiles } from "../../support/config-tree.ts";
import { golden } from "../../support/golden.ts";
import { startServe, tlsFile } from "../../support/serve.ts";
import { temporaryFolder } from "../../support/tree.ts";

let server: Awaited<ReturnType<typeof startServe>>;
const work = temporaryFolder();
const folder = join(work, "authorities");
let tag = "";
before(async () => {
  cpSync(golden("spack-1.2/plain.oci"), join(work, "layout"), { recursive: true });
  mkdirSync(folder);
  cpSync(tlsFile("ca.crt"), join(folder, "ca.crt"));
  tag = (await stave(["tags", `oci-layout:${join(work, "layout")}`])).stdout.split("\n")[0] ?? "";
  server = await startServe({ directory: join(work, "layout"), tls: true });
});
after(() => server.close());

const missing = join(work, "missing.crt");
const cases: { name: string; settings: string[]; status: number; says: RegExp }[] = [
  { name: "nothing is configured", settings: [], status: 4, says: /\[TLS\]/ },
  {
    name: "a file of authorities",
    settings: [`config:ssl_certs:${tlsFile("ca.crt")}`],
    status: 0,
    says: /^\d+ cached/,
  },
  { name: "a folder of authorities", settings: [`config:ssl_certs:${folder}`], status: 0, says: /^\d+ cached/ },
  {
    name: "a file that is not there",
    settings: [`config:ssl_certs:${missing}`],
    status: 4,
    says: /warning: config:ssl_certs names .*missing\.crt, which does not exist \(command line\)[\s\S]*\[TLS\]/,
  },
  {
    name: "certificates need not fit",
    settings: ["config:verify_ssl:false"],
    status: 0,
    says: /^warning: certificates are not checked: config:verify_ssl is false \(command line\)\n\d+ cached/,
  },
];

for (const { name, settings, status, says } of cases)
  test(name, async () => {
    const cache = `oci://${server.host}/layout`;
    const flags = settings.flatMap((setting) => ["-c", setting]);
    const ran = await stave(["list", cache, "-a", "--no-env", "--retries", "0", ...flags], {
      env: { XDG_CACHE_HOME: work, SPACK_DISABLE_LOCAL_CONFIG: "1" },
    });
    assert.match(ran.stderr, says);
    assert.equal(ran.status, status, ran.stderr);
  });

/** Every verb that talks to a registry and has no flags for Spack's files. */
const verbs: { name: string; args: () => string[] }[] = [
  { name: "tags", args: () => ["tags", `oci://${server.host}/layout`] },
  { name: "inspect", args: () => ["inspect", `oci://${server.host}/layout:${tag}`] },
  { name: "copy", args: () => ["copy", `oci://${server.host}/layout:${tag}`, `oci-layout:${temporaryFolder()}/copy`] },
  { name: "login", args: () => ["login", server.host, "-u", "me", "-p", "pw", "--authfile", join(work, "auth.json")] },
];

/** The environment of a user whose Spack has this configuration; its `spack` creates a file if it is started. */
function userOf(config: string): { env: Record<string, string>; started: string } {
  const root = configTree({ ...spackFiles("spack", "1.2.0"), "user/config.yaml": config });
  const started = join(root, "started");
  writeFileSync(join(root, "spack/bin/spack"), `#!/bin/sh\ntouch '${started}'\n`, { mode: 0o755 });
  const env = { SPACK_ROOT: join(root, "spack"), SPACK_USER_CONFIG_PATH: join(root, "user"), XDG_CACHE_HOME: work };
  return { env, started };
}

for (const { name, args } of verbs)
  test(`${name} reads Spack's settings for the network, and never starts Spack`, async () => {
    const run = async (config: string, status: number, says: RegExp, ...more: string[]) => {
      const { env, started } = userOf(config);
      const ran = await stave([...args(), "--retries", "0", ...more], { env });
      assert.match(ran.stderr, says);
      assert.equal(ran.status, status, ran.stderr);
      assert.ok(!existsSync(started), "Spack was started");
    };
    await run("config: {}\n", 4, /\[TLS\]/);
    await run(`config:\n  ssl_certs: ${tlsFile("ca.crt")}\n`, 0, /^(?!.*ssl_certs)/s);
    await run("config:\n  verify_ssl: false\n", 0, /warning: certificates are not checked: config:verify_ssl is false/);
    // A flag for certificates suffices, whatever state Spack is in.
    const broken = /warning: the network settings of Spack's configuration are not used: .*config\.yaml/;
    await run("config:\n  verify_ssl: [\n", 0, broken, "--cacert", tlsFile("ca.crt"));
  });

test("a verb on directories alone does not read Spack's settings", async () => {
  const { env } = userOf("config:\n  verify_ssl: [\n");
  const ran = await stave(["tags", `oci-layout:${join(work, "layout")}`], { env });
  assert.deepEqual([ran.status, ran.stderr], [0, ""]);
});
