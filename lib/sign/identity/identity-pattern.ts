// Which identities in certificates count: an issuer, an exact name or a glob, and ids, which stay when names are taken
// over by others. A glob must match the whole name: a pattern that is searched for anywhere also accepts strangers.
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { matchesGlob } from "../../util/glob.ts";

/** Who a certificate was issued to, as the authority attests it. */
export interface CertificateIdentity {
  /** The identity provider, as a URL. */
  readonly issuer: string;
  /** The name: the URL of a workflow, or an e-mail address. */
  readonly name: string;
  /** The ids of the source repository and of its owner; undefined if the certificate has none. */
  readonly repositoryId: string | undefined;
  readonly ownerId: string | undefined;
}

/** Identities as a policy describes them. */
export interface IdentityRule {
  /** Compared exactly. */
  readonly issuer: string;
  /** Exact, or a glob: `*` within one part of a path, `**` across parts. */
  readonly identity: string;
  readonly repositoryId?: string | undefined;
  readonly ownerId?: string | undefined;
}

/** A rule that can be asked. */
export class IdentityPattern {
  readonly rule: IdentityRule;

  /** Throws CONFIG_INVALID for a rule that would match everyone, or that looks like a regular expression. */
  constructor(rule: IdentityRule, where: string) {
    const wrong = (what: string, hint: string): StaveError =>
      new StaveError("CONFIG_INVALID", `${where} has the identity "${printable(rule.identity)}", ${what}`, { hint });
    if (/^\^|\$$|\.\*|\\|\*{3}/.test(rule.identity))
      throw wrong("which is neither a name nor a glob", "write a name or a glob: * within one part, ** across parts");
    const hint = tooWide(rule.identity);
    if (hint !== undefined) throw wrong("which matches strangers", hint);
    this.rule = rule;
  }

  /** How an identity differs from the rule; undefined if it satisfies it. */
  difference({ issuer, name, repositoryId, ownerId }: CertificateIdentity): string | undefined {
    const { rule } = this;
    if (!matchesGlob(rule.identity, name)) return `its name is ${printable(name)}, not ${rule.identity}`;
    if (issuer !== rule.issuer) return `its issuer is ${printable(issuer)}, not ${rule.issuer}`;
    if (rule.repositoryId !== undefined && repositoryId !== rule.repositoryId)
      return `its repository has the id ${printable(repositoryId ?? "none")}, not ${rule.repositoryId}`;
    if (rule.ownerId !== undefined && ownerId !== rule.ownerId)
      return `its owner has the id ${printable(ownerId ?? "none")}, not ${rule.ownerId}`;
    return undefined;
  }
}

// Hosts where anyone can have a first part of a path.
const SHARED_HOSTS = new Set([
  ...["github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "buildkite.com"],
  ...["app.circleci.com", "oidc.circleci.com", "g.codefresh.io"],
]);

/** What to write instead of a glob that also matches strangers; undefined if it does not. */
function tooWide(identity: string): string | undefined {
  const example = "https://github.com/org/**";
  if (!identity.includes("*")) return /^\/*$/.test(identity) ? `name someone, for example ${example}` : undefined;
  if (identity.includes("://")) {
    const [, host, owner = ""] = /^[a-z][a-z0-9+.-]*:\/\/([^/*]+)\/([^/]*)/i.exec(identity) ?? [];
    if (host === undefined) return `write the scheme and the host without *, for example ${example}`;
    const isAnyone = SHARED_HOSTS.has(host.toLowerCase()) && (owner === "" || owner.includes("*"));
    return isAnyone ? `write the owner without *, for example https://${host}/org/**` : undefined;
  }
  if (identity.includes("@"))
    return /@[^@*/]+$/.test(identity) ? undefined : "write the domain without *, for example *@example.org";
  // It may match any address that begins so, and any URL.
  return `write a URL with its scheme and host, for example ${example}, or an address with its domain`;
}
