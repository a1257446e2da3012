// Proves what a CACHE argument means, for every verb that takes one.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { SpackFiles } from "../../../lib/api/from-spack/spack-files.ts";
import { cacheLocation, splitCache } from "../../../lib/api/places/cache-choice.ts";
import { formatCache } from "../../../lib/api/places/mirror-location.ts";
import type { Context } from "../../../lib/cli/machine/context.ts";
import type { ErrorCode } from "../../../lib/errors.ts";
import { LayoutTarget } from "../../../lib/target/layout/layout.ts";
import { systemClock } from "../../../lib/util/time.ts";
import { failsWith } from "../../support/errors.ts";
import { temporaryFolder } from "../../support/tree.ts";

const scope = temporaryFolder();
mkdirSync(join(scope, "mirror/v3"), { recursive: true });
writeFileSync(
  join(scope, "mirrors.yaml"),
  `mirrors:
  team: {fetch: "oci://ghcr.io/org/read", push: "oci+http://localhost:5000/org/write"}
  old: {url: "sftp://user:secret@mirror.example/spack"}
  web: {url: "https://user:secret@mirror.example/spack/"}
`,
);
const contextWith = (env: Record<string, string>): Context => ({
  env,
  cwd: scope,
  home: scope,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  clock: systemClock,
  signal: new AbortController().signal,
  arch: "x64",
  uid: 1000,
});
const filesWith = (env: Record<string, string>): SpackFiles =>
  new SpackFiles(contextWith(env), { scope: [scope], env: false });

const found: { given: string | undefined; env?: Record<string, string>; push?: boolean; expect: string }[] = [
  { given: undefined, expect: "oci-layout:./stave-cache" },
  { given: undefined, env: { STAVE_CACHE: "oci://ghcr.io/a/b" }, expect: "oci://ghcr.io/a/b" },
  { given: "oci://ghcr.io/a/b", env: { STAVE_CACHE: "x" }, expect: "oci://ghcr.io/a/b" },
  { given: "oci+http://localhost:5000/a/b", expect: "oci+http://localhost:5000/a/b" },
  { given: "ghcr.io/a/b", expect: "oci://ghcr.io/a/b" },
  { given: "oci-layout:/some/dir", expect: "oci-layout:/some/dir" },
  { given: "./stave-cache", expect: "oci-layout:./stave-cache" },
  { given: "/some/dir", expect: "oci-layout:/some/dir" },
  { given: "..", expect: "oci-layout:.." },
  { given: "oci:dir", expect: "oci-layout:dir" },
  { given: "file:///some/dir/", expect: "file:///some/dir" },
  { given: "s3://Cache_1/a/b/", expect: "s3://Cache_1/a/b" },
  { given: "web", expect: "https://mirror.example/spack" },
  { given: "./mirror", expect: "./mirror" },
  { given: "team", expect: "oci://ghcr.io/org/read" },
  { given: "team", push: true, expect: "oci+http://localhost:5000/org/write" },
];
for (const { given, env = {}, push = false, expect } of found)
  test(`${given}${env["STAVE_CACHE"] ? ` with STAVE_CACHE=${env["STAVE_CACHE"]}` : ""} to ${push ? "push" : "fetch"} is ${expect}`, () => {
    const { location } = cacheLocation(given, push ? "push" : "fetch", contextWith(env), () => filesWith(env));
    assert.equal(formatCache(location), expect);
  });

const refused: { given: string; code: ErrorCode; message: RegExp }[] = [
  { given: "old", code: "UNSUPPORTED", message: /^sftp:\/\/\*\*\*@mirror\.example\/spack cannot be read: / },
  { given: "file://host/where", code: "REFERENCE_INVALID", message: /invalid mirror "file:/ },
  { given: "s3://b/../c", code: "REFERENCE_INVALID", message: /expected s3:\/\/BUCKET\/FOLDER/ },
  { given: "https://host/where#x", code: "REFERENCE_INVALID", message: /without #/ },
  { given: "nobody", code: "USAGE", message: /no mirror is named nobody, expected one of team, old/ },
  { given: "oci-archive:a.tar", code: "UNSUPPORTED", message: /"oci-archive:" cannot be read/ },
  { given: "docker-archive:a.tar", code: "UNSUPPORTED", message: /"docker-archive:" cannot be read/ },
  { given: "oci://ghcr.io/a/b:tag", code: "USAGE", message: /not one image/ },
  { given: "oci-layout:./a:tag", code: "USAGE", message: /not one image/ },
  { given: "oci://", code: "REFERENCE_INVALID", message: /reference/ },
];
for (const { given, code, message } of refused)
  test(`${given} is refused with ${code}`, async () => {
    const error = await failsWith(
      code,
      () => cacheLocation(given, "fetch", contextWith({}), () => filesWith({})),
      message,
    );
    assert.ok(!`${error.message}${error.hint}`.includes("secret"));
  });

test("the first argument is the cache when it names a place, and a spec when it can be one", async () => {
  const layout = join(scope, "layout.json");
  await LayoutTarget.open(layout, { clock: systemClock, create: true });
  for (const place of [
    "./cache",
    "../cache",
    "/srv/cache",
    ".",
    "oci:cache",
    "oci-archive:a.tar",
    "docker-archive:a.tar",
    "oci://ghcr.io/a/b",
    "localhost:5000/a/b",
    "./layout.json",
  ])
    assert.deepEqual(splitCache([place, "hdf5"], [], scope), { cache: place, specs: ["hdf5"] }, place);
  for (const spec of ["hdf5", "/abc1234", "./hdf5.spec.json", "hdf5@1.2:", "zlib+pic"])
    assert.deepEqual(splitCache([spec, "x"], [], scope), { cache: undefined, specs: [spec, "x"] }, spec);
});
