// Layout directories made by somebody else, with links and FIFOs where folders and blobs belong: nothing outside is
// written or removed, and nothing hangs.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";

const work = mkdtempSync(join(tmpdir(), "stave-hostile-layout-"));
after(() => rmSync(work, { recursive: true, force: true }));
const source = golden("spack-1.2/plain.oci");
const blobName = "a".repeat(64);

/** A layout with a link in one place, to a folder outside that has a file of the user. */
function layoutWith(place: string, number: number): { layout: string; outside: string } {
  const [layout, outside] = [join(work, `layout-${number}`), join(work, `outside-${number}`)];
  mkdirSync(outside);
  for (const name of ["thesis.txt", blobName]) writeFileSync(join(outside, name), "precious");
  mkdirSync(join(layout, "blobs"), { recursive: true });
  writeFileSync(join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(layout, "index.json"), '{"schemaVersion":2,"manifests":[]}');
  rmSync(join(layout, place), { recursive: true, force: true });
  symlinkSync(place === ".stave-lock" ? join(outside, "made") : outside, join(layout, place));
  return { layout, outside };
}

for (const [number, place] of [".tmp", "blobs", "blobs/sha256", "blobs/sha512", ".stave-lock"].entries())
  test(`a link in place of ${place}: no file outside is written or removed`, async () => {
    const { layout, outside } = layoutWith(place, number);
    const before = readdirSync(outside);
    const { manifests } = JSON.parse(readFileSync(join(source, "index.json"), "utf8"));
    const name = manifests[0].annotations["org.opencontainers.image.ref.name"];
    const to = `oci-layout:${layout}`;
    const commands = [
      ["copy", `oci-layout:${source}:${name}`, `${to}:t`],
      ["prune", to, "--grace", "0s", "--yes", "--keep-within", "1s"],
      ["index", to, "--full"],
    ];
    for (const command of commands) {
      const ran = await stave(command, { env: { XDG_CACHE_HOME: join(work, "cache") } });
      if (command[0] === "copy") {
        assert.notEqual(ran.status, 0);
        assert.match(ran.stderr, /is a link, and nothing is written through links/);
      }
      assert.deepEqual(readdirSync(outside), before, command[0]);
    }
  });

test("a FIFO in place of a blob is an error, and no hang", async () => {
  const layout = join(work, "fifo");
  cpSync(source, layout, { recursive: true });
  const { manifests } = JSON.parse(readFileSync(join(layout, "index.json"), "utf8"));
  const [{ digest, annotations }] = manifests;
  const blob = join(layout, "blobs/sha256", digest.slice(7));
  renameSync(blob, join(work, "manifest"));
  execFileSync("mkfifo", [blob]);
  const name = annotations["org.opencontainers.image.ref.name"];
  const ran = await stave(["inspect", `oci-layout:${layout}:${name}`]);
  assert.notEqual(ran.status, 0);
  assert.match(ran.stderr, /is not a plain file|has no/);
});
