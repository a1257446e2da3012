// Proves that real Spack and stave can install the same specs into one store at the same time.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { z } from "zod";
import { spackPeer } from "../../scripts/bench/spack.ts";
import { stave } from "../support/cli.ts";
import { madeCache } from "../support/made-cache.ts";
import { run } from "../support/peers.ts";
import { startRegistry } from "../support/registry.ts";
import { isOld, skip } from "../support/spack.ts";
import { makeAuthority } from "../support/tls.ts";

const SPECS = 12;
/** Each of Spack's installers gets a round; run more rounds by hand. */
const INSTALLERS = ["old", "new"];
const ROUNDS = Number(process.env["STAVE_SPACK_ROUNDS"] ?? INSTALLERS.length);
/** What `verify` reports for Spack's own installations. */
const OF_SPACK: Readonly<Record<string, readonly string[]>> = {
  ".spack/install_times.json": ["deleted"],
  ".spack/spack-build-out.txt.gz": ["added"],
};
const verifiedSchema = z.object({
  report: z.object({
    specs: z.array(
      z.object({ hash: z.string(), prefix: z.string(), differences: z.record(z.string(), z.array(z.string())) }),
    ),
    interrupted: z.array(z.unknown()),
  }),
});
const reason = skip || (isOld && "the specs are made for Spack 1.0 and later");

test("real Spack and stave install into one store at the same time, and both are content with it", {
  skip: reason,
  timeout: 120_000 + ROUNDS * 60_000,
}, async () => {
  // A short root: strings in programs cannot grow.
  const work = mkdtempSync(join(tmpdir(), "s-"));
  const registry = await startRegistry();
  // Spack reads the index of an OCI cache only through TLS, and its new installer needs it.
  const authority = makeAuthority();
  const secure = createServer(authority.issue("server").pem, (q, a) => void registry.handle(q, a));
  await new Promise<void>((resolve) => secure.listen(0, "127.0.0.1", resolve));
  try {
    const cache = `oci+http://${registry.host}/org/cache`;
    const { nodes, packages, specFile } = await madeCache(work, cache, SPECS, 3);
    const { port } = secure.address() as AddressInfo;
    const mirror = `oci://127.0.0.1:${port}/org/cache`;
    const spack = spackPeer({ scratch: work, root: `${work}/0`, packages, mirror });
    assert.ok(spack);
    const hashes = nodes.map(({ hash }) => hash);
    for (let round = 1; round <= ROUNDS; round++) {
      const store = `${work}/${round}`;
      mkdirSync(store);
      const installer = INSTALLERS[round % INSTALLERS.length];
      const env = { ...spack.env, PATH: process.env["PATH"] ?? "", SSL_CERT_FILE: authority.certificate };
      const asked = (...args: string[]): Promise<string> => {
        const into = ["-c", `config:install_tree:root:${store}`, "-c", `config:installer:${installer}`];
        const [program = "", ...all] = spack.command("-c", "concretizer:unify:false", ...into, ...args);
        // The new installer cannot watch /dev/null.
        return run(program, all, env, "pipe");
      };
      const installing = async (start: Promise<unknown>, ...args: string[]): Promise<void> => {
        await start;
        const ran = await stave(["install", cache, "--store", store, "--otherarch", "--no-env", "-q", ...args], {
          env: { XDG_CACHE_HOME: join(work, "xdg") },
        });
        assert.equal(ran.status, 0, ran.stderr);
      };
      const own = hashes.map((hash) => `/${hash}`);
      // The new installer fails if another process installed something since it looked, so it starts first, and keeps
      // everything locked until its end.
      const first = installer === "new" ? untilPrefix(store) : setTimeout(500 * round);
      const second = installer === "new" ? first : setTimeout(1000 * round);
      await Promise.all([
        asked("install", "--cache-only", "--no-check-signature", ...nodes.map(specFile)),
        // Spack takes a while to start.
        installing(first, ...own),
        installing(second, ...own.toReversed().slice(0, SPECS / 2)),
      ]);
      const found: { hash: string }[] = JSON.parse(await asked("find", "--json", "--no-groups"));
      const missing = hashes.filter((hash) => !found.some((record) => record.hash === hash));
      assert.deepEqual(missing, []);
      const verified = await stave(["verify", "--store", store, "--no-env", "--json"], {
        env: { XDG_CACHE_HOME: join(work, "xdg") },
      });
      const { specs, interrupted } = verifiedSchema.parse(JSON.parse(verified.stdout)).report;
      assert.deepEqual(interrupted, []);
      // Spack lists the file of times of its own installations and leaves it out of the comparison, and the new
      // installer adds a log that it does not list.
      for (const { prefix, differences } of specs)
        for (const [path, problems] of Object.entries(differences))
          assert.deepEqual(problems, OF_SPACK[path.slice(`${prefix}/`.length)], path);
      const clean = specs.filter(({ differences }) => Object.keys(differences).length === 0);
      if (clean.length > 0) await asked("verify", "manifest", ...clean.map(({ hash }) => `/${hash}`));
    }
  } finally {
    secure.closeAllConnections();
    secure.close();
    await registry.close();
    authority.remove();
    rmSync(work, { recursive: true, force: true });
  }
});

/** Waits until a prefix appears in a store. */
async function untilPrefix(store: string): Promise<void> {
  while (!readdirSync(store).some((name) => !name.startsWith("."))) await setTimeout(10);
}
