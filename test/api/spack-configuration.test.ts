// The library takes mirrors and network settings from Spack's configuration, as the command line does.
import assert from "node:assert/strict";
import { cpSync, existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { configuredNetwork } from "../../lib/api/places/configured-network.ts";
import type { NetworkOptions } from "../../lib/api/places/connection.ts";
import * as stave from "../../lib/index.ts";
import { wholeFile } from "../../lib/spack/text/yaml.ts";
import { configTree, spackFiles } from "../support/config-tree.ts";
import { failsWith } from "../support/errors.ts";
import { golden, goldenSysroot } from "../support/golden.ts";
import { startServe, tlsFile } from "../support/serve.ts";
import { temporaryFolder } from "../support/tree.ts";

const work = temporaryFolder();
let plain: Awaited<ReturnType<typeof startServe>>;
let secure: Awaited<ReturnType<typeof startServe>>;
before(async () => {
  cpSync(golden("spack-1.2/plain.oci"), join(work, "registry/specs"), { recursive: true });
  plain = await startServe({ directory: join(work, "registry") });
  secure = await startServe({ directory: join(work, "registry"), tls: true });
});
after(() => Promise.all([plain.close(), secure.close()]));

/** Options by which functions see only this configuration; the notes and warnings of a call are added to `told`. */
function optionsFor(files: Record<string, string>, env: Record<string, string> = {}) {
  const spack = Object.entries(files).map(([name, text]) => [`user/${name}`, text] as const);
  const root = configTree({ ...spackFiles("spack", "1.2.0"), ...Object.fromEntries(spack) });
  const told: string[] = [];
  const onProgress = (event: stave.ProgressEvent): void => {
    if (event.type === "note" || event.type === "warning") told.push(event.text);
  };
  const all = { SPACK_ROOT: join(root, "spack"), SPACK_USER_CONFIG_PATH: join(root, "user"), ...env };
  const surroundings = { env: { ...all, XDG_CACHE_HOME: work }, home: work, cwd: work };
  return { told, options: { environment: false as const, retries: 0, surroundings, onProgress } };
}

const mirrors = (...lines: string[]): Record<string, string> => ({ "mirrors.yaml": `mirrors:\n${lines.join("\n")}\n` });

test("without a cache, list, install and openCache use the mirrors of the configuration in order", async () => {
  const { told, options } = optionsFor(
    mirrors(
      `  empty: {url: "oci://${plain.host}/none", signed: false}`,
      `  files: {url: "sftp://host/mirror"}`,
      `  full: {url: "oci://${plain.host}/specs", signed: false}`,
    ),
  );
  const report = await stave.list(undefined, { ...options, anyArchitecture: true, specs: ["hull"] });
  assert.deepEqual(
    report.specs.map(({ name, cache }) => [name, cache]),
    [["hull", `${plain.host}/specs`]],
  );
  assert.match(
    told.join("\n"),
    /^not used, because stave has no client for them: .*files .*\nusing the mirrors empty .*, full /,
  );
  const install = { ...options, anyArchitecture: true, store: join(work, "s"), specs: ["hull"] };
  const plan = await stave.planInstall(undefined, install);
  assert.ok(plan.specs.some(({ name, cache }) => name === "hull" && cache === `${plain.host}/specs`));
  await using opened = await stave.openCache(undefined, options);
  assert.equal(opened.mirror, "empty");
});

test("without a cache, push uses the mirror that is meant for pushes", async () => {
  const { options } = optionsFor(
    mirrors(`  a: {url: "oci://${plain.host}/a"}`, `  b: {url: "oci://${plain.host}/b", autopush: true}`),
  );
  const sysroot = await goldenSysroot("spack-1.2");
  const plan = await stave.planPush(undefined, { ...options, store: "/opt/harbor/store", sysroot, specs: ["hull"] });
  assert.equal(plan.destination, `${plain.host}/b`);
});

test("$STAVE_CACHE comes before the mirrors", async () => {
  const given = { STAVE_CACHE: `oci://${plain.host}/specs` };
  const { told, options } = optionsFor(mirrors(`  a: {url: "oci://${plain.host}/a"}`), given);
  const report = await stave.list(undefined, { ...options, anyArchitecture: true });
  assert.equal(report.cache, `${plain.host}/specs`);
  assert.deepEqual(told, []);
});

test("certificates of the configuration are trusted, and only an option says otherwise", async () => {
  const cache = (): string => `oci://${secure.host}/specs`;
  const work: Record<string, (options: stave.CommonOptions & stave.SpackOptions) => Promise<unknown>> = {
    list: (options) => stave.list(cache(), options),
    openCache: async (options) => await (await stave.openCache(cache(), options)).cache.readIndex(),
    copy: ({ environment: _, ...options }) => stave.copy(`${cache()}:none`, "oci-layout:./copy", options),
  };
  for (const [name, run] of Object.entries(work)) {
    await failsWith("TLS", run(optionsFor({}).options));
    const { options } = optionsFor({ "config.yaml": `config:\n  ssl_certs: ${tlsFile("ca.crt")}\n` });
    if (name === "copy") await failsWith("NOT_FOUND", run(options));
    else await run(options);
    const { options: unchecked, told } = optionsFor({ "config.yaml": "config:\n  verify_ssl: false\n" });
    if (name === "copy") await failsWith("NOT_FOUND", run(unchecked));
    else await run(unchecked);
    assert.match(told.join("\n"), /certificates are not checked: config:verify_ssl is false/);
    await failsWith("TLS", run({ ...unchecked, insecureTls: false }));
  }
  assert.ok(!existsSync(join(process.cwd(), "copy")));
});

test("the time-out of connections is that of the configuration, unless an option names one", () => {
  const place = wholeFile("config.yaml");
  const timeout = (seconds: number, options: NetworkOptions) => {
    const connectTimeout = { value: seconds, place };
    const settings = { connectTimeout, verifyTls: undefined, certificates: undefined };
    return configuredNetwork(options, settings, assert.fail).connectTimeout;
  };
  assert.deepEqual([timeout(7, {}), timeout(7, { connectTimeout: 3000 }), timeout(0, {})], [7000, 3000, undefined]);
});
