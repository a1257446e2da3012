// Proves that credentials are found in the documented order, stored safely, and never shown.
import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { inspect } from "node:util";
import type { Credential } from "../../lib/auth/credential.ts";
import { authFilePlaces, Keychain, type KeychainOptions } from "../../lib/auth/keychain.ts";
import { logout, storeLogin } from "../../lib/auth/login.ts";
import { isStaveError, type StaveError } from "../../lib/errors.ts";
import { Secret } from "../../lib/printable/secret.ts";
import { jumpingClock } from "../support/client.ts";
import { failsWith } from "../support/errors.ts";

const root = mkdtempSync(join(tmpdir(), "stave-auth-"));
after(() => rmSync(root, { recursive: true, force: true }));
let counter = 0;
const place = () => join(root, String(counter++));
const base64 = (text: string) => Buffer.from(text).toString("base64");

/** A home with the given files. */
function home(files: Record<string, unknown>): { home: string; env: Record<string, string> } {
  const folder = place();
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
  }
  return { home: folder, env: { XDG_RUNTIME_DIR: join(folder, "run"), PATH: `${join(folder, "bin")}:/usr/bin:/bin` } };
}

/** A credential helper as a shell script. */
function helper(at: { home: string }, name: string, script: string): void {
  const path = join(at.home, "bin", `docker-credential-${name}`);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
}

function reveal(credential: Credential | undefined): string | undefined {
  if (credential === undefined) return undefined;
  return credential.kind === "password"
    ? `${credential.username}:${credential.password.reveal()}`
    : `<${credential.kind}>${credential.token.reveal()}`;
}

async function look(options: KeychainOptions, registry = "ghcr.io", repository = "org/repo") {
  const warnings: StaveError[] = [];
  const { found, looked } = await new Keychain({ onWarning: (error) => warnings.push(error), ...options }).resolve(
    registry,
    repository,
  );
  return { credential: reveal(found?.credential), from: found?.from, looked, warnings };
}

const entry = (text: string) => ({ auth: base64(text) });

test("the places, first to last", async () => {
  const at = home({
    "run/containers/auth.json": { auths: { "one.io": entry("a:1") } },
    ".config/containers/auth.json": { auths: { "one.io": entry("b:2"), "two.io": entry("b:2") } },
    ".docker/config.json": { auths: { "one.io": entry("c:3"), "two.io": entry("c:3"), "three.io": entry("c:3") } },
    "own.json": { auths: { "three.io": entry("d:4") } },
  });
  assert.equal((await look(at, "one.io")).credential, "a:1");
  assert.equal((await look(at, "two.io")).credential, "b:2");
  assert.equal((await look(at, "three.io")).credential, "c:3");
  assert.equal((await look(at, "four.io")).credential, undefined);
  const named = { ...at, env: { ...at.env, REGISTRY_AUTH_FILE: join(at.home, "own.json") } };
  assert.equal((await look(named, "three.io")).credential, "d:4");
  assert.equal((await look(named, "one.io")).credential, undefined, "a named file is the only one");
  assert.equal((await look({ ...at, authfile: join(at.home, "own.json") }, "three.io")).credential, "d:4");
  const explicit = [{ registry: "one.io", username: "x", password: new Secret("9"), from: "mirror m" }];
  assert.deepEqual((await look({ ...at, explicit }, "one.io")).from, "mirror m");
  const docker = { ...at, env: { ...at.env, DOCKER_CONFIG: join(at.home, "elsewhere") } };
  assert.equal((await look(docker, "three.io")).credential, undefined);
  assert.deepEqual(authFilePlaces({ env: {}, home: "/h", uid: 7 })[0], "/run/containers/7/auth.json");
});

test("the environment's credentials are for the registry they name", async () => {
  const at = home({});
  const env = { ...at.env, STAVE_REGISTRY: "ghcr.io", STAVE_USERNAME: "u", STAVE_PASSWORD: "p" };
  assert.equal((await look({ ...at, env })).credential, "u:p");
  assert.equal((await look({ ...at, env }, "evil.io")).credential, undefined);
  assert.equal(
    (await look({ ...at, env: { ...at.env, STAVE_USERNAME: "u", STAVE_PASSWORD: "p" } })).credential,
    undefined,
  );
  assert.equal((await look({ ...at, env: { ...env, STAVE_TOKEN: "t" } })).credential, "<bearer>t");
});

const entries: {
  name: string;
  auths: Record<string, unknown>;
  registry?: string;
  repository?: string;
  expect: string | undefined;
}[] = [
  {
    name: "a password with colons and letters beyond ASCII",
    auths: { "ghcr.io": entry("me:p:ä:ss") },
    expect: "me:p:ä:ss",
  },
  {
    name: "the longest key wins",
    auths: { "ghcr.io": entry("a:1"), "ghcr.io/org": entry("b:2"), "ghcr.io/org/repo": entry("c:3") },
    expect: "c:3",
  },
  { name: "a key for another name space", auths: { "ghcr.io/other": entry("b:2") }, expect: undefined },
  { name: "a name space is no prefix of a word", auths: { "ghcr.io/or": entry("b:2") }, expect: undefined },
  {
    name: "a key with scheme and path, as docker writes it",
    auths: { "https://ghcr.io/v2/": entry("a:1") },
    expect: "a:1",
  },
  {
    name: "docker's own name for its Hub",
    auths: { "https://index.docker.io/v1/": entry("h:1") },
    registry: "docker.io",
    repository: "library/x",
    expect: "h:1",
  },
  {
    name: "docker.io for index.docker.io",
    auths: { "docker.io": entry("h:1") },
    registry: "index.docker.io",
    expect: "h:1",
  },
  {
    name: "an identity token",
    auths: { "ghcr.io": { auth: base64("x:"), identitytoken: "it" } },
    expect: "<identity>it",
  },
  { name: "a registry token", auths: { "ghcr.io": { registrytoken: "rt" } }, expect: "<bearer>rt" },
  { name: "user name and password apart", auths: { "ghcr.io": { username: "u", password: "p" } }, expect: "u:p" },
  { name: "the user <token>", auths: { "ghcr.io": entry("<token>:it") }, expect: "<identity>it" },
  { name: "an empty entry", auths: { "ghcr.io": {} }, expect: undefined },
  { name: "another port is another registry", auths: { "ghcr.io:443": entry("a:1") }, expect: undefined },
  {
    name: "__proto__ is a name like any other",
    auths: JSON.parse(`{"__proto__":{"auth":"${base64("p:p")}"}}`),
    expect: undefined,
  },
];

for (const { name, auths, registry, repository, expect } of entries)
  test(`entries: ${name}`, async () => {
    const at = home({ ".docker/config.json": { auths } });
    assert.equal((await look(at, registry, repository)).credential, expect);
  });

test("damaged files are passed over with a warning that shows nothing of them", async () => {
  const secret = base64("me:very-secret");
  const cases = [
    `{"auths":{"ghcr.io":{"auth":"${secret}"`,
    `["${secret}"]`,
    `{"auths":[]}`,
    `{"auths":{"ghcr.io":{"auth":5,"x":"${secret}"}}}`,
    `{"auths":{"ghcr.io":{"auth":"${base64("nocolon-very-secret")}"}}}`,
    "\u0000",
    "x".repeat(5_000_000),
  ];
  for (const text of cases) {
    const at = home({
      "run/containers/auth.json": text,
      ".docker/config.json": { auths: { "ghcr.io": entry("a:1") } },
    });
    const { credential, warnings } = await look(at);
    assert.equal(credential, "a:1", text.slice(0, 50));
    assert.equal(warnings.length, 1);
    assert.ok(isStaveError(warnings[0], "CONFIG_INVALID"));
    const all = `${JSON.stringify(warnings)}${warnings[0]?.stack}${inspect(warnings[0], { depth: 9 })}`;
    assert.ok(!all.includes("very-secret") && !all.includes(secret), all);
  }
});

test("helpers: by host, for all, and what they cannot answer", async () => {
  const at = home({
    ".docker/config.json": {
      credHelpers: { "ghcr.io": "one" },
      credsStore: "all",
      auths: { "ghcr.io": entry("file:1") },
    },
  });
  helper(
    at,
    "one",
    'read server; echo "{\\"ServerURL\\":\\"$server\\",\\"Username\\":\\"u-$server\\",\\"Secret\\":\\"s\\"}"',
  );
  helper(at, "all", 'cat >/dev/null; echo "credentials not found in native keychain"; exit 1');
  assert.equal((await look(at)).credential, "u-ghcr.io:s");
  const other = await look(at, "other.io");
  assert.equal(other.credential, undefined);
  assert.equal(other.warnings.length, 0);
  assert.ok(other.looked.includes("docker-credential-all"));
  helper(at, "one", 'cat >/dev/null; echo "{\\"Username\\":\\"<token>\\",\\"Secret\\":\\"it\\"}"');
  assert.equal((await look(at)).credential, "<identity>it");
});

const broken = [
  { name: "fails", script: "echo very-secret; exit 3", says: /status 3/ },
  { name: "prints junk", script: "echo very-secret", says: /not the credentials document/ },
  { name: "prints too much", script: "yes very-secret", says: /too much/ },
  { name: "hangs, with a child", script: "sleep 60 & sleep 60", says: /did not answer/ },
];

for (const { name, script, says } of broken)
  test(`a helper that ${name} is named, and the next place is asked`, { timeout: 10_000 }, async () => {
    const at = home({
      "run/containers/auth.json": { credsStore: "bad" },
      ".docker/config.json": { auths: { "ghcr.io": entry("a:1") } },
    });
    helper(at, "bad", script);
    const { credential, warnings } = await look({ ...at, helperTimeout: 300 });
    assert.equal(credential, "a:1");
    assert.ok(isStaveError(warnings[0], "HELPER_FAILED"));
    assert.match(warnings[0].message, says);
    assert.ok(!JSON.stringify(warnings).includes("very-secret"));
  });

test("a helper that is not there, or whose name is a path", async () => {
  for (const [name, code] of [
    ["absent", "HELPER_FAILED"],
    ["../../bin/sh", "CONFIG_INVALID"],
    ["a b", "CONFIG_INVALID"],
  ] as const) {
    const { warnings } = await look(home({ ".docker/config.json": { credsStore: name } }));
    assert.ok(isStaveError(warnings[0], code), name);
  }
});

const login = { registry: "ghcr.io", username: "me", password: new Secret("s:e/cret") };

test("a login is kept for its owner only, and leaves the rest of the file alone", async () => {
  const at = { ...home({}), clock: jumpingClock() };
  const path = await storeLogin(login, at);
  assert.equal(path, join(at.home, "run/containers/auth.json"));
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(dirname(path)).mode & 0o777, 0o700);
  assert.equal((await look(at)).credential, "me:s:e/cret");
  writeFileSync(path, JSON.stringify({ auths: { "x.io": { auth: "eDp5", email: "e" } }, other: [1] }), { mode: 0o644 });
  await storeLogin(login, at);
  const kept = JSON.parse(readFileSync(path, "utf8"));
  assert.deepEqual([kept.other, kept.auths["x.io"]], [[1], { auth: "eDp5", email: "e" }]);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual((await logout("ghcr.io", at)).removedFrom, [path]);
  assert.equal((await look(at)).credential, undefined);
  assert.ok(JSON.parse(readFileSync(path, "utf8")).auths["x.io"]);
  await failsWith("NOT_FOUND", logout("ghcr.io", at));
  assert.equal(await storeLogin(login, { ...at, env: { ...at.env, REGISTRY_AUTH_FILE: "" } }), path, "empty is unset");
});

test("a linked file stays a link; a file that cannot be understood is not overwritten", async () => {
  const at = { ...home({ "real.json": "{}", "bad.json": "{ not json" }), clock: jumpingClock() };
  const link = join(at.home, "link.json");
  symlinkSync(join(at.home, "real.json"), link);
  await storeLogin(login, { ...at, authfile: link });
  assert.ok(lstatSync(link).isSymbolicLink());
  assert.ok(JSON.parse(readFileSync(join(at.home, "real.json"), "utf8")).auths["ghcr.io"]);
  await failsWith("CONFIG_INVALID", storeLogin(login, { ...at, authfile: join(at.home, "bad.json") }));
  assert.equal(readFileSync(join(at.home, "bad.json"), "utf8"), "{ not json");
  await assert.rejects(storeLogin(login, { ...at, authfile: join(at.home, "bad.json", "below") }));
});

test("a login goes to the helper that the file names", async () => {
  const at = { ...home({ "run/containers/auth.json": { credsStore: "box" } }), clock: jumpingClock() };
  const box = join(at.home, "box");
  helper(at, "box", `case $1 in store) cat > ${box};; get) cat > /dev/null; cat ${box};; erase) rm ${box};; esac`);
  assert.equal(await storeLogin(login, at), "docker-credential-box");
  assert.deepEqual(JSON.parse(readFileSync(box, "utf8")), { ServerURL: "ghcr.io", Username: "me", Secret: "s:e/cret" });
  assert.equal((await look(at)).credential, "me:s:e/cret");
  assert.deepEqual((await logout("ghcr.io", at)).removedFrom, ["docker-credential-box"]);
  assert.ok(!existsSync(box));
});

test("a secret cannot be shown by chance", () => {
  const secret = new Secret("hidden");
  for (const shown of [
    String(secret),
    `${secret}`,
    JSON.stringify({ secret }),
    inspect({ secret }, { depth: 9, showHidden: true }),
  ])
    assert.ok(!shown.includes("hidden"), shown);
  assert.equal(secret.reveal(), "hidden");
});
