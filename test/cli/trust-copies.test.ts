// Proves what becomes of signatures when images are copied, joined, moved and removed: they are carried along, removed
// with their image, or it is said that what is new has none.
import assert from "node:assert/strict";
import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Secret } from "../../lib/printable/secret.ts";
import { PrivateKey } from "../../lib/sign/key/private-key.ts";
import { stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";
import { goldenMirror } from "../support/mirrors.ts";
import { goldenStore } from "../support/push.ts";
import { temporaryFolder } from "../support/tree.ts";

const work = temporaryFolder();
const { sysroot } = await goldenStore();
const key = await PrivateKey.generate();
writeFileSync(join(work, "release.key"), await key.sealed(new Secret("pw")));
writeFileSync(join(work, "release.pub"), key.publicKey.pem);
const env = {
  ...{ COSIGN_PASSWORD: "pw", HOME: work, XDG_CACHE_HOME: join(work, "remembered"), SPACK_ROOT: "" },
  STAVE_TRUST: join(work, "trust.json"),
};
writeFileSync(
  join(work, "trust.json"),
  JSON.stringify({
    version: 1,
    default: { require: "none" },
    caches: { [`oci-layout:${work}`]: { require: "signature", signers: ["release"], index: "signed" } },
    signers: { release: { key: "release.pub" } },
  }),
);
const HULL = "hull-1.10.1-uwlohrquwwehihrnbieawl7jsmu7l2ww.spack";
const REMINDER = /; the trust policy requires signatures here: `stave sign oci-layout:[^`]+`/;

async function says(args: string[], text: RegExp | undefined): Promise<void> {
  const { status, stdout, stderr } = await stave(args, { cwd: work, env });
  assert.equal(status, 0, `${args.join(" ")}: ${stdout}${stderr}`);
  if (text === undefined) assert.doesNotMatch(stderr, REMINDER, args.join(" "));
  else {
    assert.match(stderr, REMINDER, args.join(" "));
    assert.match(stderr, text);
  }
}
const verified = async (place: string): Promise<boolean> =>
  (await stave(["verify", place, "--all"], { cwd: work, env })).status === 0;

cpSync(golden("spack-1.2/plain.oci"), join(work, "signed"), { recursive: true });
await says(["sign", "oci-layout:./signed", "--key", "release.key", "--all"], undefined);
assert.ok(await verified("oci-layout:./signed"));

test("a copy carries signatures with --referrers, and says that it has none without", async () => {
  const from = "oci-layout:./signed:fleet-env";
  await says(["copy", from, "oci-layout:./bare:fleet-env"], /the copy has no signatures/);
  assert.ok(!(await verified("oci-layout:./bare:fleet-env")));
  await says(["copy", from, "oci-layout:./bare:fleet-env", "--dry-run"], undefined);
  await says(["copy", "--referrers", from, "oci-layout:./whole:fleet-env"], undefined);
  assert.ok(await verified("oci-layout:./whole:fleet-env"));
  await says(["copy", "--referrers", from, "oci-layout:./whole:other"], /this is another one/);
  assert.ok(!(await verified("oci-layout:./whole:other")));
  await says(["copy", "--referrers", "--all-tags", "oci-layout:./signed", "oci-layout:./all"], undefined);
  assert.ok(await verified("oci-layout:./all"));
});

test("a sync carries signatures of images, and says that its new index has none", async () => {
  await says(["sync", "oci-layout:./signed", "oci-layout:./synced", "--no-env"], /the new index has no signature/);
  assert.ok(await verified(`oci-layout:./synced:${HULL}`));
  const mirror = `file://${await goldenMirror(3)}`;
  await says(["sync", "-u", mirror, "oci-layout:./made", "--no-env"], /images made of archives have no signatures/);
});

test("a new index, of specs or of platforms, is not signed", async () => {
  cpSync(join(work, "signed"), join(work, "indexed"), { recursive: true });
  await says(["index", "oci-layout:./indexed", "--no-env"], undefined);
  await says(["index", "oci-layout:./indexed", "--full", "--no-env"], /the new index has no signature/);
  await says(["copy", "oci-layout:./signed:fleet-env", "oci-layout:./platforms:amd64"], /no signatures/);
  const join2 = ["image-index", "oci-layout:./platforms:app", "oci-layout:./platforms:amd64"];
  await says(join2, /the index of platforms has no signature/);
  await says(join2, undefined);
  await says(["sign", "oci-layout:./platforms:app", "--key", "release.key"], undefined);
  assert.ok(await verified("oci-layout:./platforms:app"));
});

test("a prune removes signatures with their images, and its new index has none", async () => {
  cpSync(join(work, "signed"), join(work, "pruned"), { recursive: true });
  writeFileSync(join(work, "keep"), "uwlohrquwwehihrnbieawl7jsmu7l2ww\n");
  const prune = ["prune", "oci-layout:./pruned", "-k", "keep", "--grace", "0s", "--no-env"];
  await says([...prune, "--yes", "--undo-file", "undo.json"], /the new index has no signature/);
  assert.ok(await verified(`oci-layout:./pruned:${HULL}`));
  const undo = ["prune", "oci-layout:./pruned", "--undo", "undo.json", "--no-env"];
  await says(undo, /signatures were removed with the images/);
});

test("a push without a signature says so, and one with it does not", async () => {
  const store = ["--sysroot", sysroot, "--store", "/opt/harbor/store", "--no-env"];
  await says(["push", "oci-layout:./pushed", "hull", ...store], /what was pushed has no signatures/);
  await says(["push", "oci-layout:./pushed2", "hull", "--sign", "release.key", ...store], undefined);
});
