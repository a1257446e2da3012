// Proves that the commands in hints can be typed as they stand: with the store, the cache and the flags of the call.
import assert from "node:assert/strict";
import { test } from "node:test";
import { addTransport, verbCommand } from "../../lib/cli/arguments/shared-flags.ts";
import { addSpack } from "../../lib/cli/arguments/spack-options.ts";
import { callWords, typeable } from "../../lib/cli/output/typeable.ts";
import { goldenCache } from "../support/caches.ts";
import { stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";
import { goldenStore } from "../support/push.ts";
import { temporaryFolder } from "../support/tree.ts";

const { sysroot } = await goldenStore();
const work = temporaryFolder();
const cache = `oci-layout:${golden("spack-1.2/plain.oci")}`;
const store = ["--sysroot", sysroot, "--store", "/opt/harbor/store"];

/** A cache without an index, for one case. */
async function bare(): Promise<string> {
  const { target } = await goldenCache("spack-1.2/plain.oci");
  await target.deleteManifest("index.spack");
  return target.name;
}
const caches = [await bare(), await bare(), await bare()] as const;

/** Failing calls, with the beginning of the command that the hint tells to type. */
const cases: { args: string[]; command: string }[] = [
  { args: ["spec", "nosuch", ...store], command: "stave find --store" },
  { args: ["verify", "nosuch", ...store], command: "stave find --store" },
  { args: ["push", "oci-layout:./x", "nosuch", ...store], command: "stave find --store" },
  { args: ["uninstall", "nosuch", ...store], command: "stave find --store" },
  { args: ["env", "nosuch", ...store], command: "stave find --store" },
  { args: ["view", "./view", "nosuch", ...store], command: "stave find --store" },
  {
    args: ["save-specfile", "--root-spec", "hull", "-s", "zlib", "--specfile-dir", "./s", ...store],
    command: "stave spec /uwlohrq --store",
  },
  { args: ["install", cache, "nosuch", "--store", "./s"], command: `stave list -a ${cache} --store ./s` },
  { args: ["list", caches[0], "hull+shared"], command: `stave index ${caches[0]}` },
  {
    args: ["download", "hull+shared", "-p", "./d", "-m", caches[1]],
    command: `stave index ${caches[1]}`,
  },
  { args: ["diff", caches[2], cache], command: `stave index ${caches[2]}` },
  { args: ["inspect", `${cache}:nosuch`], command: `stave tags ${cache}` },
  { args: ["copy", `${cache}:nosuch`, "oci-layout:./to"], command: `stave tags ${cache}` },
];
for (const { args, command } of cases)
  test(`${args.slice(0, 2).join(" ").replaceAll(cache, "CACHE")}: ${command.replaceAll(cache, "CACHE").slice(0, 40)}`, async () => {
    const env = { XDG_CACHE_HOME: temporaryFolder(), SPACK_ROOT: "" };
    const failed = await stave(args, { cwd: work, env });
    const [, hinted = ""] = /hint: .*`(stave [^`]+)`/.exec(failed.stderr) ?? [];
    assert.ok(hinted.startsWith(command), `${failed.stderr}expected ${command}`);
    const [, ...typed] = hinted.split(" ");
    const ran = await stave(typed, { cwd: work, env });
    assert.equal(ran.status, 0, `${hinted}: ${ran.stderr}`);
  });

test("flags are taken over only by verbs that have them, and quoted for a shell", () => {
  const command = addTransport(addSpack(verbCommand("install", "")));
  command.parse(["--store", "/a b", "-e", "x", "--cacert", "c.pem", "--cacert", "d.pem", "--plain-http", "--json"], {
    from: "user",
  });
  const call = { ...callWords(command), cache: "oci://h/r" };
  const cases: [string, string][] = [
    ["see `stave find`", "see `stave find --store '/a b' --env x`"],
    ["see `stave tags h/r`", "see `stave tags h/r --plain-http --cacert c.pem --cacert d.pem`"],
    ["stave login h", "stave login h --plain-http --cacert c.pem --cacert d.pem"],
    ["make it: stave logout h", "make it: stave logout h"],
    [
      "`stave index --full oci://other/r`",
      "`stave index --full oci://other/r --store '/a b' --env x --plain-http --cacert c.pem --cacert d.pem`",
    ],
    [
      "`stave why-miss hull`",
      "`stave why-miss hull --mirror oci://h/r --store '/a b' --env x --plain-http --cacert c.pem --cacert d.pem`",
    ],
    ["report it to the makers of stave", "report it to the makers of stave"],
  ];
  for (const [hint, expected] of cases) assert.equal(typeable(hint, call), expected);
});
