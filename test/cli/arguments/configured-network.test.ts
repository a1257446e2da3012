// What Spack's configuration says about the network is obeyed when a cache is asked.
import assert from "node:assert/strict";
import { cpSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { configuredNetwork } from "../../../lib/cli/arguments/configured-network.ts";
import type { TransportFlags } from "../../../lib/cli/arguments/shared-flags.ts";
import { processContext } from "../../../lib/cli/machine/context.ts";
import { Output } from "../../../lib/cli/output/output.ts";
import { wholeFile } from "../../../lib/spack/text/yaml.ts";
import { stave } from "../../support/cli.ts";
import { golden } from "../../support/golden.ts";
import { startServe, tlsFile } from "../../support/serve.ts";
import { temporaryFolder } from "../../support/tree.ts";

let server: Awaited<ReturnType<typeof startServe>>;
const work = temporaryFolder();
const folder = join(work, "authorities");
before(async () => {
  cpSync(golden("spack-1.2/plain.oci"), join(work, "layout"), { recursive: true });
  mkdirSync(folder);
  cpSync(tlsFile("ca.crt"), join(folder, "ca.crt"));
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
    says: /warning: config:ssl_certs names .*missing\.crt, which is not there \(command line\)[\s\S]*\[TLS\]/,
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

test("the time-out of connections is that of the configuration, unless a flag names one", () => {
  const output = new Output(processContext(), "list", { quiet: true });
  const place = wholeFile("config.yaml");
  const timeout = (seconds: number, flags: TransportFlags) => {
    const connectTimeout = { value: seconds, place };
    const network = { connectTimeout, verifyTls: undefined, certificates: undefined };
    return configuredNetwork(flags, network, output).connectTimeout;
  };
  assert.deepEqual([timeout(7, {}), timeout(7, { connectTimeout: 3 }), timeout(0, {})], [7, 3, undefined]);
});
