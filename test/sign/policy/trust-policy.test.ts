// Proves that a trust policy means what it says: places are matched whole and however they are spelt, and whatever is
// not understood is refused.
import assert from "node:assert/strict";
import { chmodSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import * as z from "zod";
import { digestOf } from "../../../lib/oci/digest.ts";
import { describe } from "../../../lib/oci/manifest.ts";
import { OCI_MANIFEST } from "../../../lib/oci/mediatype.ts";
import { Roots } from "../../../lib/sign/identity/roots.ts";
import { PrivateKey } from "../../../lib/sign/key/private-key.ts";
import { Generations } from "../../../lib/sign/policy/generations.ts";
import { PlaceGuard } from "../../../lib/sign/policy/place-guard.ts";
import {
  bucketPlace,
  covers,
  folderPlace,
  layoutPlace,
  registryPlace,
  scopeOf,
  webPlace,
} from "../../../lib/sign/policy/policy-scope.ts";
import { type PlaceRule, parsePolicy, policySchema, TrustPolicy } from "../../../lib/sign/policy/trust-policy.ts";
import { SignatureFinder } from "../../../lib/sign/signature/find.ts";
import { NO_REVOCATIONS } from "../../../lib/sign/signature/judge.ts";
import { signStatement } from "../../../lib/sign/statement/bundle.ts";
import { type SignedFacts, statementBytes } from "../../../lib/sign/statement/statement.ts";
import { systemClock } from "../../../lib/util/time.ts";
import { memoryTarget } from "../../support/signatures.ts";
import { temporaryFolder } from "../../support/tree.ts";

const same = (path: string): string => path;
const key = await PrivateKey.generate();
const folder = temporaryFolder();
writeFileSync(join(folder, "release.pub"), key.publicKey.pem);

const RULE = { require: "signature", signers: ["release"] };
const GOOD = {
  version: 1,
  default: { require: "none" },
  caches: {
    "oci://ghcr.io/org": { ...RULE, index: "signed", indexMaxAge: "14d", bound: true },
    "oci://ghcr.io/org/free": { require: "none" },
    "oci-layout:/srv/caches": RULE,
    "https://mirror.example/bad": { require: "reject" },
    "file:///srv/mirrors": { require: "reject" },
  },
  signers: { release: { key: "release.pub", notAfter: "2030-01-01T00:00:00Z" } },
  revoked: { digests: [digestOf("x")], keys: ["a".repeat(64)], statements: [digestOf("y")] },
};
const roots = new Roots({ folder: join(folder, "roots"), transport: undefined, clock: systemClock });
const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
async function policyOf(value: unknown): Promise<TrustPolicy> {
  const path = join(folder, "trust.json");
  writeFileSync(path, bytes(value));
  return await TrustPolicy.read(path, { real: same, roots });
}

test("the longest rule that covers a place decides alone", async () => {
  const policy = await policyOf(GOOD);
  const cases: [place: string, scope: string | undefined, require: string][] = [
    [registryPlace("ghcr.io", "org/cache"), "oci://ghcr.io/org", "signature"],
    [registryPlace("ghcr.io", "org"), "oci://ghcr.io/org", "signature"],
    [registryPlace("GHCR.io:443", "org/cache"), "oci://ghcr.io/org", "signature"],
    [registryPlace("ghcr.io", "org/free/x"), "oci://ghcr.io/org/free", "none"],
    [registryPlace("ghcr.io", "organization/cache"), undefined, "none"],
    [registryPlace("ghcr.io", "other/org"), undefined, "none"],
    [registryPlace("ghcr.io.evil.example", "org/cache"), undefined, "none"],
    [registryPlace("evil.example", "ghcr.io/org"), undefined, "none"],
    [registryPlace("ghcr.io:0443", "org/cache"), "oci://ghcr.io/org", "signature"],
    [registryPlace("ghcr.io:8443", "org/cache"), undefined, "none"],
    // What a folder contains decides how it is read, never which rule applies.
    [folderPlace("/srv/caches/mirror", same), "oci-layout:/srv/caches", "signature"],
    [layoutPlace("/srv/mirrors/a", same), "file:///srv/mirrors", "reject"],
    [layoutPlace("/srv/caches", same), "oci-layout:/srv/caches", "signature"],
    [layoutPlace("/srv/caches/a", same), "oci-layout:/srv/caches", "signature"],
    [layoutPlace("/srv/caches-2", same), undefined, "none"],
    [
      layoutPlace("/link", (path) => (path === "/link" ? "/srv/caches/a" : path)),
      "oci-layout:/srv/caches",
      "signature",
    ],
    [webPlace(new URL("http://MIRROR.example:80/bad/x/")), "https://mirror.example/bad", "reject"],
  ];
  for (const [place, scope, require] of cases) {
    const rule = await policy.ruleFor(place);
    assert.deepEqual([rule.scope, rule.require], [scope, require], place);
  }
  const { index, indexMaxAge, bound, signers } = await policy.ruleFor("oci://ghcr.io/org/cache");
  assert.deepEqual([index, indexMaxAge, bound], ["signed", 14 * 86_400_000, true]);
  assert.deepEqual(
    [signers[0] && "key" in signers[0] && signers[0].key.fingerprint, signers[0]?.notAfter],
    [key.publicKey.fingerprint, Date.UTC(2030, 0, 1)],
  );
});

test("each spelling of a place has one form", () => {
  const forms: [text: string, form: string][] = [
    ["oci://GHCR.IO/org/", "oci://ghcr.io/org"],
    ["oci+http://localhost:5000/x", "oci://localhost:5000/x"],
    ["oci://ghcr.io", "oci://ghcr.io"],
    ["oci://index.docker.io/library", "oci://docker.io/library"],
    ["oci-layout:/a/b/../c//", "oci-layout:/a/c"],
    ["oci-layout:/", "oci-layout:"],
    ["file:///mirror/", "file:///mirror"],
    ["file:///my%20mirror/a/../b", "file:///my mirror/b"],
    ["oci://ghcr.io/Org/Cache", "oci://ghcr.io/org/cache"],
    ["oci://ghcr.io:00443/org", "oci://ghcr.io/org"],
    ["oci://localhost:05000/x", "oci://localhost:5000/x"],
    ["oci://127.1:5000/x", "oci://127.0.0.1:5000/x"],
    ["oci://[0:0::1]:5000/x", "oci://[::1]:5000/x"],
    ["https://127.1/priv", "https://127.0.0.1/priv"],
    ["oci://ghcr.io./org/x", "oci://ghcr.io/org/x"],
    ["oci://localhost.:5000/x", "oci://localhost:5000/x"],
    ["https://Mirror.org./%70riv", "https://mirror.org/priv"],
    ["https://mirror.org:443//priv//a%2fb/", "https://mirror.org/priv/a%2Fb"],
    ["http://mirror.org:8080/a/../priv", "https://mirror.org:8080/priv"],
    ["s3://bucket", "s3://bucket"],
    ["s3://bucket//team/", "s3://bucket/team"],
    ["gs://Bucket/team", "gs://Bucket/team"],
  ];
  for (const [text, form] of forms) assert.equal(scopeOf(text, "p", same), form);
  assert.ok(covers(scopeOf("oci-layout:/", "p", same), "oci-layout:/any/thing"));
  for (const url of [
    "https://m.org/%70riv",
    "https://m.org//priv",
    "https://m.org./priv",
    "http://m.org/x/%2e%2E/priv/a",
  ])
    assert.ok(covers(scopeOf("https://m.org/priv", "p", same), webPlace(new URL(url))), url);
  assert.ok(!covers(scopeOf("https://m.org/priv", "p", same), webPlace(new URL("https://m.org/private"))));
  assert.ok(covers(scopeOf("s3://bucket/team/", "p", same), bucketPlace("s3", "bucket", "team/x")));
  assert.ok(!covers(scopeOf("s3://bucket/team", "p", same), bucketPlace("gs", "bucket", "team")));
  assert.equal(registryPlace("registry-1.docker.io", "library/x"), "oci://docker.io/library/x");
});

type Json = Record<string, unknown>;
const changed = (change: (value: Json & typeof GOOD) => void): unknown => {
  const value = structuredClone(GOOD) as Json & typeof GOOD;
  change(value);
  return value;
};
const set = (place: "default" | "rule" | "signer" | "revoked", more: Json): unknown =>
  changed((all) => {
    const { default: rest, caches, signers, revoked } = all;
    const at = { default: rest, rule: caches["oci://ghcr.io/org"], signer: signers.release, revoked };
    Object.assign(at[place], more);
  });

const refused: Record<string, unknown> = {
  "no object": [],
  nothing: {},
  "no version": changed((all) => void delete (all as Json)["version"]),
  "another version": { ...GOOD, version: 2 },
  "no default": changed((all) => void delete (all as Json)["default"]),
  "a key that is not known": { ...GOOD, cache: {} },
  "a rule with a key that is not known": set("rule", { signer: "release" }),
  "a signer with a key that is not known": set("signer", { identity: "x" }),
  "revocations with a key that is not known": set("revoked", { digest: [] }),
  "a requirement that is not known": set("rule", { require: "maybe" }),
  "a rule without a requirement": changed((all) => void delete (all.caches["oci://ghcr.io/org"] as Json)["require"]),
  "a requirement without signers": set("default", { require: "signature" }),
  "an empty list of signers": set("rule", { signers: [] }),
  "a signer that is not listed": set("rule", { signers: ["nobody"] }),
  "a signer named like a method": set("rule", { signers: ["constructor"] }),
  "signers that are no list": set("rule", { signers: "release" }),
  "signers that nothing requires": set("default", { signers: ["release"] }),
  "an index rule that nothing requires": set("default", { index: "signed" }),
  "an age without a signed index": set("rule", { index: "any" }),
  "an age that is none": set("rule", { indexMaxAge: "two weeks" }),
  "an age of nothing": set("rule", { indexMaxAge: "0d" }),
  "a time that is none": set("signer", { notAfter: "tomorrow" }),
  "a signer without a key": changed((all) => void delete (all.signers.release as Json)["key"]),
  "a digest of another kind": set("revoked", { digests: ["sha512:00"] }),
  "a fingerprint in upper case": set("revoked", { keys: ["A".repeat(64)] }),
  "bound that is no boolean": set("rule", { bound: "yes" }),
};
for (const [what, value] of Object.entries(refused))
  test(`refused: ${what}`, () => {
    assert.throws(() => parsePolicy(bytes(value), "trust.json"), { code: "CONFIG_INVALID", message: /trust\.json/ });
  });

test("refused: text that is no JSON, keys that occur twice, places that are none, two rules for one place", async () => {
  for (const text of ["", "{", '{"version":1,"version":1,"default":{"require":"none"}}', `${JSON.stringify(GOOD)}x`])
    assert.throws(() => parsePolicy(Buffer.from(text), "trust.json"), { code: "CONFIG_INVALID" });
  const places = [
    ...["ghcr.io/org", "mirror", "oci://ghcr.io/org:tag@sha256:00", "oci-layout:relative", "oci://", "s3://"],
    ...[
      "s3:///folder",
      "gs://user@bucket/x",
      "oci://user@ghcr.io/org",
      "https://mirror.example/?x",
      "oci://ghcr.io//org",
    ],
    ...["oci://ghcr.io/org:tag", "oci-layout:/srv/caches:tag"],
    ...[
      "oci://ghcr.io/%6frg",
      "oci://ghcr.io/org cache",
      "oci://ghcr.io/../org",
      "oci://ghcr.io/o*",
      "oci://a.b:99999/org",
    ],
    ...["file://host/mirror", "file:///a%2fb", "file:mirror"],
  ];
  for (const place of places)
    await assert.rejects(policyOf({ ...GOOD, caches: { [place]: RULE } }), { code: "CONFIG_INVALID" }, place);
  const twice = { "oci://ghcr.io/org": RULE, "oci://GHCR.io/org/": { require: "none" } };
  await assert.rejects(policyOf({ ...GOOD, caches: twice }), { code: "CONFIG_INVALID", message: /two rules/ });
  const both = { "oci-layout:/srv/x": RULE, "file:///srv/x": { require: "none" } };
  await assert.rejects(policyOf({ ...GOOD, caches: both }), { code: "CONFIG_INVALID", message: /two rules/ });
});

test("a policy, or a file that it names, that every user may change is refused, also through a link", async () => {
  await policyOf(GOOD);
  const read = (path: string): Promise<TrustPolicy> => TrustPolicy.read(path, { real: same, roots });
  const [path, link] = [join(folder, "trust.json"), join(folder, "link.json")];
  symlinkSync("trust.json", link);
  await read(link);
  const anyone = { code: "CONFIG_INVALID", message: /every user of this machine may change it/ };
  for (const file of [path, join(folder, "release.pub")]) {
    chmodSync(file, 0o666);
    for (const one of [path, link]) await assert.rejects(read(one), anyone);
    // A group is chosen; everyone is not.
    chmodSync(file, 0o664);
    await read(path);
    chmodSync(file, 0o644);
  }
});

test("a key that cannot be read makes its rule an error, and no other", async () => {
  const policy = await policyOf({ ...GOOD, signers: { release: { key: "gone.pub" } } });
  await assert.rejects(policy.ruleFor("oci://ghcr.io/org/x"), { code: "NOT_FOUND" });
  assert.equal((await policy.ruleFor("oci://elsewhere.example/x")).require, "none");
});

test("the published JSON Schema accepts the policy and refuses keys that are not known", () => {
  const validate = new Ajv2020({ strict: false, validateFormats: false }).compile(z.toJSONSchema(policySchema));
  assert.ok(validate(GOOD), JSON.stringify(validate.errors));
  assert.ok(!validate({ ...GOOD, cache: {} }));
  assert.ok(!validate(set("rule", { signer: "release" })));
});

const manifest = describe(Buffer.from("an index"), OCI_MANIFEST);
const PLACE = "oci://ghcr.io/org/cache";
function guardWith(
  facts: SignedFacts,
  more: Partial<PlaceRule> = {},
  state = temporaryFolder(),
  tag = "index.spack",
): PlaceGuard {
  const subject = { digest: manifest.digest, name: tag, dagHash: undefined };
  const target = memoryTarget(manifest, [{ bundle: signStatement(statementBytes([subject], facts), key) }]);
  const rule: PlaceRule = {
    ...{
      scope: PLACE,
      require: "signature",
      index: "signed",
      indexMaxAge: undefined,
      bound: false,
      gpg: [],
      revoked: NO_REVOCATIONS,
    },
    signers: [{ name: "release", key: key.publicKey }],
    ...more,
  };
  return new PlaceGuard({
    ...{ place: PLACE, cache: PLACE, rule, policy: "trust.json", finder: new SignatureFinder(target) },
    generations: new Generations(state, () => 0.5),
    clock: { ...systemClock, now: () => Date.UTC(2026, 0, 15) },
    onWarning: assert.fail,
  });
}
const time = Date.UTC(2026, 0, 1);

test("an index passes once it is signed, and again; an older one and a missing one are noticed", async () => {
  const state = temporaryFolder();
  await guardWith({ time, generation: 5 }, {}, state).index("cache", undefined);
  for (const generation of [5, 5, 7]) await guardWith({ time, generation }, {}, state).index("cache", manifest);
  const older = guardWith({ time, generation: 6 }, {}, state).index("cache", manifest);
  await assert.rejects(older, { code: "INDEX_OUTDATED", message: /generation 6, but 7 was seen before/ });
  const gone = guardWith({ time, generation: 7 }, {}, state).index("cache", undefined);
  await assert.rejects(gone, { code: "INDEX_OUTDATED", message: /is gone, but there was one/ });
  // Where no signed index is required, none is judged.
  await guardWith({}, { index: "any" }, state).index("cache", undefined);
});

test("a generation that another process has seen in the meantime is not forgotten", async () => {
  const state = temporaryFolder();
  let at = 0;
  const seen = (): Generations => new Generations(state, () => ++at / 100);
  await seen().remember(PLACE, 4);
  // Both look before either writes, and the one that has seen less is the last to write.
  await Promise.all([seen().remember(PLACE, 7), seen().remember(PLACE, 5)]);
  await seen().remember(PLACE, 6);
  await seen().remember("oci://elsewhere.example/x", 9);
  assert.equal(await seen().highest(PLACE), 7);
  assert.equal(await seen().highest("oci://nowhere.example/x"), undefined);
});

const indexes: { what: string; guard: () => PlaceGuard; code: string; says: RegExp }[] = [
  {
    what: "is too old",
    guard: () => guardWith({ time, generation: 1 }, { indexMaxAge: 13 * 86_400_000 }),
    code: "INDEX_OUTDATED",
    says: /signed on 2026-01-01T.*longer ago than the policy permits/,
  },
  {
    what: "has no generation",
    guard: () => guardWith({ time }),
    code: "SIGNATURE_INVALID",
    says: /a generation and a time/,
  },
  {
    what: "has no time",
    guard: () => guardWith({ generation: 1 }),
    code: "SIGNATURE_INVALID",
    says: /a generation and a time/,
  },
  {
    what: "was signed as a spec",
    guard: () => guardWith({ time, generation: 1 }, {}, temporaryFolder(), "zlib.spack"),
    code: "SIGNATURE_INVALID",
    says: /for the tag zlib\.spack, not for index\.spack .*required by trust\.json/,
  },
  {
    what: "is for another cache",
    guard: () => guardWith({ time, generation: 1, cache: "oci://elsewhere.example/x" }, { bound: true }),
    code: "SIGNATURE_INVALID",
    says: /signed for oci:\/\/elsewhere/,
  },
  {
    what: "is of a place that is rejected",
    guard: () => guardWith({ time, generation: 1 }, { require: "reject" }),
    code: "SIGNATURE_MISSING",
    says: /trust\.json rejects oci:\/\/ghcr\.io\/org\/cache/,
  },
  {
    what: "is revoked",
    guard: () =>
      guardWith({ time, generation: 1 }, { revoked: { ...NO_REVOCATIONS, digests: new Set([manifest.digest]) } }),
    code: "REVOKED",
    says: /lists its digest/,
  },
];
for (const { what, guard, code, says } of indexes)
  test(`refused: an index that ${what}`, async () => {
    await assert.rejects(guard().index("cache", manifest), { code, message: says });
  });

test("a revoked image is refused where no signature is required, too", async () => {
  const revoked = { ...NO_REVOCATIONS, digests: new Set([manifest.digest]) };
  const guard = guardWith({}, { require: "none", index: "any", revoked });
  await assert.rejects(guard.image({ name: "x", digest: manifest.digest }), { code: "REVOKED" });
  assert.equal(await guard.image({ name: "x", digest: digestOf("other") }), undefined);
});
