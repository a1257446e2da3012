// Proves that all programs that unpack layers read every gzip member of them.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { systemClock } from "../../lib/util/time.ts";
import { makeStore } from "../../scripts/make-store.ts";
import { stave } from "../support/cli.ts";
import { peerTest } from "../support/peers.ts";
import { temporaryFolder } from "../support/tree.ts";

const MEMBER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
const PYTHON = "import gzip, shutil, sys; shutil.copyfileobj(gzip.open(sys.argv[1]), sys.stdout.buffer)";
const READERS = [
  ["gzip", "-dc"],
  ["unpigz", "-dc"],
  ["igzip", "-dc"],
  ["python3", "-c", PYTHON],
] as const;

const manifest = z.looseObject({
  config: z.looseObject({ digest: z.string() }),
  layers: z.array(z.looseObject({ digest: z.string() })),
});
const config = z.looseObject({ rootfs: z.looseObject({ diff_ids: z.array(z.string()) }) });

peerTest(
  READERS.map(([program]) => program),
  "gzip, pigz, igzip and Python read every member of a layer",
  async () => {
    const [root, folder] = [join(temporaryFolder(), "store"), temporaryFolder()];
    makeStore(root, { bytes: 24e6, files: 400, specs: 4, seed: 3 });
    const found = await stave(["find", "--store", root, "--no-env", "--json"]);
    const { report } = JSON.parse(found.stdout);
    // Some specs of the invented store are externals, which a push refuses.
    const hashes: string[] = report.specs
      .filter(({ name }: { name: string }) => !["gcc", "glibc", "gmake", "perl", "python"].includes(name))
      .map(({ hash }: { hash: string }) => `/${hash}`);
    const env = { XDG_CACHE_HOME: temporaryFolder() };
    const flags = ["--store", root, "--no-env", "--tag", "all"];
    const pushed = await stave(["push", `oci-layout:${folder}`, ...flags, ...hashes], { env });
    assert.equal(pushed.status, 0, pushed.stderr);
    const layout = await LayoutTarget.open(folder, { clock: systemClock });
    const blob = (digest: string): string => join(folder, "blobs", digest.replace(":", "/"));
    const image = manifest.parse(JSON.parse((await layout.fetchManifest("all")).bytes.toString()));
    const { rootfs } = config.parse(JSON.parse(readFileSync(blob(image.config.digest), "utf8")));
    let members = 0;
    for (const [at, { digest }] of image.layers.entries()) {
      const bytes = readFileSync(blob(digest));
      for (let from = bytes.indexOf(MEMBER); from >= 0; from = bytes.indexOf(MEMBER, from + 1)) members++;
      for (const [program, ...args] of READERS) {
        const content = execFileSync(program, [...args, blob(digest)], { maxBuffer: 1e9 });
        const diffId = `sha256:${createHash("sha256").update(content).digest("hex")}`;
        assert.equal(diffId, rootfs.diff_ids[at], program);
      }
    }
    assert.ok(members > 4 * image.layers.length, `${members} members`);
  },
);
