// Proves that `stave doctor` finds out what a registry can do by asking, says what to do, always ends, and leaves
// nothing behind.
import assert from "node:assert/strict";
import { chmodSync, globSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { inTerminal, type Ran, stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";
import { type Fault, type Rule, startRegistry } from "../support/registry.ts";
import { temporaryFolder } from "../support/tree.ts";

const home = temporaryFolder();

function doctor(args: string[], env: Record<string, string> = {}): Promise<Ran> {
  const own = { HOME: home, XDG_CACHE_HOME: join(home, "cache"), SPACK_DISABLE_LOCAL_CONFIG: "1", SPACK_ROOT: "" };
  return stave(["doctor", "--no-env", ...args], { cwd: home, env: { ...own, ...env } });
}

/** The lines of the findings with a name. */
const findings = ({ stdout }: Ran, name: string): string =>
  stdout
    .split("\n")
    .filter((line) => line.slice(10, 26).trim() === name)
    .join("\n");

test("a machine without Spack, network and cache is examined", async () => {
  const ran = await doctor([]);
  assert.equal(ran.status, 0, ran.stdout);
  assert.match(findings(ran, "stave"), /ok .*Node/);
  assert.match(findings(ran, "file locks"), /ok/);
  assert.match(findings(ran, "Spack"), /note .*none found/);
});

test("a home that is no folder, or none, is said, and nothing is made at the root", async () => {
  const file = join(temporaryFolder(), "home");
  writeFileSync(file, "");
  const wrong = await doctor([], { HOME: file, XDG_CACHE_HOME: "" });
  assert.equal(wrong.status, 1);
  assert.match(findings(wrong, "cache folder"), /PROBLEM .*home is not a folder/);
  const unset = await doctor([], { HOME: "", XDG_CACHE_HOME: "" });
  assert.equal(unset.status, 0, unset.stdout);
  assert.match(findings(unset, "cache folder"), /note .*HOME is not set/);
  assert.match(findings(await doctor([], { HOME: "" }), "cache folder"), /ok /);
  // Work that caches, and looks for files in the home folder, goes on without.
  const registry = await startRegistry();
  try {
    const env = {
      HOME: "",
      XDG_CACHE_HOME: "",
      XDG_STATE_HOME: "",
      XDG_CONFIG_HOME: "",
      AWS_REGION: "x",
      AWS_ENDPOINT_URL: registry.url,
    };
    const from = `oci-layout:${golden("spack-1.2/plain.oci")}`;
    const folder = temporaryFolder();
    for (const args of [
      ["copy", from, `${registry.host}/org/cache`, "--all-tags"],
      ["list", "-m", `oci+http://${registry.host}/org/cache`],
    ]) {
      const ran = await stave(args, { cwd: folder, env });
      assert.equal(ran.status, 0, ran.stderr);
    }
    assert.deepEqual(readdirSync(folder), []);
    const mirror = await stave(["list", "-m", `http://${registry.host}/mirror`], { env });
    assert.doesNotMatch(mirror.stderr, /ENOTDIR/);
    const bucket = ["list", "-m", "s3://bucket/x", "--retries", "0"];
    assert.doesNotMatch((await stave(bucket, { env })).stderr, /ENOTDIR/);
  } finally {
    await registry.close();
  }
});

test("stave.yaml is found, and its content is shown only once it is accepted", async () => {
  const cwd = temporaryFolder();
  const file = join(cwd, "stave.yaml");
  const own = { HOME: home, XDG_CACHE_HOME: join(home, "cache"), XDG_STATE_HOME: join(cwd, "state"), SPACK_ROOT: "" };
  const said = async (): Promise<string> =>
    findings(await stave(["doctor", "--no-env"], { cwd, env: own }), "stave.yaml");
  assert.match(await said(), /ok .*none/);
  writeFileSync(file, "cache: oci-layout:./mine\n");
  assert.match(await said(), /note .*stave\.yaml is not used, because you have not accepted it$/);
  await stave(["init", "--yes"], { cwd, env: own });
  assert.match(await said(), new RegExp(`ok .*cache oci-layout:${cwd}/mine, store not named`));
  chmodSync(file, 0o666);
  assert.match(await said(), /note .*others may change it/);
});

test("no line is longer than the terminal, and no word is lost", async () => {
  const wide = (await doctor([])).stdout;
  const words = (text: string): string[] => text.split(/\s+/).filter((word) => word !== "");
  for (const columns of [40, 60, 80]) {
    const env = { HOME: home, XDG_CACHE_HOME: join(home, "cache"), SPACK_DISABLE_LOCAL_CONFIG: "1", SPACK_ROOT: "" };
    const { output } = await inTerminal(["doctor", "--no-env"], { cwd: home, env: { ...env, NO_COLOR: "1" }, columns });
    const lines = output.split("\r\n").map((line) => stripVTControlCharacters(line));
    for (const line of lines) assert.ok(line.length <= columns, `${columns}: ${line}`);
    // Paths without blanks are broken where the line ends.
    assert.equal(words(lines.join("\n")).join(""), words(wide).join(""));
  }
});

test("the store of run is examined if there is one", async () => {
  const data = temporaryFolder();
  assert.equal(findings(await doctor([], { XDG_DATA_HOME: data }), "store of run"), "");
  mkdirSync(join(data, "stave/store"), { recursive: true });
  assert.match(findings(await doctor([], { XDG_DATA_HOME: data }), "store of run"), /(ok|note) .*stave\/store/);
});

test("a registry is asked, and nothing is written without --write", async () => {
  const registry = await startRegistry();
  try {
    const ran = await doctor([`${registry.host}/org/cache`]);
    assert.equal(ran.status, 0, ran.stdout + ran.stderr);
    assert.match(findings(ran, "referrers"), /found by the API/);
    assert.match(findings(ran, "tags"), /no such repository yet/);
    assert.match(findings(ran, "not asked"), /mount/);
    assert.deepEqual([...new Set(registry.requests.map(({ method }) => method))], ["GET"]);
  } finally {
    await registry.close();
  }
});

const ABILITIES: { name: string; rules: Rule[]; takesWholePosts?: boolean; expect: Record<string, RegExp> }[] = [
  {
    name: "one that can do everything",
    rules: [],
    takesWholePosts: true,
    expect: {
      "single POST": /ok .*answers 201/,
      "chunked upload": /ok .*answers 201/,
      mount: /ok .*answers 201/,
      delete: /ok .*prune/,
      "If-Match": /ok .*answers 412/,
    },
  },
  {
    name: "one that does not delete, and then gets no tag",
    rules: [{ method: "DELETE", path: /\/manifests\//, fault: { status: 405 } }],
    expect: { delete: /note .*cannot remove anything \(answers 405\)/, "single POST": /note .*answers 202/ },
  },
  {
    name: "one without chunks and mounts",
    rules: [
      { method: "PATCH", fault: { status: 405 } },
      { method: "POST", path: /uploads/, after: 2, times: 1, fault: { status: 404 } },
    ],
    takesWholePosts: true,
    expect: { "chunked upload": /note .*start again \(answers 405\)/, mount: /note .*\(answers 404\)/ },
  },
  {
    name: "one that lists no referrers and limits requests",
    rules: [
      { path: /\/referrers\//, fault: { status: 404 } },
      { path: /\/tags\//, fault: { headers: { "ratelimit-limit": "100;w=21600" } } },
    ],
    expect: { referrers: /note .*found by tags instead/, "rate limit": /ok .*ratelimit-limit: 100;w=21600/ },
  },
  {
    name: "one that allows only reading",
    rules: [{ method: "POST", fault: { status: 403 } }],
    expect: { "single POST": /note .*unknown: /, "chunked upload": /note .*unknown: / },
  },
];
for (const { name, rules, takesWholePosts = false, expect } of ABILITIES)
  test(`a registry is found out: ${name}`, async () => {
    const registry = await startRegistry({ rules, takesWholePosts });
    try {
      const ran = await doctor([`${registry.host}/org/cache`, "--write"]);
      assert.equal(ran.status, 0, ran.stdout + ran.stderr);
      for (const [ability, says] of Object.entries(expect)) assert.match(findings(ran, ability), says);
      rules.splice(0);
      const { stdout } = await stave(["tags", `${registry.host}/org/cache`]);
      assert.equal(stdout, "");
      const blobs = globSync("org/cache/blobs/*/*", { cwd: registry.directory });
      assert.deepEqual(blobs, []);
    } finally {
      await registry.close();
    }
  });

test("what other artifacts of the repository need is still there after --write", async () => {
  const registry = await startRegistry();
  try {
    const place = `${registry.host}/org/cache`;
    const file = join(home, "notes.txt");
    writeFileSync(file, "notes\n");
    const copied = await stave(["copy", `oci-layout:${golden("spack-1.2/plain.oci")}`, place, "--all-tags"]);
    assert.equal(copied.status, 0, copied.stderr);
    const tag = (await stave(["tags", place])).stdout.trim().split("\n")[0];
    const attached = await stave(["attach", `${place}:${tag}`, "--artifact-type", "text/x-notes", file]);
    assert.equal(attached.status, 0, attached.stderr);
    const blobs = (): string[] => globSync("org/cache/blobs/*/*", { cwd: registry.directory }).sort();
    const before = blobs();
    assert.ok(before.some((path) => path.includes("44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")));
    const ran = await doctor([place, "--write"]);
    assert.equal(ran.status, 0, ran.stdout);
    assert.match(findings(ran, "If-Match"), /answers 412/);
    assert.deepEqual(blobs(), before);
  } finally {
    await registry.close();
  }
});

const BROKEN: { name: string; fault: Fault; says: RegExp }[] = [
  { name: "never answers", fault: "hang", says: /PROBLEM address/ },
  { name: "is a web page", fault: "portal", says: /PROBLEM address .*web page/ },
  { name: "breaks connections", fault: "reset", says: /PROBLEM address/ },
  {
    name: "has another day",
    fault: { headers: { date: "Mon, 01 Jan 2024 00:00:00 GMT" } },
    says: /PROBLEM clock .*ahead/,
  },
  { name: "answers 500", fault: { status: 500 }, says: /PROBLEM address .*500/ },
];
for (const { name, fault, says } of BROKEN)
  test(`a server is examined that ${name}`, async () => {
    const registry = await startRegistry({ rules: [{ fault }] });
    try {
      const ran = await doctor([`oci+http://${registry.host}/org/cache`, "--write", "--timeout", "1"]);
      assert.equal(ran.status, 1, ran.stdout + ran.stderr);
      assert.match(ran.stdout, says);
      assert.match(ran.stdout, /-> /);
    } finally {
      await registry.close();
    }
  });

test("a server that sends what no registry does", async () => {
  const server = createServer((_request, response) => response.writeHead(404).end("teapot"));
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const ran = await doctor([`oci+http://127.0.0.1:${(server.address() as AddressInfo).port}/org/cache`]);
  server.close();
  server.closeAllConnections();
  assert.equal(ran.status, 1);
  assert.match(ran.stdout, /PROBLEM address .*not as a registry does/);
});

test("credentials are never shown, only where they come from", async () => {
  const registry = await startRegistry({ login: { kind: "bearer", username: "me", password: "s3cret-word" } });
  try {
    const given = { STAVE_REGISTRY: registry.host, STAVE_USERNAME: "me", STAVE_PASSWORD: "s3cret-word" };
    const place = `${registry.host}/org/cache`;
    const right = await doctor([place, "--write", "--json"], given);
    assert.equal(right.status, 0, right.stdout);
    const wrong = await doctor([place, "--write"], { ...given, STAVE_PASSWORD: "wr0ng-word" });
    assert.match(findings(wrong, registry.host), /found in the environment/);
    assert.match(findings(wrong, "single POST"), /note .*unknown/);
    const none = await doctor([place]);
    assert.match(none.stdout, /-> stave login 127/);
    for (const { stdout, stderr } of [right, wrong, none]) assert.doesNotMatch(stdout + stderr, /s3cret|wr0ng/);
  } finally {
    await registry.close();
  }
});

test("directories and mirrors are examined, too", async () => {
  assert.match((await doctor([`oci-layout:${golden("spack-1.2/plain.oci")}`])).stdout, /ok +directory +.*\d tags/);
  const absent = await doctor(["oci-layout:./none"]);
  assert.equal(absent.status, 1);
  assert.match(absent.stdout, /PROBLEM directory/);
  assert.equal((await doctor(["file:///nowhere/at/all"])).status, 1);
});
