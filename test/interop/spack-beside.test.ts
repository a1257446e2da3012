// Proves that real Spack and stave can install the same specs into one store at the same time.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { z } from "zod";
import { spackPeer } from "../../scripts/bench/spack.ts";
import { findProgram } from "../../scripts/peers.ts";
import { stave } from "../support/cli.ts";
import { madeCache } from "../support/made-cache.ts";
import { run, startDistribution } from "../support/peers.ts";
import { isOld, skip } from "../support/spack.ts";

const SPECS = 12;
/** More of them by hand. */
const ROUNDS = Number(process.env["STAVE_SPACK_ROUNDS"] ?? 1);
const verifiedSchema = z.object({
  report: z.object({
    specs: z.array(
      z.object({ hash: z.string(), prefix: z.string(), differences: z.record(z.string(), z.array(z.string())) }),
    ),
    interrupted: z.array(z.unknown()),
  }),
});
const reason =
  skip ||
  (isOld && "the specs are made for Spack 1.0 and later") ||
  (findProgram("docker-registry") ? false : "docker-registry is missing");

test("real Spack and stave install into one store at the same time, and both are content with it", {
  skip: reason,
  timeout: 120_000 + ROUNDS * 60_000,
}, async () => {
  // A short root: strings in programs cannot grow.
  const work = mkdtempSync(join(tmpdir(), "s-"));
  const registry = await startDistribution();
  try {
    const cache = `oci+http://${registry.host}/org/cache`;
    const { nodes, packages, specFile } = await madeCache(work, cache, SPECS, 3);
    const spack = spackPeer({ scratch: work, root: `${work}/0`, packages, mirror: cache });
    assert.ok(spack);
    const hashes = nodes.map(({ hash }) => hash);
    for (let round = 1; round <= ROUNDS; round++) {
      const store = `${work}/${round}`;
      mkdirSync(store);
      const env = { ...spack.env, PATH: process.env["PATH"] ?? "" };
      const asked = (...args: string[]): Promise<string> => {
        const into = ["-c", `config:install_tree:root:${store}`, "-c", "config:installer:old"];
        const [program = "", ...all] = spack.command("-c", "concretizer:unify:false", ...into, ...args);
        return run(program, all, env);
      };
      const installing = async (delay: number, ...args: string[]): Promise<void> => {
        await new Promise((resolve) => setTimeout(resolve, delay));
        const ran = await stave(["install", cache, "--store", store, "--otherarch", "--no-env", "-q", ...args], {
          env: { XDG_CACHE_HOME: join(work, "xdg") },
        });
        assert.equal(ran.status, 0, ran.stderr);
      };
      const own = hashes.map((hash) => `/${hash}`);
      await Promise.all([
        asked("install", "--cache-only", "--no-check-signature", ...nodes.map(specFile)),
        // Spack takes a while to start.
        installing(500 * round, ...own),
        installing(1000 * round, ...own.toReversed().slice(0, SPECS / 2)),
      ]);
      const found: { hash: string }[] = JSON.parse(await asked("find", "--json", "--no-groups"));
      const missing = hashes.filter((hash) => !found.some((record) => record.hash === hash));
      assert.deepEqual(missing, []);
      const verified = await stave(["verify", "--store", store, "--no-env", "--json"], {
        env: { XDG_CACHE_HOME: join(work, "xdg") },
      });
      const { specs, interrupted } = verifiedSchema.parse(JSON.parse(verified.stdout)).report;
      assert.deepEqual(interrupted, []);
      // Spack lists its file of times in what it installs from a cache, and then leaves it out of the comparison, so it
      // says of its own installations that this file was deleted.
      for (const { prefix, differences } of specs)
        for (const [path, problems] of Object.entries(differences))
          assert.deepEqual([path, problems], [`${prefix}/.spack/install_times.json`, ["deleted"]]);
      const clean = specs.filter(({ differences }) => Object.keys(differences).length === 0);
      if (clean.length > 0) await asked("verify", "manifest", ...clean.map(({ hash }) => `/${hash}`));
    }
  } finally {
    await registry.stop();
    rmSync(work, { recursive: true, force: true });
  }
});
