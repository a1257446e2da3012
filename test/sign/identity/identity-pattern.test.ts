// Proves that an identity counts only as a whole: no prefix, suffix, part or other case of a name, and no other issuer
// or id.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { StaveError } from "../../../lib/errors.ts";
import { type CertificateIdentity, IdentityPattern } from "../../../lib/sign/identity/identity-pattern.ts";
import { useSeed } from "../../support/seed.ts";
import { IDENTITY, ISSUER } from "../../support/sigstore.ts";

useSeed();
const who = (name: string, more: Partial<CertificateIdentity> = {}): CertificateIdentity => ({
  ...{ issuer: ISSUER, name, repositoryId: "1234", ownerId: "99" },
  ...more,
});
const differs = (identity: string, found: CertificateIdentity, more = {}): string | undefined =>
  new IdentityPattern({ issuer: ISSUER, identity, ...more }, "here").difference(found);

const accepted: [identity: string, name: string][] = [
  [IDENTITY, IDENTITY],
  ["https://github.com/org/**", IDENTITY],
  ["https://github.com/org/*/.github/workflows/push.yml@refs/heads/main", IDENTITY],
  ["https://github.com/org/cache/.github/workflows/*@refs/heads/main", IDENTITY],
  ["https://github.com/org/cache/.github/workflows/push.yml@refs/**", IDENTITY],
  ["**@example.org", "me@example.org"],
  ["https://ci.example/**", "https://ci.example/any/job"],
  ["https://gitlab.com/org/**", "https://gitlab.com/org/app//.gitlab-ci.yml@refs/heads/main"],
  ["*@example.org", "@example.org"],
  ["https://github.com/o.g/x+(y)", "https://github.com/o.g/x+(y)"],
];
for (const [identity, name] of accepted)
  test(`${identity} accepts ${name}`, () => assert.equal(differs(identity, who(name)), undefined));

const refused: [identity: string, name: string][] = [
  [IDENTITY, `${IDENTITY}2`],
  [IDENTITY, IDENTITY.slice(0, -1)],
  [IDENTITY, `x${IDENTITY}`],
  [IDENTITY, IDENTITY.toUpperCase()],
  [IDENTITY, IDENTITY.replace("github.com", "githubXcom")],
  [IDENTITY, `${IDENTITY}\n`],
  ["https://github.com/org/*", IDENTITY],
  ["https://github.com/org/**", "https://github.com/organization/cache"],
  ["https://github.com/org/**", `https://evil.example/?${IDENTITY}`],
  ["https://github.com/org/*/.github/workflows/push.yml@refs/heads/main", IDENTITY.replace("/cache/", "/a/b/")],
  ["*@example.org", "me@example.org.evil.example"],
  ["*@example.org", "me/you@example.org"],
  ["https://github.com/o.g/x", "https://github.com/oXg/x"],
];
for (const [identity, name] of refused)
  test(`${identity} refuses ${JSON.stringify(name)}`, () =>
    assert.match(differs(identity, who(name)) ?? "", /its name is/));

test("issuer and ids are compared exactly", () => {
  assert.match(differs(IDENTITY, who(IDENTITY, { issuer: `${ISSUER}/` })) ?? "", /its issuer is/);
  assert.match(differs(IDENTITY, who(IDENTITY, { issuer: ISSUER.toUpperCase() })) ?? "", /its issuer is/);
  const ids = { repositoryId: "1234", ownerId: "99" };
  assert.equal(differs(IDENTITY, who(IDENTITY), ids), undefined);
  assert.match(differs(IDENTITY, who(IDENTITY, { repositoryId: "12345" }), ids) ?? "", /repository has the id 12345/);
  assert.match(differs(IDENTITY, who(IDENTITY, { repositoryId: undefined }), ids) ?? "", /the id none/);
  assert.match(differs(IDENTITY, who(IDENTITY, { ownerId: "1" }), ids) ?? "", /owner has the id 1/);
});

test("patterns that match everyone, and regular expressions, are refused", () => {
  for (const identity of [
    "*",
    "**",
    "/",
    "*/**",
    "^https://github.com/org/.*$",
    "https://github.com/.*",
    "a\\.b",
    "***",
    "me**",
    "org-ci*",
    "https://buildkite.com/*/deploy",
    "https://bitbucket.org/**",
  ])
    assert.throws(
      () => new IdentityPattern({ issuer: ISSUER, identity }, "here"),
      { code: "CONFIG_INVALID" },
      identity,
    );
});

const wide: [identity: string, says: RegExp][] = [
  ["https://**", /scheme and the host/],
  ["https://*", /scheme and the host/],
  ["https://*/**", /scheme and the host/],
  ["https://*.example/**", /scheme and the host/],
  ["https://github.com**", /scheme and the host/],
  ["https://github.com*/org/**", /scheme and the host/],
  ["*://github.com/org/**", /scheme and the host/],
  ["**://github.com/org/x", /scheme and the host/],
  ["**/**@https://x", /scheme and the host/],
  ["https://github.com/**", /owner/],
  ["https://github.com/*/app/.github/workflows/push.yml@refs/heads/main", /owner/],
  ["https://GitHub.com/org*", /owner/],
  ["https://github.com//**", /owner/],
  ["https://gitlab.com/*/**", /owner/],
  ["*@*", /domain/],
  ["**@**", /domain/],
  ["**/**@**", /domain/],
  ["me@*", /domain/],
  ["me@*.org", /domain/],
  ["*@example.org*", /domain/],
  ["https:**@refs/heads/main", /domain/],
  ["**:**", /scheme/],
  ["h**", /scheme/],
  ["https:**", /scheme/],
  ["http:/*/**", /scheme/],
  ["urn:**", /scheme/],
  ["**/org/x", /scheme/],
];
for (const [identity, says] of wide)
  test(`${identity} matches strangers and is refused`, () =>
    assert.throws(
      () => new IdentityPattern({ issuer: ISSUER, identity }, "here"),
      (error: StaveError) => error.code === "CONFIG_INVALID" && says.test(error.hint ?? ""),
    ));

test("a glob agrees with an anchored regular expression, and hostile ones take no time", () => {
  const before = "https://h/x";
  const piece = fc.constantFrom("a", "b", "/", "*", "**", ".");
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), fc.stringMatching(/^[ab/.]{0,12}$/), (pieces, name) => {
      const identity = `${before}${pieces.join("")}`;
      fc.pre(!/\*{3}|\.\*/.test(identity));
      const source = identity.replaceAll(
        /\*\*|\*|\./g,
        (one) => ({ "**": ".*", "*": "[^/]*", ".": "\\." })[one] ?? one,
      );
      assert.equal(
        differs(identity, who(`${before}${name}`)) === undefined,
        new RegExp(`^${source}$`).test(`${before}${name}`),
      );
    }),
    { numRuns: 2000 },
  );
  assert.ok(differs(`${before}${"**a".repeat(200)}b`, who(`${before}${"a".repeat(2000)}`)));
});
