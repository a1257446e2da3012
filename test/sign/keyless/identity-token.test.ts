// Proves where identity tokens come from, in which order, and that one that cannot be used is refused at once.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { isStaveError, type StaveError } from "../../../lib/errors.ts";
import { identityToken, type TokenOptions } from "../../../lib/sign/keyless/identity-token.ts";
import { chooseServices } from "../../../lib/sign/keyless/signing-config.ts";
import { connect } from "../../support/client.ts";
import { type SigstoreInstance, startSigstore } from "../../support/sigstore.ts";

let instance: SigstoreInstance;
before(async () => {
  instance = await startSigstore();
});
after(() => instance.close());

async function ask(env: TokenOptions["env"], more: Partial<TokenOptions> = {}): Promise<string> {
  const { transport, clock, close } = connect("127.0.0.1:1", "x", { retry: { attempts: 1 } });
  const identityProvider = `${instance.url}/auth`;
  try {
    return (await identityToken({ env, transport, clock, identityProvider, ...more })).token.reveal();
  } finally {
    await close();
  }
}

const github = (more = {}) => ({
  GITHUB_ACTIONS: "true",
  CI: "true",
  ACTIONS_ID_TOKEN_REQUEST_URL: `${instance.url}/ci/token?api-version=2`,
  ACTIONS_ID_TOKEN_REQUEST_TOKEN: "ci-secret",
  ...more,
});

test("the token of a GitHub job is asked for with its audience", async () => {
  const token = await ask(github());
  assert.equal(JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()).aud, "sigstore");
  const request = instance.requests.at(-1);
  assert.match(request?.path ?? "", /\?api-version=2&audience=sigstore$/);
});

test("SIGSTORE_ID_TOKEN is taken before that of the job, and needs no request", async () => {
  const asked = instance.requests.length;
  const token = instance.token({ nonce: 1 });
  assert.equal(await ask(github({ SIGSTORE_ID_TOKEN: `${token}\n` })), token);
  assert.equal(instance.requests.length, asked);
});

test("a person at a terminal logs in with a browser on any machine", async () => {
  const prompts: string[] = [];
  instance.device = "pending";
  const token = await ask({}, { onPrompt: (text) => prompts.push(text) });
  assert.equal(JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()).email, "me@example.org");
  assert.match(prompts.join(), /device\?user_code=ABCD-EFGH and confirm the code ABCD-EFGH/);
  const forms = instance.requests.filter(({ path }) => path.startsWith("/auth/")).map(({ body }) => body);
  assert.equal(forms.filter((body) => body.includes("code_verifier=")).length, 2);
  assert.ok(forms.some((body) => body.includes("code_challenge_method=S256")));
  instance.device = "denied";
  await assert.rejects(ask({}, { onPrompt: () => {} }), { code: "CREDENTIALS_REJECTED", message: /access_denied/ });
});

const withoutToken = [
  [
    "a pull request of a fork",
    { GITHUB_ACTIONS: "true", CI: "true" },
    /GitHub job/,
    /id-token: write.*forks never get/,
  ],
  ["a GitLab job", { GITLAB_CI: "true" }, /GitLab job/, /id_tokens/],
  ["another CI job", { CI: "1" }, /SIGSTORE_ID_TOKEN, ACTIONS_ID_TOKEN_REQUEST_URL/, /sign with a key/],
  ["a script", {}, /a terminal to ask a person on/, /SIGSTORE_ID_TOKEN/],
] as const;
for (const [what, env, message, hint] of withoutToken)
  test(`${what} without a token is refused at once`, async () => {
    const asked = instance.requests.length;
    const onPrompt = what === "a script" ? undefined : () => assert.fail("a person was asked");
    await assert.rejects(ask(env, { onPrompt }), (error: StaveError) => {
      assert.equal(error.code, "CREDENTIALS_MISSING");
      assert.match(error.message, message);
      assert.match(error.hint ?? "", hint);
      return true;
    });
    assert.equal(instance.requests.length, asked);
  });

const rejected: Record<string, () => Record<string, string>> = {
  "no token": () => ({ SIGSTORE_ID_TOKEN: "hello" }),
  "two parts": () => ({ SIGSTORE_ID_TOKEN: "aGVsbG8.aGVsbG8" }),
  "claims that are no JSON": () => ({ SIGSTORE_ID_TOKEN: "aGVsbG8.aGVsbG8.aGVsbG8" }),
  "another audience": () => ({ SIGSTORE_ID_TOKEN: instance.token({ aud: "https://github.com/org" }) }),
  "an expired token": () => ({ SIGSTORE_ID_TOKEN: instance.token({ exp: 1000 }) }),
  "no subject": () => ({ SIGSTORE_ID_TOKEN: instance.token({ sub: "" }) }),
  "an e-mail address that was not verified": () => ({
    SIGSTORE_ID_TOKEN: instance.token({ email: "me@example.org", email_verified: false }),
  }),
  "100 kB": () => ({ SIGSTORE_ID_TOKEN: instance.token({ x: "x".repeat(100_000) }) }),
  "a GitHub job whose token is refused": () => github({ ACTIONS_ID_TOKEN_REQUEST_TOKEN: "wrong" }),
  "a GitHub job without the token of its URL": () => github({ ACTIONS_ID_TOKEN_REQUEST_TOKEN: "" }),
  "a token service without https": () => github({ ACTIONS_ID_TOKEN_REQUEST_URL: "http://example.org/token" }),
};
for (const [what, env] of Object.entries(rejected))
  test(`refused: ${what}`, async () => {
    const error: unknown = await ask(env()).then(
      () => assert.fail("it was taken"),
      (cause: unknown) => cause,
    );
    assert.ok(isStaveError(error, "CREDENTIALS_REJECTED"), String(error));
    assert.ok(!error.message.includes(env()["SIGSTORE_ID_TOKEN"]?.split(".")[1] ?? "ci-secret"), error.message);
  });

test("services are those that are valid now, of the highest version, and over https", () => {
  const now = Date.UTC(2026, 0, 1);
  const service = (url: string, start: string, more = {}) => ({
    ...{ url, majorApiVersion: 1, validFor: { start }, operator: url },
    ...more,
  });
  const [past, late, future] = ["2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z", "2027-01-01T00:00:00Z"] as const;
  const good = {
    mediaType: "application/vnd.dev.sigstore.signingconfig.v0.2+json",
    caUrls: [
      service("https://old.example", past),
      service("https://ca.example/", late),
      service("https://new.example", future),
    ],
    rekorTlogUrls: [
      service("https://log1.example", late),
      service("https://log2.example", past, { majorApiVersion: 2 }),
      service("https://log3.example", late, { majorApiVersion: 3 }),
    ],
    tsaUrls: [
      service("https://ended.example/stamp", past, { validFor: { start: past, end: late } }),
      service("https://tsa.example/stamp", past),
      service("https://tsa2.example/stamp", past),
    ],
    rekorTlogConfig: { selector: "ANY" },
    tsaConfig: { selector: "EXACT", count: 2 },
  };
  const choose = (more: object) => chooseServices(Buffer.from(JSON.stringify({ ...good, ...more })), "config", now);
  assert.deepEqual(choose({}), {
    authority: "https://ca.example",
    identityProvider: undefined,
    logs: [{ url: "https://log2.example", version: 2 }],
    stamps: ["https://tsa.example/stamp", "https://tsa2.example/stamp"],
  });
  assert.equal(choose({ rekorTlogConfig: { selector: "ALL" } }).logs.length, 2);
  const bad: object[] = [
    { mediaType: "x" },
    { caUrls: [] },
    { caUrls: [service("http://ca.example", past)] },
    { caUrls: [service("ftp://ca.example", past)] },
    { rekorTlogUrls: [] },
    { rekorTlogConfig: { selector: "EXACT", count: 3 } },
    { rekorTlogConfig: { selector: "SOME" } },
    { tsaConfig: { selector: "EXACT", count: 3 } },
    { tsaUrls: [], tsaConfig: undefined },
    { tsaUrls: [service("http://tsa.example", past)], tsaConfig: { selector: "ANY" } },
  ];
  for (const more of bad) assert.throws(() => choose(more), { code: "CONFIG_INVALID" }, JSON.stringify(more));
});
