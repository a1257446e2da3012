// Proves that mirrors and their credentials are read as Spack's Mirror reads them, and that no secret is shown.
import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { Configuration } from "../../../lib/spack/config/config.ts";
import { type Direction, type Mirror, mirrors } from "../../../lib/spack/config/mirror.ts";
import { findMirror, registryCredentials } from "../../../lib/spack/config/mirror-lookup.ts";
import { configTree, hostAt } from "../../support/config-tree.ts";
import { failsWith } from "../../support/errors.ts";

function read(text: string): { all: Mirror[]; root: string } {
  const root = configTree({ "home/.spack/mirrors.yaml": text });
  return { root, all: mirrors(new Configuration({ host: hostAt(root, { SITE: "s1" }) })) };
}
const one = (entry: string): Mirror => read(`mirrors:\n  m: ${entry}\n`).all[0] ?? assert.fail();

const URLS: { entry: string; fetch: string; push?: string }[] = [
  { entry: "oci://ghcr.io/o/c", fetch: "oci://ghcr.io/o/c" },
  { entry: "oci+http://localhost:5000/c", fetch: "oci+http://localhost:5000/c" },
  { entry: "https://h/$SITE", fetch: "https://h/$SITE" },
  { entry: "../$SITE/a b+c", fetch: "file://ROOT/home/s1/a%20b%2Bc" },
  { entry: "/abs//x/../y/", fetch: "file:///abs/y" },
  { entry: "~/m", fetch: "file://ROOT/home/m" },
  { entry: "{url: 's3://b/p', push: 's3://b/q'}", fetch: "s3://b/p", push: "s3://b/q" },
  { entry: "{url: 'https://a', fetch: {view: v}, push: {url: /p}}", fetch: "https://a", push: "file:///p" },
  { entry: "{fetch: 'https://a', push: 'https://b'}", fetch: "https://a", push: "https://b" },
];
for (const { entry, fetch, push } of URLS)
  test(`the URLs of ${entry}`, () => {
    const { all, root } = read(`mirrors:\n  m: ${entry}\n`);
    const [mirror] = all;
    assert.equal(mirror?.url("fetch"), fetch.replace("ROOT", root));
    assert.equal(mirror?.url("push"), (push ?? fetch).replace("ROOT", root));
  });

test("what a mirror is for", () => {
  const claims = (entry: string) => {
    const { hasBinaries, hasSources, isSigned, isAutopush } = one(entry);
    return [hasBinaries, hasSources, isSigned, isAutopush];
  };
  assert.deepEqual(claims("https://h"), [true, true, true, false]);
  assert.deepEqual(claims("{url: 'https://h', binary: false, source: false, signed: false, autopush: true}"), [
    false,
    false,
    false,
    true,
  ]);
  assert.deepEqual(
    claims("{url: 'oci://h/r', signed: true}"),
    [true, true, false, false],
    "an OCI registry has no signatures of Spack",
  );
  assert.equal(one("{url: 'https://h', view: v, push: {view: w}}").view("push"), "w");
});

test("mirrors come in the order of the file", () => {
  assert.deepEqual(
    read("mirrors: {b: /b, 2: /two, a: /a, 1: /one, __proto__: /p}").all.map(({ name }) => name),
    ["b", "2", "a", "1", "__proto__"],
  );
});

const ENV = { ID: "ada", KEY: "s3cret", EMPTY: "", TOKEN: "t0ken" };
const CREDENTIALS: {
  name: string;
  entry: string;
  direction?: Direction;
  expect: { id?: string; secret?: string; token?: string; profile?: string; endpointUrl?: string; missing?: string[] };
}[] = [
  { name: "none", entry: "https://h", expect: {} },
  {
    name: "an id and a variable",
    entry: "{url: 'oci://h/r', access_pair: {id: me, secret_variable: KEY}}",
    expect: { id: "me", secret: "s3cret" },
  },
  {
    name: "two variables",
    entry: "{url: 'oci://h/r', access_pair: {id_variable: ID, secret_variable: KEY}}",
    direction: "push",
    expect: { id: "ada", secret: "s3cret" },
  },
  {
    name: "an unset variable is no pair",
    entry: "{url: 'oci://h/r', access_pair: {id: me, secret_variable: UNSET}}",
    expect: { missing: ["UNSET"] },
  },
  {
    name: "both unset",
    entry: "{url: 'oci://h/r', access_pair: {id_variable: NO, secret_variable: UNSET}}",
    expect: { missing: ["NO", "UNSET"] },
  },
  {
    name: "an empty variable is no pair either",
    entry: "{url: 'oci://h/r', access_pair: {id: me, secret_variable: EMPTY}}",
    direction: "push",
    expect: {},
  },
  {
    name: "__proto__ is no variable",
    entry: "{url: 'oci://h/r', access_token_variable: __proto__}",
    expect: { missing: ["__proto__"] },
  },
  {
    name: "a pair as Spack 0.x wrote it",
    entry: "{url: 'oci://h/r', access_pair: [me, pw]}",
    expect: { id: "me", secret: "pw" },
  },
  { name: "half of such a pair", entry: "{url: 'oci://h/r', access_pair: [me, ~]}", expect: {} },
  { name: "a token", entry: "{url: 'https://h', access_token: abc}", expect: { token: "abc" } },
  {
    name: "the variable of a token",
    entry: "{url: 'https://h', access_token_variable: TOKEN}",
    expect: { token: "t0ken" },
  },
  {
    name: "S3",
    entry: "{url: 's3://b', profile: p, endpoint_url: 'https://e'}",
    expect: { profile: "p", endpointUrl: "https://e" },
  },
  {
    name: "a URL for pushing keeps the common credentials",
    entry: "{url: 'https://h', push: 'https://p', access_token: abc}",
    direction: "push",
    expect: { token: "abc" },
  },
  {
    name: "those for pushing come first",
    entry: "{url: 'https://h', access_pair: [a, b], push: {access_pair: {id: me, secret_variable: KEY}}}",
    direction: "push",
    expect: { id: "me", secret: "s3cret" },
  },
  {
    name: "none for pushing",
    entry: "{url: 'https://h', access_pair: [a, b], push: {access_pair: ~}}",
    direction: "push",
    expect: {},
  },
];
for (const { name, entry, direction = "fetch", expect } of CREDENTIALS)
  test(`credentials: ${name}`, () => {
    const { pair, token, profile, endpointUrl, missing } = one(entry).credentials(direction, ENV);
    const found = {
      id: pair?.id,
      secret: pair?.secret.reveal(),
      token: token?.reveal(),
      profile,
      endpointUrl,
      missing,
    };
    assert.deepEqual(found, {
      id: undefined,
      secret: undefined,
      token: undefined,
      profile: undefined,
      endpointUrl: undefined,
      missing: [],
      ...expect,
    });
  });

test("pushing with an unset variable is an error that names it", async () => {
  const mirror = one("{url: 'oci://h/r', access_pair: {id_variable: NO, secret_variable: UNSET}}");
  const error = await failsWith(
    "CREDENTIALS_MISSING",
    () => mirror.pushCredentials(ENV),
    /invalid push configuration for mirror m: NO and UNSET not set/,
  );
  assert.equal(error.hint, "set NO and UNSET");
  assert.equal(
    one("{url: 'oci://h/r', access_pair: {id: me, secret_variable: KEY}}").pushCredentials(ENV).pair?.id,
    "me",
  );
});

test("no secret is shown, however it is printed", () => {
  const mirror = one(
    "{url: 'https://user:hunter2@h/x', access_pair: [me, hunter2], access_token: hunter2, push: {access_pair: {id: me, secret_variable: KEY}}}",
  );
  const credentials = mirror.credentials("fetch", ENV);
  const pushing = mirror.credentials("push", { KEY: "hunter2" });
  for (const value of [mirror, credentials, pushing])
    for (const text of [
      JSON.stringify(value),
      inspect(value, { depth: 9, showHidden: true }),
      String(value),
      `${credentials.token}${credentials.pair?.secret}`,
    ])
      assert.doesNotMatch(text, /hunter2/);
  assert.deepEqual(mirror.toJSON()["push"], {
    url: "https://***@h/x",
    access_pair: { id: "me", secret_variable: "KEY" },
    access_token: "***",
  });
  assert.deepEqual(mirror.variables, ["KEY"]);
});

const WRONG: { name: string; entry: string; message: RegExp }[] = [
  { name: "no URL", entry: "{binary: true}", message: /mirrors\.yaml:2:\d+: mirrors:m has no URL to fetch/ },
  { name: "only one to push", entry: "{push: 'https://h'}", message: /has no URL to fetch/ },
  {
    name: "an unknown key",
    entry: "{url: 'https://h', acess_token: x}",
    message: /mirrors:m is a mapping: the key acess_token is unknown/,
  },
  { name: "a list", entry: "[a]", message: /mirrors:m is a list: / },
  { name: "a number as URL", entry: "{url: 5}", message: /mirrors:m:url is 5: expected string/ },
  {
    name: "a yes that is no boolean",
    entry: "{url: 'https://h', signed: yes}",
    message: /mirrors:m:signed is "yes": expected boolean/,
  },
  {
    name: "an id and its variable",
    entry: "{url: 'https://h', access_pair: {id: hunter2, id_variable: B, secret_variable: C}}",
    message: /mirrors:m:access_pair is not valid/,
  },
  {
    name: "a pair without a secret",
    entry: "{url: 'https://h', access_pair: {id: hunter2}}",
    message: /mirrors:m:access_pair\S* is not valid/,
  },
  {
    name: "three of a pair",
    entry: "{url: 'https://h', access_pair: [hunter2, hunter2, hunter2]}",
    message: /mirrors:m:access_pair\S* is not valid/,
  },
];
for (const { name, entry, message } of WRONG)
  test(`a mirror is an error with file and key: ${name}`, async () => {
    const error = await failsWith("CONFIG_INVALID", () => one(entry), message);
    assert.doesNotMatch(error.message, /hunter2/);
  });

const LOOKUP = `mirrors:
  here: ../mirror
  plain: oci://ghcr.io/o/plain
  unset: {url: 'oci://ghcr.io/o/unset', access_pair: {id: a, secret_variable: UNSET}}
  pulls: {url: 'oci://ghcr.io/o/c', access_pair: {id: puller, secret_variable: KEY}, push: {url: 'oci://other.io/c'}}
  local: {url: 'oci+http://localhost:5000/c', access_pair: {id: local, secret_variable: KEY}}
  later: {url: 'oci://ghcr.io/o/d', access_pair: {id: later, secret_variable: KEY}}
  web: {url: 'https://quay.io/x', access_pair: {id: web, secret_variable: KEY}}
  hub: {url: 'oci://user/repository', access_pair: {id: hub, secret_variable: KEY}}
  broken: {url: 'oci://::', access_pair: {id: broken, secret_variable: KEY}}
`;
const config = (text: string) => new Configuration({ host: hostAt(configTree({ "home/.spack/mirrors.yaml": text })) });

test("the credentials of a registry are those of the first mirror on it, and the push side counts first", () => {
  const all = mirrors(config(LOOKUP));
  const id = (registry: string) => registryCredentials(all, registry, ENV)?.id;
  assert.deepEqual(
    ["ghcr.io", "other.io", "localhost:5000", "localhost", "quay.io", "index.docker.io", "none.io"].map(id),
    ["puller", "puller", "local", undefined, undefined, "hub", undefined],
  );
});

test("a mirror on the command line is a URL or path when it has a slash, else a configured name", async () => {
  const at = config(LOOKUP);
  const { cwd } = at.context.host;
  assert.equal(findMirror("plain", at).url("push"), "oci://ghcr.io/o/plain");
  assert.equal(findMirror("oci://h/r", at).url("push"), "oci://h/r");
  assert.equal(findMirror("./plain", at).url("fetch"), `file://${cwd}/plain`);
  assert.equal(findMirror(".", at).url("fetch"), `file://${cwd}`);
  assert.equal(findMirror("/abs", at).name, "/abs");
  const error = await failsWith(
    "USAGE",
    () => findMirror("plian", at),
    /no mirror is named plian, expected one of here, plain, /,
  );
  assert.equal(error.hint, "did you mean ./plian?");
  await failsWith("USAGE", () => findMirror("x", config("")), /no mirror is named x, and none is configured/);
});
