// Proves that variables in configured paths are substituted. The rows were compared with Spack 1.2.
import assert from "node:assert/strict";
import { test } from "node:test";
import { osName } from "../../../lib/spack/config/machine.ts";
import type { Installation } from "../../../lib/spack/config/spack-installation.ts";
import { canonicalPath, unresolved } from "../../../lib/spack/config/substitute.ts";
import { wholeFile } from "../../../lib/spack/text/yaml.ts";
import { hostAt } from "../../support/config-tree.ts";
import { mustEnd } from "../../support/must-end.ts";

const installation: Installation = { root: "/opt/spack", version: "1.2.0.dev0", style: "nested", from: "option" };
const host = hostAt("/r", { SITE: "s1", USER: "other", HOME: "/r/home", TMPDIR: "/scratch" });

// Braces are written <>, because the linter takes them for a template.
const braced = (text: string): string => text.replaceAll("<", "$" + "{").replaceAll(">", "}");

const ROWS: [text: string, expect: string][] = [
  ["$spack/x", "/opt/spack/x"],
  ["<SPACK>x", "/opt/spackx"],
  ["$Spack/$tempDir", "/opt/spack/scratch"],
  ["$user/$USER", "/wd/ada/ada"],
  ["~/x", "/r/home/x"],
  ["~", "/r/home"],
  ["/a/~/b", "/a/~/b"],
  ["a/b/../c", "/wd/a/c"],
  ["", "/wd"],
  ["$tempdir/x", "/scratch/x"],
  ["$user_cache_path/c", "/r/home/.spack/c"],
  ["$arch/$architecture", "/wd/linux-debian12-zen3/linux-debian12-zen3"],
  ["$platform-$os-$operating_system-$target-$target_family", "/wd/linux-debian12-debian12-zen3-x86_64"],
  ["$date", "/wd/2026-02-03"],
  ["$env/x", "/wd/the-env/x"],
  ["$spack_short_version", "/wd/1.2"],
  ["$spack_instance_id", "/wd/zesqjtu"],
  ["<SITE>/y", "/wd/s1/y"],
  ["$SITE_x", "/wd/$SITE_x"],
  ["$NOPE/<NOPE>", "/wd/$NOPE/<NOPE>"],
  ["$__proto__/$constructor", "/wd/$__proto__/$constructor"],
  ["file:///a/b%20c", "/a/b c"],
  ["file://localhost/a", "/a"],
  ["https://h/$SITE", "https://h/s1"],
  ["/a//b/", "/a/b"],
  ["$spack$user", "/opt/spackada"],
  ["x$", "/wd/x$"],
  ["<>", "/wd/<>"],
];
for (const [text, expect] of ROWS.map((row) => row.map(braced)) as typeof ROWS)
  test(`${JSON.stringify(text)} is ${expect}`, () => {
    const environment = "/wd/the-env";
    const path = canonicalPath(text, wholeFile("/wd/config.yaml"), { host, installation, environment });
    assert.equal(path, text.startsWith("$env") ? "/wd/the-env/x" : expect);
  });

test("what is not known stays, and can be told", () => {
  const bare = { host: hostAt("/r", {}, { os: undefined }) };
  assert.equal(
    canonicalPath(braced("/x/$spack/<arch>/$env/$os"), undefined, bare),
    braced("/x/$spack/<arch>/$env/$os"),
  );
  assert.deepEqual(unresolved(braced("/x/$spack/<arch>")), ["$spack", braced("<arch>")]);
  assert.equal(canonicalPath("a", undefined, bare), "/r/a", "a path in no file is relative to the working folder");
});

test("a run of two million open braces is read to its end", () => {
  mustEnd(() => canonicalPath(braced("<").repeat(2_000_000), undefined, { host }));
});

const SYSTEMS: [text: string, expect: string | undefined][] = [
  ['ID=debian\nVERSION_ID="12"\n', "debian12"],
  ['NAME=Ubuntu\nID=ubuntu\nVERSION_ID="24.04"\n', "ubuntu24.04"],
  ['ID="rhel"\nVERSION_ID="9.4"\n', "rhel9"],
  ['ID="ol"\nVERSION_ID="8.9"\n', "oracle8"],
  ['ID="opensuse-leap"\nVERSION_ID="15.5"\n', "opensuse15"],
  ['ID="opensuse-tumbleweed"\nVERSION_ID="20240101"\n', undefined],
  ["ID=arch\n", "arch"],
  ["ID=my-linux\nVERSION_ID=1-beta\n", "my_linux1_beta"],
  ["", undefined],
];
for (const [text, expect] of SYSTEMS)
  test(`the operating system of ${JSON.stringify(text)}`, () => assert.equal(osName(text), expect));
