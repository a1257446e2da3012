// Fuzzes what decides about trust: bundles, statements, keys and policies. Whatever the input, a bundle is believed
// only with the statement that was signed.
import assert from "node:assert/strict";
import { digestOf } from "../../../lib/oci/digest.ts";
import { TrustedRoot } from "../../../lib/sign/identity/trusted-root.ts";
import { PrivateKey } from "../../../lib/sign/key/private-key.ts";
import { PublicKey } from "../../../lib/sign/key/public-key.ts";
import { chooseServices, mayGetTokens } from "../../../lib/sign/keyless/signing-config.ts";
import { scopeOf } from "../../../lib/sign/policy/policy-scope.ts";
import { parsePolicy } from "../../../lib/sign/policy/trust-policy.ts";
import { isSignedBy, parseBundle, signStatement } from "../../../lib/sign/statement/bundle.ts";
import { parseStatement, statementBytes } from "../../../lib/sign/statement/statement.ts";
import { keylessSigner } from "../../support/keyless.ts";
import { startSigstore } from "../../support/sigstore.ts";
import type { Family } from "../family.ts";

const key = await PrivateKey.generate();
const payload = statementBytes([{ digest: digestOf("x"), name: "app", dagHash: "a".repeat(32) }], {
  ...{ cache: "oci://registry.example/cache", time: 0, generation: 1 },
});
const bundle = Buffer.from(signStatement(payload, key));
const instance = await startSigstore();
const signer = keylessSigner(instance, { rekor: 2 });
const certified = Buffer.from(await signer.signer.sign(payload));
const { root } = signer;
await signer.close();
await instance.close();
const claims = JSON.stringify(root.check(parseBundle(certified, "the bundle"), "the bundle"));

const policy = JSON.stringify({
  version: 1,
  default: { require: "none" },
  caches: { "oci://ghcr.io/org": { require: "signature", signers: ["a"], index: "signed", indexMaxAge: "1d" } },
  signers: { a: { key: "a.pub", notAfter: "2030-01-01T00:00:00Z" } },
});

export const family: Family = {
  name: "signatures",
  targets: [
    {
      name: "bundles",
      seeds: [bundle.toString()],
      words: [
        '"sig":"',
        '"payload":"',
        '"signatures":[',
        "{",
        "}",
        ",",
        "==",
        '"keyid":""',
        '"certificate":{"rawBytes":""}',
      ],
      run: (input) => {
        const parsed = parseBundle(input, "the bundle");
        if (isSignedBy(parsed, key.publicKey)) assert.deepEqual(parsed.payload, Buffer.from(payload));
      },
    },
    {
      name: "bundles with certificates",
      seeds: [certified.toString()],
      words: [
        '"tlogEntries":[',
        '"inclusionProof":',
        '"integratedTime":"1"',
        '"hashes":[]',
        "{",
        "}",
        ",",
        "==",
        "null",
      ],
      run: (input) => {
        const parsed = parseBundle(input, "the bundle");
        if (parsed.certificate === undefined) return;
        const checked = root.check(parsed, "the bundle");
        assert.deepEqual([parsed.payload, JSON.stringify(checked)], [Buffer.from(payload), claims]);
      },
    },
    {
      name: "trusted roots",
      seeds: [JSON.stringify(instance.trustedRoot)],
      words: ['"rawBytes":"', '"validFor":{', '"tlogs":[', '"ctlogs":[]', "{", "}", ",", "null", "=="],
      run: (input) => TrustedRoot.parse(input, "the root"),
    },
    {
      name: "signing configurations",
      seeds: [JSON.stringify(instance.signingConfig({ rekor: 2 }))],
      words: ['"selector":"ALL"', '"count":2', '"majorApiVersion":1', '"caUrls":[]', "http://", "{", "}", ",", "null"],
      run: (input) => {
        const { authority, logs } = chooseServices(input, "the configuration", Date.now());
        for (const url of [authority, ...logs.map((log) => log.url)]) assert.ok(mayGetTokens(url), url);
      },
    },
    {
      name: "statements",
      seeds: [Buffer.from(payload).toString()],
      words: ['"digest":{', '"sha256":"', '"name":', '"annotations":', '"predicate":', "[", "]", "{}", "null"],
      run: (input) => parseStatement(input, "the statement"),
    },
    {
      name: "public keys",
      seeds: [key.publicKey.pem],
      words: ["-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----", "\n", "MFkw", "="],
      run: (input) => PublicKey.parse(input.toString("latin1"), "x.pub"),
    },
    {
      name: "trust policies",
      seeds: [policy],
      words: ['"require":', '"signature"', '"signers":', '"revoked":{}', "{", "}", "[", "]", ",", "null"],
      run: (input) => parsePolicy(input, "trust.json"),
    },
    {
      name: "places of rules",
      seeds: ["oci://ghcr.io/org", "oci-layout:/srv/x", "https://mirror.example/y", "file:///z"],
      words: ["oci://", "oci-layout:", "//", "..", "@", "?", "#", ":", "/", "[::1]"],
      run: (input) => {
        const scope = scopeOf(input.toString("utf8"), "trust.json", (path) => path);
        assert.match(scope, /^(?:oci-layout:|(?:oci|https|file):\/\/)/);
      },
    },
  ],
};
