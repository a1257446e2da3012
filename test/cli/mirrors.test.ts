// The verbs that read caches, with mirrors in folders and on web servers.
import assert from "node:assert/strict";
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { hashSync } from "bcryptjs";
import { stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";
import { gpgHome, noGpg } from "../support/gpg.ts";
import { copiedMirror, goldenMirror, startWeb, type TestWeb } from "../support/mirrors.ts";
import { goldenStore } from "../support/push.ts";
import { S3_ENV, startS3 } from "../support/s3-server.ts";
import { startServe } from "../support/serve.ts";
import { temporaryFolder } from "../support/tree.ts";

const goldenImages = golden("spack-1.2/plain.oci");
const folders = { 3: await goldenMirror(3), 2: await goldenMirror(2) };
let web: TestWeb;
let old: TestWeb;
before(async () => {
  web = await startWeb(folders[3]);
  old = await startWeb(folders[2]);
});
after(() => Promise.all([web.close(), old.close()]));

const run = (args: string[], env: Record<string, string> = {}): ReturnType<typeof stave> =>
  stave(args, { cwd: temporaryFolder(), env: { XDG_CACHE_HOME: temporaryFolder(), SPACK_ROOT: "", ...env } });
function shortFolder(): string {
  const folder = mkdtempSync("/tmp/m");
  shortFolders.push(folder);
  return folder;
}
const shortFolders: string[] = [];
process.on("exit", () => {
  for (const folder of shortFolders) rmSync(folder, { recursive: true, force: true });
});

const places = (): { name: string; place: string; specs: number; canList: boolean }[] => [
  { name: "a folder of layout 3", place: folders[3], specs: 8, canList: true },
  { name: "file:// of layout 2", place: `file://${folders[2]}`, specs: 7, canList: true },
  { name: "a web server with layout 3", place: `${web.url}/`, specs: 8, canList: false },
  { name: "a web server with layout 2", place: old.url, specs: 7, canList: false },
];

for (const at of [0, 1, 2, 3])
  test(`list, check, download, why-miss and install read ${["a folder of layout 3", "file:// of layout 2", "a web server with layout 3", "a web server with layout 2"][at]}`, async () => {
    const { place = "", specs = 0, canList = true } = places()[at] ?? {};
    const lock = ["-e", golden(specs === 8 ? "spack-1.2" : "spack-0.23")];
    // Longer roots have no room for the prefixes in the golden binaries.
    const store = shortFolder();
    const folder = temporaryFolder();
    const [list, checked, all, download, whyMiss, install] = await Promise.all([
      run(["list", place, "-a", "--json"]),
      run(["check", "-m", place, "--deep", ...lock]),
      run(["check", "-m", place, "--all", "--bytes"]),
      run(["download", "-m", place, "hull", "-p", folder]),
      run(["why-miss", "-m", place, "hull", ...lock]),
      run(["install", "-u", place, "fleet", "-o", "--store", store, "--json"]),
    ]);
    const { report } = JSON.parse(list.stdout);
    assert.deepEqual([report.source, report.specs.length], ["index", specs], list.stderr);
    assert.match(checked.stdout, new RegExp(`^${specs} of ${specs} specs`), checked.stderr);
    if (canList) assert.match(all.stdout, new RegExp(`^${specs} of ${specs} specs in .*, ${specs} layers`), all.stderr);
    else assert.match(all.stderr, /^error: http.* cannot be listed.*\[UNSUPPORTED\]$/m);
    assert.deepEqual(
      readdirSync(folder)
        .map((name) => name.replace(/^hull-1\.10\.1-[a-z0-9]{32}/, ""))
        .sort(),
      [".spack", ".spec.json"],
      download.stderr,
    );
    assert.match(whyMiss.stdout, /^nothing is in the way: hull/, whyMiss.stderr);
    assert.deepEqual([install.status, JSON.parse(install.stdout).report.totals.installed], [0, 7], install.stderr);
  });

test("an install from a web server by a spec file reads no index, and asks for three files per spec", async () => {
  const folder = temporaryFolder();
  await run(["download", "-m", folders[3], "zlib-ish", "-p", folder]);
  const file = readdirSync(folder).find((name) => name.endsWith(".json")) ?? "";
  web.requests.length = 0;
  const store = temporaryFolder();
  const only = ["--only", "package"];
  const done = await run(["install", "-u", web.url, join(folder, file), "-o", "--store", store, ...only]);
  assert.equal(done.status, 0, done.stderr);
  assert.ok(!web.requests.some((request) => request.includes("index")), web.requests.join("\n"));
  assert.equal(web.requests.length, 3, web.requests.join("\n"));
});

test("an install by hash from a folder reads no index", async () => {
  const folder = await copiedMirror(3);
  const listed = await run(["list", folder, "zlib-ish", "-a", "--json"]);
  const { hash } = JSON.parse(listed.stdout).report.specs[0];
  writeFileSync(join(folder, "v3/manifests/index/index.manifest.json"), "not an index");
  assert.equal((await run(["list", folder])).status, 5, "an index that is read is refused");
  const flags = ["-u", "-o", "--store", temporaryFolder(), "--only", "package"];
  const done = await run(["install", folder, `/${hash}`, ...flags]);
  assert.equal(done.status, 0, done.stderr);
});

test("an install by name, version and whole hash reads no index of any mirror", async () => {
  const listed = await run(["list", folders[3], "-a", "--format", "{name}@{version}/{hash}"]);
  const named = (name: string): string => listed.stdout.split("\n").find((line) => line.startsWith(`${name}@`)) ?? "";
  const scope = temporaryFolder();
  const mirrors = `mirrors:\n  first: {url: "${old.url}"}\n  second: {url: "${web.url}"}\n`;
  writeFileSync(join(scope, "mirrors.yaml"), mirrors);
  const askedIndex = (): string[] =>
    [...web.requests, ...old.requests].filter((each) => each.startsWith("GET") && each.includes("index"));
  const install = async (...args: string[]): Promise<void> => {
    web.requests.length = old.requests.length = 0;
    const done = await run(["install", "-u", ...args, "-o", "--store", shortFolder(), "--no-env"]);
    assert.equal(done.status, 0, done.stderr);
  };
  await install(web.url, named("zlib-ish"), "--only", "package");
  assert.deepEqual(askedIndex(), []);
  assert.equal(web.requests.length, 4, web.requests.join("\n"));
  await install(web.url, named("hull").replace("@", "@="));
  assert.deepEqual(askedIndex(), []);
  await install("-C", scope, named("hull"));
  assert.deepEqual(askedIndex(), []);
  assert.ok(web.requests.length > 4);
  // Without the version, or with a part of the hash, the index says which spec it is.
  for (const text of [named("hull").replace(/@[^/]*/, ""), named("hull").slice(0, -1)]) {
    await install(web.url, text);
    assert.notDeepEqual(askedIndex(), [], text);
  }
  // A name, version and hash of no spec are not taken for another.
  for (const text of [named("hull").replace("hull@", "hulk@"), named("hull").replace(/@[^/]*/, "@7")]) {
    const none = await run(["install", "-u", web.url, text, "-o", "--store", shortFolder(), "--no-env"]);
    assert.deepEqual([none.status, /\[SPEC_ABSENT\]/.test(none.stderr)], [7, true], none.stderr);
  }
});

test("what fails before anything is written leaves no layout behind", async () => {
  const damaged = await copiedMirror(3);
  for (const name of readdirSync(join(damaged, "v3/manifests/spec"), { recursive: true }) as string[])
    if (name.endsWith(".json")) writeFileSync(join(damaged, "v3/manifests/spec", name), "{");
  const flags = ["-u", "--no-env", "--retries", "0"];
  const failing = [
    ["sync", `${web.url}/none`],
    ["sync", damaged],
    ["sync", "oci+http://127.0.0.1:9/none"],
    ["sync", web.url, "no-such-spec"],
    ["copy", `oci-layout:${goldenImages}:none`],
    ["push", "hull", "--from", damaged, "--tag", "app"],
  ];
  for (const [verb = "", from = "", ...more] of failing) {
    const to = join(temporaryFolder(), "new");
    const places = verb === "push" ? [`oci-layout:${to}`, from] : [from, `oci-layout:${to}`];
    const rest = verb === "copy" ? ["--retries", "0"] : flags;
    const done = await run([verb, ...places, ...more, ...rest]);
    assert.notEqual(done.status, 0, `${verb} ${from}: ${done.stdout}`);
    assert.equal(existsSync(to), false, `${verb} ${from}: ${done.stderr}`);
  }
});

test("diff compares mirrors with each other and with lock files", async () => {
  const [lock, other] = await Promise.all([
    run(["diff", join(golden("spack-1.2"), "spack.lock"), web.url]),
    run(["diff", folders[3], `file://${folders[2]}`]),
  ]);
  assert.deepEqual([lock.status, lock.stdout], [0, "0 added, 0 removed, 0 rebuilt, 8 the same\n"], lock.stderr);
  assert.match(other.stdout, /\n0 added, 1 removed, 7 rebuilt, 0 the same\n$/);
});

const login = (user: string, password: string): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;

test("a login comes from the URL, the mirror's configuration or .netrc, and a refusal is never taken for an absent spec", async () => {
  const seen: (string | undefined)[] = [];
  web.intervene = (request, response) => {
    const { authorization } = request.headers;
    seen.push(authorization);
    if (authorization === login("me", "s3cret!") || authorization === "Bearer t0ken") return false;
    response.writeHead(authorization === undefined ? 401 : 403).end();
    return true;
  };
  try {
    const scope = temporaryFolder();
    writeFileSync(
      join(scope, "mirrors.yaml"),
      `mirrors:
  pair: {url: "${web.url}", access_pair: {id: me, secret_variable: SECRET}}
  token: {url: "${web.url}", access_token_variable: TOKEN}
`,
    );
    const netrc = join(scope, "netrc");
    writeFileSync(netrc, "machine elsewhere login x password y\nmachine 127.0.0.1\n  login me\n  password s3cret!\n");
    const listed = ["list", "-a", "--no-env", "-C", scope];
    const host = web.url.slice("http://".length);
    const given = await Promise.all([
      run([...listed, `http://me:s3cret!@${host}`]),
      run([...listed, "pair"], { SECRET: "s3cret!" }),
      run([...listed, "token"], { TOKEN: "t0ken" }),
      run([...listed, web.url], { NETRC: netrc }),
    ]);
    for (const { status, stdout, stderr } of given) {
      assert.deepEqual([status, /fleet@1\.0/.test(stdout)], [0, true], stderr);
      assert.ok(!stderr.includes("s3cret") && !stdout.includes("s3cret"), stderr);
    }
    const lock = ["-e", golden("spack-1.2"), "--retries", "0"];
    const [none, wrong] = await Promise.all([
      run(["check", "-m", web.url, ...lock]),
      run(["check", "-m", `http://me:wrong@${host}`, ...lock]),
    ]);
    assert.deepEqual([none.status, /\[CREDENTIALS_MISSING\]/.test(none.stderr)], [3, true], none.stderr);
    assert.deepEqual([wrong.status, /\[DENIED\]/.test(wrong.stderr)], [3, true], wrong.stderr);
    assert.ok(seen.length > 0);
  } finally {
    web.intervene = undefined;
  }
});

test("a URL that is signed for all files of a mirror works without a login, and is shown nowhere", async () => {
  const signature = "c2lnbmVkIGZvciBhbGw+/=";
  const signed = `${web.url}/?Expires=2000000000&sig=${encodeURIComponent(signature)}`;
  web.intervene = (request, response) => {
    const { searchParams } = new URL(request.url ?? "", web.url);
    if (searchParams.get("sig") === signature && searchParams.get("Expires") === "2000000000") return false;
    response.writeHead(403).end();
    return true;
  };
  try {
    const scope = temporaryFolder();
    writeFileSync(join(scope, "mirrors.yaml"), `mirrors:\n  m: {url: "${signed}", signed: false}\n`);
    const remembered = temporaryFolder();
    const common = ["--no-env", "-C", scope];
    const done = await Promise.all([
      run(["list", "-a", signed, "hull", "-v", "--no-env"], { XDG_CACHE_HOME: remembered }),
      run(["list", "-a", "hull", ...common]),
      run(["install", "-u", signed, "hull", "-o", "--plan", "--store", shortFolder(), "--no-env"]),
      run(["install", "-u", signed, "nope", "-o", "--plan", "--store", shortFolder(), "--no-env"]),
      run(["check", "-m", signed, "--deep", "-e", golden("spack-1.2")]),
      run(["config", ...common]),
      run(["list", "-a", web.url, "--no-env", "--retries", "0"]),
      run(["list", `${signed}#x`, "--no-env"]),
      run(["list", signed.replace(web.url, "http://mirror.invalid"), "--no-env"]),
      // A token without a name.
      run(["list", `${web.url}/?c2lnbmVkIGZvciBhbGwr#x`, "--no-env"]),
    ]);
    assert.deepEqual(
      done.map(({ status }) => status),
      [0, 0, 0, 7, 0, 0, 3, 2, 3, 2],
      done.map(({ stderr }) => stderr).join("\n"),
    );
    for (const { stdout, stderr } of done)
      assert.doesNotMatch(`${stdout}${stderr}`, /c2lnbmVk|Expires=2/, `${stdout}${stderr}`);
    for (const name of readdirSync(remembered, { recursive: true, withFileTypes: true }))
      if (name.isFile()) assert.ok(!readFileSync(join(name.parentPath, name.name)).includes("c2lnbmVk"), name.name);
    assert.match(done[8]?.stderr ?? "", /would be sent over plain http/);
  } finally {
    web.intervene = undefined;
  }
});

test("a login is not sent over plain http, and a refusal says so", async () => {
  web.intervene = (request, response) => {
    response.writeHead(request.headers.authorization === login("me", "s3cret!") ? 404 : 401).end();
    return true;
  };
  try {
    const list = (place: string, ...flags: string[]): ReturnType<typeof stave> =>
      run(["list", place, "--retries", "0", ...flags], { http_proxy: web.url });
    const [named, unnamed, allowed] = await Promise.all([
      list("http://me:s3cret!@mirror.invalid/x"),
      list("http://mirror.invalid/x"),
      list("http://me:s3cret!@mirror.invalid/x", "--plain-http"),
    ]);
    assert.deepEqual([named.status, /\[DENIED\]/.test(named.stderr)], [3, true], named.stderr);
    assert.match(named.stderr, /the login of the URL is not sent over plain http[\s\S]*use --plain-http/);
    assert.deepEqual([unnamed.status, /wants a login, and none was found/.test(unnamed.stderr)], [3, true]);
    assert.match(allowed.stderr, /cannot be listed/, "404 is an answer");
  } finally {
    web.intervene = undefined;
  }
});

test("what can only be read is refused by name, and a URL without a mirror is no empty one", async () => {
  const lock = ["-e", golden("spack-1.2")];
  for (const [args, says] of [
    [["sync", "-u", folders[3], web.url], /can only be read \[UNSUPPORTED\]/],
    [["sync", "-u", folders[3], web.url, "--plan"], /can only be read \[UNSUPPORTED\]/],
    [["index", web.url], /can only be read \[UNSUPPORTED\]/],
    [["migrate", "-u", old.url], /can only be read \[UNSUPPORTED\]/],
    [["prune", web.url], /does not support deletion \[UNSUPPORTED\]/],
    [["index", "--check", web.url], /cannot be listed.*\[UNSUPPORTED\]/],
    [["check", "-m", `${web.url}/typo`, ...lock], /has no mirror.*\[NOT_FOUND\]/],
  ] as const) {
    const done = await run([...args]);
    assert.deepEqual([done.status !== 0, says.test(done.stderr)], [true, true], `${args.join(" ")}: ${done.stderr}`);
  }
});

test("a server that answers everything with a web page has no mirror", async () => {
  web.intervene = (request, response) => {
    response.writeHead(200, { "content-type": "text/html" });
    response.end(request.method === "HEAD" ? undefined : "<!DOCTYPE html><html>welcome</html>");
    return true;
  };
  try {
    const lock = ["-e", golden("spack-1.2"), "--retries", "0"];
    const [list, checked] = await Promise.all([
      run(["list", "-a", web.url, "--retries", "0"]),
      run(["check", "-m", web.url, ...lock]),
    ]);
    for (const { status, stderr } of [list, checked])
      assert.deepEqual([status, /web page/.test(stderr)], [4, true], stderr);
  } finally {
    web.intervene = undefined;
  }
});

test("an interrupted download of an archive goes on where it stopped", async () => {
  let broken = 0;
  const bytes = (path: string): Buffer => readFileSync(join(folders[3], path));
  web.intervene = (request, response) => {
    const path = request.url ?? "";
    if (!path.startsWith("/blobs/") || request.headers.range !== undefined || bytes(path).length < 60_000) return false;
    broken++;
    response.writeHead(200, { "content-length": bytes(path).length });
    response.write(bytes(path).subarray(0, 30_000), () => response.destroy());
    return true;
  };
  try {
    const folder = temporaryFolder();
    const done = await run(["download", "-m", web.url, "gcc-runtime", "-p", folder]);
    assert.deepEqual([done.status, broken], [0, 1], done.stderr);
  } finally {
    web.intervene = undefined;
  }
});

const missing = [
  {
    name: "a folder that does not exist",
    args: ["list", "file:///nowhere/at/all"],
    status: 5,
    says: /there is no directory \/nowhere\/at\/all \[NOT_FOUND\]/,
  },
  {
    name: "a folder that is no mirror",
    args: ["list", `file://${temporaryFolder()}`],
    status: 5,
    says: /is no mirror: it has neither v3 nor build_cache \[NOT_FOUND\]/,
  },
  {
    name: "a web server to push to",
    args: ["index", "https://mirror.invalid/x", "--retries", "0"],
    status: 6,
    says: /mirror\.invalid\/x can only be read \[UNSUPPORTED\]/,
  },
  {
    name: "a mirror of a kind that stave does not know",
    args: ["list", "sftp://host/x"],
    status: 6,
    says: /stave has no sftp client/,
  },
];
for (const { name, args, status, says } of missing)
  test(`${name} is an error that says so`, async () => {
    const done = await run([...args, "--no-env"]);
    assert.deepEqual([done.status, says.test(done.stderr)], [status, true], done.stderr);
  });

test("push, index and prune change a mirror in a folder, and --undo brings back what was removed", async () => {
  const { sysroot } = await goldenStore();
  const folder = temporaryFolder();
  const url = `file://${join(folder, "new")}`;
  const from = ["--sysroot", sysroot, "--store", "/opt/harbor/store", "--no-env"];
  const pushed = await run(["push", "-u", url, "fleet", "--update-index", "--json", ...from]);
  assert.deepEqual([pushed.status, JSON.parse(pushed.stdout).report.index.specs], [0, 8], pushed.stderr);
  const keep = join(folder, "keep");
  writeFileSync(keep, "uwlohrquwwehihrnbieawl7jsmu7l2ww\n");
  const undo = join(folder, "undo.json");
  const prune = ["prune", url, "--no-env", "--keeplist", keep, "--grace", "0s"];
  const plan = await run([...prune, "--json"]);
  const { report } = JSON.parse(plan.stdout);
  // hull keeps its dependencies: zlib-ish, gcc-runtime and the compiler wrapper.
  assert.deepEqual([report.kept, report.images.length, report.isDryRun], [4, 4, true], plan.stderr);
  const done = await run([...prune, "--yes", "--undo-file", undo]);
  assert.match(done.stdout, /\nremoved 4 specs; 4 kept\n/, done.stderr);
  const list = async (): Promise<number> =>
    JSON.parse((await run(["list", url, "-a", "--json"])).stdout).report.specs.length;
  assert.equal(await list(), 4);
  const back = await run(["prune", url, "--no-env", "--undo", undo]);
  assert.deepEqual([back.status, await list()], [0, 8], back.stderr);
  assert.match((await run(["check", "-m", url, "--all", "--bytes"])).stdout, /^8 of 8 specs/);
  const again = await run([...prune, "--yes"]);
  assert.match(again.stdout, /\nremoved 4 specs and (?:8|9) blobs of /, again.stderr);
  assert.match((await run(["index", url, "--check"])).stdout, /^up to date: 4 specs/);
  const names = (readdirSync(join(folder, "new"), { recursive: true }) as string[]).filter((name) =>
    name.includes("hull-"),
  );
  const blobs = (): number =>
    (readdirSync(join(folder, "new/blobs"), { recursive: true }) as string[]).filter((name) =>
      /[0-9a-f]{64}$/.test(name),
    ).length;
  const before = blobs();
  // A mirror of several folders, one of which is not mounted.
  const [here, there] = [join(folder, "new/v3/manifests/spec/hull"), join(folder, "hull")];
  renameSync(here, there);
  symlinkSync(there, here);
  renameSync(there, `${there}-away`);
  const away = await run(["prune", url, "--no-env", "--grace", "0s", "--yes"]);
  assert.match(away.stderr, /no blobs are removed, because .*hull cannot be read/, away.stdout);
  assert.equal(blobs(), before);
  renameSync(`${there}-away`, there);
  writeFileSync(join(folder, "new", names[0] ?? ""), "{");
  const damaged = await run(["prune", url, "--no-env", "--grace", "0s", "--yes"]);
  assert.match(damaged.stderr, /no blobs are removed, because .*hull.* cannot be read/, damaged.stdout);
  assert.equal(blobs(), before);
});

test("push --from makes images that run of a mirror's specs, with one tag, and installs nothing", async () => {
  const folder = temporaryFolder();
  const images = `oci-layout:${folder}/images`;
  const flags = ["--from", web.url, "--no-env", "-u"];
  const made = await run(["push", images, "hull", ...flags, "--tag", "app", "--tag", "latest"]);
  assert.equal(made.status, 0, made.stderr);
  assert.match(made.stdout, /\n3 specs copied, 78\.\d kB, 0 already there\n/, made.stderr);
  assert.match(made.stdout, /images:app sha256:([0-9a-f]{64})\n.*images:latest sha256:\1\n$/);
  const again = await run(["push", images, "hull", ...flags, "--tag", "app", "--json"]);
  const { sync, images: tagged } = JSON.parse(again.stdout).report;
  assert.deepEqual([sync.sentBytes, tagged[0].digest], [0, /:app (\S+)/.exec(made.stdout)?.[1]], again.stderr);
  const shown = JSON.parse((await run(["inspect", `${images}:app`, "--json"])).stdout).report;
  const text = JSON.stringify(shown);
  assert.match(text, /hull@1\.10\.1/);
  assert.match(text, /CMAKE_PREFIX_PATH=\/[^"]*hull-1\.10\.1/, "variables follow from the folders in the archives");
  const store = shortFolder();
  const installed = await run(["install", images, "hull", "-o", "--store", store, "--no-env"]);
  assert.match(installed.stdout, /^3 specs installed/, installed.stderr);
  const refused: [args: string[], says: RegExp][] = [
    [["hull", "--force"], /^error: --force and --from exclude each other/],
    [["hull", "--tag", "app", "--strip"], /^error: --strip and --from exclude each other/],
    [["hull", "--tag", "app", "--entrypoint", "hull"], /^error: --entrypoint and --from exclude each other/],
    [[], /^error: no spec is named, and there is no environment/],
  ];
  for (const [args, says] of refused) {
    const done = await run(["push", images, ...args, ...flags]);
    assert.deepEqual([done.status, says.test(done.stderr)], [2, true], done.stderr);
  }
  const untrusted = await run(["push", images, "fleet", "--from", web.url, "--no-env", "--tag", "fleet"]);
  assert.deepEqual([untrusted.status, /\[SIGNATURE_/.test(untrusted.stderr)], [8, true], untrusted.stderr);
});

test("push --from fits the image into its budget, joins nothing twice, and reads no archive twice", async () => {
  const folder = temporaryFolder();
  const images = `oci-layout:${folder}/images`;
  const flags = ["--from", web.url, "--no-env", "-u"];
  const env = { XDG_CACHE_HOME: temporaryFolder() };
  const layersOf = async (tag: string): Promise<string[]> => {
    const shown = JSON.parse((await run(["inspect", `${images}:${tag}`, "--json"])).stdout).report;
    return shown.layers.map(({ digest }: { digest: string }) => digest);
  };
  assert.equal((await run(["push", images, "hull", ...flags, "--tag", "whole"], env)).status, 0);
  const archives = await layersOf("whole");
  assert.equal(archives.length, 3);
  const made = await run(["push", images, "hull", ...flags, "--tag", "app", "--budget", "2"], env);
  assert.equal(made.status, 0, made.stderr);
  const layers = await layersOf("app");
  assert.equal(layers.length, 2);
  const before = web.requests.length;
  const again = await run(["push", images, "hull", ...flags, "--tag", "other", "--budget", "2"], env);
  assert.equal(again.status, 0, again.stderr);
  assert.deepEqual(await layersOf("other"), layers);
  const asked = web.requests.slice(before);
  assert.ok(asked.length > 0 && !asked.some((one) => archives.some((digest) => one.includes(digest.slice(7)))));
  const none = await run([
    "push",
    images,
    "hull",
    "--from",
    web.url,
    "--no-env",
    "-u",
    "--tag",
    "app",
    "--budget",
    "0",
  ]);
  assert.deepEqual([none.status, /does not fit into 0 layers.*\[BUDGET_EXCEEDED\]/.test(none.stderr)], [7, true]);
});

test("sync moves specs from a web server to a folder and on to images, and says what is lost", async () => {
  const folder = temporaryFolder();
  const mirror = `file://${join(folder, "mirror")}`;
  const flags = ["--no-env", "-u"];
  const plan = await run(["sync", web.url, mirror, "hull", ...flags, "--plan"]);
  assert.match(plan.stdout, /\n3 specs to copy, 78\.\d kB, 0 already there\n$/, plan.stderr);
  const [untrusted, first] = [
    await run(["sync", web.url, mirror, "hull", "--no-env"]),
    await run(["sync", web.url, mirror, ...flags]),
  ];
  assert.deepEqual([untrusted.status, /\[SIGNATURE_/.test(untrusted.stderr)], [8, true], untrusted.stderr);
  assert.match(first.stdout, /\n8 specs copied, 98\.5 kB, 0 already there\n$/, first.stderr);
  assert.equal(`${first.stdout}${first.stderr}`.split("hull@1.10.1").length, 2, "named once");
  const images = `oci-layout:${join(folder, "images")}`;
  const made = await run(["sync", mirror, images, ...flags, "--json"]);
  const { report } = JSON.parse(made.stdout);
  assert.deepEqual([report.lost, report.index.specs, report.sentBytes > 98_000], [["gpg signatures"], 8, true]);
  const store = shortFolder();
  const installed = await run(["install", images, "fleet", "-o", "--store", store, "--no-env"]);
  assert.match(installed.stdout, /^7 specs installed/, installed.stderr);
  const again = await run(["sync", mirror, images, ...flags]);
  assert.match(again.stdout, /^0 specs copied, 0 B, 8 already there\n$/, again.stderr);
  const none = await run(["sync", mirror, "https://mirror.invalid/x", ...flags, "--retries", "0"]);
  assert.deepEqual([none.status !== 0, /UNSUPPORTED|NETWORK/.test(none.stderr)], [true, true], none.stderr);
});

test("images go through a mirror in a folder and one in a bucket, and come back as they were", async () => {
  const server = await startS3();
  try {
    const folder = temporaryFolder();
    const bucket = "s3://cache/team/a+b";
    const env = { ...S3_ENV, S3_ENDPOINT_URL: server.url };
    const flags = ["--no-env", "-u", "--json"];
    const steps = [
      `oci-layout:${golden("spack-1.2/plain.oci")}`,
      `file://${folder}/mirror`,
      bucket,
      `oci-layout:${folder}/back`,
    ];
    for (const [at, from] of steps.slice(0, -1).entries()) {
      const moved = await run(["sync", from, steps[at + 1] ?? "", ...flags], env);
      assert.equal(moved.status, 0, moved.stderr);
    }
    const layers = async (cache: string): Promise<unknown> => {
      const images = ["hull-1.10.1-uwlohrquwwehihrnbieawl7jsmu7l2ww", "fleet-1.0-xio7v2fyvs6ghjnhggnbioye2opoaqio"];
      const shown = await Promise.all(images.map((tag) => run(["inspect", `${cache}:${tag}.spack`, "--json"])));
      return shown.map(({ stdout }) => JSON.parse(stdout).report.layers);
    };
    assert.deepEqual(await layers(steps[3] ?? ""), await layers(steps[0] ?? ""));
    const [list, checked, again] = await Promise.all([
      run(["list", bucket, "-a", "--json", "--no-env"], env),
      run(["check", "-m", bucket, "--all", "--bytes"], env),
      run(["sync", steps[1] ?? "", bucket, ...flags], env),
    ]);
    assert.equal(JSON.parse(list.stdout).report.specs.length, 8, list.stderr);
    assert.match(checked.stdout, /^8 of 8 specs in s3:\/\/cache\/team\/a\+b, 8 layers/, checked.stderr);
    assert.equal(JSON.parse(again.stdout).report.sentBytes, 0, again.stderr);
    const stores = [shortFolder(), shortFolder()];
    for (const [at, from] of [bucket, steps[3] ?? ""].entries()) {
      const done = await run(["install", "-u", from, "fleet", "-o", "--store", stores[at] ?? "", "--no-env"], env);
      assert.match(done.stdout, /^7 specs installed/, done.stderr);
    }
  } finally {
    await server.close();
  }
});

test("push, index and prune write a mirror in a bucket, with the credentials of the mirror's configuration", async () => {
  const server = await startS3();
  try {
    const { sysroot } = await goldenStore();
    const scope = temporaryFolder();
    writeFileSync(
      join(scope, "mirrors.yaml"),
      `mirrors:
  team: {url: "s3://cache/team", signed: false, endpoint_url: "${server.url}", access_pair: {id: test, secret_variable: MINE}}
`,
    );
    const common = ["--no-env", "-C", scope];
    const env = { MINE: S3_ENV.AWS_SECRET_ACCESS_KEY };
    const from = ["--sysroot", sysroot, "--store", "/opt/harbor/store"];
    const pushed = await run(["push", "team", "fleet", "hull", "--update-index", ...from, ...common], env);
    assert.match(pushed.stdout, /pushed +8 .*\nindex: written, 8 specs\n$/s, pushed.stderr);
    writeFileSync(join(scope, "keep"), "uwlohrquwwehihrnbieawl7jsmu7l2ww\n");
    const prune = ["prune", "team", "--keeplist", join(scope, "keep"), "--grace", "0s", "--yes", ...common];
    const pruned = await run(prune, env);
    assert.match(pruned.stdout, /\nremoved 4 specs and \d+ blobs of .*; 4 kept\n/, pruned.stderr);
    assert.match((await run(["index", "team", "--check", ...common], env)).stdout, /^up to date: 4 specs/);
    const elsewhere = { ...S3_ENV, S3_ENDPOINT_URL: server.url };
    const target = `file://${join(scope, "new")}`;
    const wrong = "s3://cache/taem";
    const asked = [
      ["list", wrong],
      ["check", "--all", "-m", wrong],
      ["sync", "-u", wrong, target],
      ["check", "-m", wrong, "-e", golden("spack-1.2")],
      ["install", "-u", wrong, "hull", "-o", "--plan", "--store", join(scope, "store")],
      ["run", "-u", wrong, "hull", "--", "true"],
    ];
    for (const args of asked) {
      for (const [place, says] of [
        [wrong, /has no mirror.*\[NOT_FOUND\]/],
        ["s3://none/x", /NoSuchBucket.*\[NOT_FOUND\]/],
      ] as const) {
        const named = args.map((arg) => (arg === wrong ? place : arg));
        const environment = args.includes("-e") ? [] : ["--no-env"];
        const [verb = "", ...others] = named;
        const none = await run([verb, ...environment, ...others], elsewhere);
        assert.deepEqual([none.status, says.test(none.stderr)], [5, true], `${named.join(" ")}: ${none.stderr}`);
      }
    }
    for (const flags of [[], ["--plan"]]) {
      const none = await run(["sync", folders[3], "s3://none/x", "-u", "--no-env", ...flags], elsewhere);
      assert.deepEqual([none.status, /NoSuchBucket.*\[NOT_FOUND\]/.test(none.stderr)], [5, true], none.stderr);
    }
    assert.equal(existsSync(join(scope, "new")), false);
    assert.match((await run(["check", "-m", "team", "--all", "--bytes", ...common], env)).stdout, /^4 of 4 specs/);
    const refused = await run(["list", "team", "-a", ...common, "--retries", "0"], { MINE: "wrong" });
    assert.deepEqual(
      [refused.status, /SignatureDoesNotMatch.*\[CREDENTIALS_REJECTED\]/.test(refused.stderr)],
      [3, true],
    );
  } finally {
    await server.close();
  }
});

test("migrate ends with 1 if anything is left in the old layout, and nothing of that is lost", async () => {
  const folder = await copiedMirror(2);
  const files = (): string[] => (readdirSync(join(folder, "build_cache"), { recursive: true }) as string[]).sort();
  const before = files();
  const untrusted = await run(["migrate", folder, "-d", "--no-env"], { SPACK_GNUPGHOME: gpgHome() });
  assert.deepEqual([untrusted.status, files()], [1, before], untrusted.stderr);
  assert.match(untrusted.stdout, /\n0 specs migrated, 0 B, 7 left in the old layout\n$/);
  assert.match(untrusted.stderr, noGpg ? /gpg/ : /\[SIGNATURE_INVALID\]/);
  const archive = before.find((name) => /rigging.*\.spack$/.test(name)) ?? "";
  writeFileSync(join(folder, "build_cache", archive), "cut");
  const cut = await run(["migrate", folder, "-u", "--delete-existing", "--no-env"]);
  assert.deepEqual([cut.status, /\nleft rigging-/.test(cut.stdout), files().includes(archive)], [1, true, true]);
  assert.match(cut.stderr, /^error: rigging@2024\.11.*\[DIGEST_MISMATCH\]/m);
  const whole = await run(["migrate", await copiedMirror(2), "-u", "--no-env"]);
  assert.equal(whole.status, 0, whole.stderr);
  const hint = await stave(["migrate", basename(folder)], { cwd: dirname(folder), env: { SPACK_ROOT: "" } });
  assert.match(hint.stderr, new RegExp(`for a directory write \\./${basename(folder)}`));
});

test("keys shows what a mirror offers, and imports it; a key under another name is refused", {
  skip: noGpg,
}, async () => {
  const env = { SPACK_GNUPGHOME: gpgHome() };
  const golden = "1D04ACACFC855763C44E4386D049F4F59FCBE4DD";
  for (const from of [folders[3], `file://${folders[2]}`, web.url]) {
    const shown = await run(["keys", from, "--no-env"], env);
    assert.match(shown.stdout, new RegExp(`^${golden} Shipyard Test`), shown.stderr);
  }
  const before = await run(
    ["install", folders[3], "rigging", "-o", "--plan", "--no-env", "--store", shortFolder()],
    env,
  );
  assert.match(before.stderr, /\[SIGNATURE_INVALID\]/);
  const imported = await run(["keys", web.url, "-i", "-t", "--json", "--no-env"], env);
  assert.deepEqual(JSON.parse(imported.stdout).report.keys[0].isInstalled, true, imported.stderr);
  const after = await run(
    ["install", folders[3], "rigging", "-o", "--plan", "--no-env", "--store", shortFolder()],
    env,
  );
  assert.equal(after.status, 0, after.stderr);
  const folder = await copiedMirror(3);
  const keys = join(folder, "v3/manifests/key");
  const other = `${golden.slice(0, -1)}A`;
  cpSync(join(keys, `${golden}.key.manifest.json`), join(keys, `${other}.key.manifest.json`));
  rmSync(join(keys, "keys.manifest.json"));
  const wrong = await run(["keys", folder, "-i", "--no-env"], env);
  assert.match(wrong.stderr, new RegExp(`the key named ${other} is another one, ${golden} \\[CONTENT_INVALID\\]`));
  rmSync(join(keys, `${other}.key.manifest.json`));
  const listed = await run(["index", folder, "-k", "--no-env"], env);
  assert.match(listed.stderr, /listed 1 public key/);
  assert.ok(readdirSync(keys).includes("keys.manifest.json"));
  const images = await run(["keys", `oci-layout:${goldenImages}`, "--no-env"], env);
  assert.match(images.stderr, /has no gpg signatures \[UNSUPPORTED\]/);
});

test("inspect shows one spec of a cache of any kind, and a mirror alone is no image", async () => {
  for (const from of [folders[3], web.url, `oci-layout:${goldenImages}`]) {
    const shown = await run(["inspect", from, "hull@1.10.1", "--json"]);
    const { report } = JSON.parse(shown.stdout);
    const signed = from !== `oci-layout:${goldenImages}`;
    assert.deepEqual([report.tag, report.isSigned], ["hull-1.10.1-uwlohrquwwehihrnbieawl7jsmu7l2ww.spack", signed]);
    assert.deepEqual([report.archive.size, report.dependencies], [5660, ["gcc-runtime", "glibc", "zlib-ish"]]);
  }
  const text = await run(["inspect", folders[3], "hull"]);
  assert.match(text.stdout, /\nneeds +gcc-runtime, glibc, zlib-ish\n$/, text.stderr);
  const [alone, none] = await Promise.all([run(["inspect", folders[3]]), run(["inspect", folders[3], "nope"])]);
  assert.match(
    alone.stderr,
    /is a mirror, which has no images \[USAGE\]\n {2}hint: name a spec: stave inspect .* SPEC/,
  );
  assert.match(none.stderr, /nope is not in .*\[SPEC_ABSENT\]/);
});

test("a registry that is named as a mirror is an error that says how to name it", async () => {
  const open = await startServe({ directory: temporaryFolder() });
  const guarded = await startServe({ directory: temporaryFolder(), users: `me:${hashSync("s3cret", 4)}` });
  try {
    const [list, download, pages, other, locked] = await Promise.all([
      run(["list", `http://${open.host}/team/cache`]),
      run(["check", "-m", `http://${open.host}/team/cache/`, "--all"]),
      run(["web", `http://${open.host}`, "-o", join(temporaryFolder(), "new")]),
      run(["list", `${web.url}/none`]),
      run(["list", `http://${guarded.host}/cache`]),
    ]);
    const hint = `this is a registry: name it oci+http://${open.host}`;
    assert.match(list.stderr, /cannot be listed.*\[UNSUPPORTED\]/);
    assert.ok(list.stderr.includes(`${hint}/team/cache`), list.stderr);
    assert.ok(download.stderr.includes(`${hint}/team/cache`), download.stderr);
    assert.ok(pages.stderr.includes(`${hint}/NAME`), pages.stderr);
    assert.match(other.stderr, /cannot be listed/);
    assert.ok(!other.stderr.includes("this is a registry"), other.stderr);
    assert.match(locked.stderr, /wants a login/);
  } finally {
    await open.close();
    await guarded.close();
  }
});
