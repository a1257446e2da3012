// `stave trust`: shows, changes and explains the trust policy.
import { resolve } from "node:path";
import { Argument } from "commander";
import type { SpackFlags } from "../../api/from-spack/spack-files.ts";
import { checkNamed } from "../../api/signers/named-signers.ts";
import { policyPath, policyPaths, readPolicy, type TrustOptions } from "../../api/signers/trust.ts";
import { StaveError } from "../../errors.ts";
import type { NewSigner } from "../../sign/policy/edit-policy.ts";
import { addTransport, addTrust, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import type { Context } from "../machine/context.ts";
import type { Output } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, SpackFlags, TrustOptions {
  key?: string;
  certificateIdentity?: string;
  certificateOidcIssuer?: string;
  trustedRoot?: string;
  name?: string;
  index?: boolean;
}

const HELP = `
show prints the rule for a cache, or all rules. add requires for a cache, and for all caches below it, signatures by the key of
--key, or by the identity of --certificate-identity; of several signers, any one suffices. remove deletes the rule for a cache. explain says which rule applies to an image, who may sign it,
and whether a signature satisfies it. docs/trust.md describes the policy.

Examples:
  stave trust show
  stave trust add oci://ghcr.io/org --key release.pub
  stave trust add oci://ghcr.io/org/cache --certificate-oidc-issuer https://token.actions.githubusercontent.com \\
    --certificate-identity https://github.com/org/cache/.github/workflows/push.yml@refs/heads/main
  stave trust explain ghcr.io/org/app:1
  stave trust remove oci://ghcr.io/org`;

/** The command `stave trust`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("trust", "show, change and explain the trust policy")
    .addArgument(new Argument("<action>", "what to do").choices(["show", "add", "remove", "explain"]))
    .argument("[place]", "the cache, or for explain the image")
    .option("--key <file>", "add: the public key whose signatures count")
    .option("--certificate-identity <name>", "add: the workflow's URL or e-mail address; * and ** are wildcards")
    .option("--certificate-oidc-issuer <url>", "add: the issuer of that identity")
    .option("--trusted-root <file>", "add: its trusted_root.json (default: that of the public Sigstore instance)")
    .option("--name <name>", "add: the name of the signer in the policy (default: that of the key file)")
    .option("--index", "add: the index must be signed, too");
  addSpack(addTransport(addTrust(command))).addHelpText("after", helpText(HELP));
  return bindAction<[keyof typeof ACTIONS, string | undefined], Flags>(
    command,
    state,
    async (context, output, flags, action, place) => await ACTIONS[action]({ context, output, flags }, place),
  );
};

interface TrustRun {
  readonly context: Context;
  readonly output: Output;
  readonly flags: Flags;
}

const ACTIONS = { show, add, remove, explain };

async function show({ context, output, flags }: TrustRun, place: string | undefined): Promise<number> {
  const policy = await readPolicy(context, flags, undefined);
  const { showRules } = await import("../output/trust-text.ts");
  if (policy === undefined) {
    output.print(`there is no trust policy: looked for ${policyPaths(context).join(" and ")}`);
    output.report({ policy: undefined, rules: [] });
    return 0;
  }
  const { formOfPlace } = await import("../arguments/trust-place.ts");
  const form = place === undefined ? undefined : await formOfPlace(place, { context, flags });
  const rules = form === undefined ? await policy.allRules() : [await policy.ruleFor(form)];
  for (const line of showRules(policy.path, rules)) output.print(line);
  const { ruleRow } = await import("../output/trust-text.ts");
  output.report({ policy: policy.path, rules: rules.map(ruleRow) });
  return 0;
}

async function add(run: TrustRun, place: string | undefined): Promise<number> {
  const { output, flags } = run;
  const newSigner = signerToAdd(run);
  const scope = await scopeOf(run, needed(place, "add"));
  const path = writtenPath(run);
  const { addRule } = await import("../../sign/policy/edit-policy.ts");
  const { signer, isNew } = await addRule(path, {
    scope,
    signer: newSigner,
    name: flags.name,
    isIndexSigned: flags.index === true,
  });
  output.print(`${scope}: signatures by ${signer} are required (${path}${isNew ? ", a new file" : ""})`);
  output.report({ policy: path, scope, signer, isNew });
  return 0;
}

async function remove(run: TrustRun, place: string | undefined): Promise<number> {
  const scope = await scopeOf(run, needed(place, "remove"));
  const path = writtenPath(run);
  const { removeRule } = await import("../../sign/policy/edit-policy.ts");
  await removeRule(path, scope);
  const { output } = run;
  output.print(`removed the rule for ${scope} from ${path}`);
  output.report({ policy: path, scope, removed: true });
  return 0;
}

async function explain({ context, output, flags }: TrustRun, place: string | undefined): Promise<number> {
  const { explainImage } = await import("../arguments/trust-place.ts");
  const { explanationLines, ruleRow } = await import("../output/trust-text.ts");
  const { policy, rule, image, digest, signature, error } = await explainImage(needed(place, "explain"), {
    ...{ context, output, flags },
  });
  for (const line of explanationLines({ policy, rule, image, digest, signature, error })) output.print(line);
  output.report({ policy, rule: rule && ruleRow(rule), image, digest, signature, error });
  return error === undefined ? 0 : 1;
}

function signerToAdd({ context: { cwd }, flags }: TrustRun): NewSigner {
  const { key, certificateIdentity: identity, certificateOidcIssuer: issuer, trustedRoot } = flags;
  if ((key === undefined) === (identity === undefined))
    throw new StaveError("USAGE", "add needs the key or the identity whose signatures count", {
      hint: "name it with --key FILE, or with --certificate-identity NAME and --certificate-oidc-issuer URL",
    });
  checkNamed({
    certificateIdentity: identity === undefined ? undefined : [identity],
    certificateOidcIssuer: issuer,
    trustedRoot,
  });
  if (key !== undefined) return { key: resolve(cwd, key) };
  const root = trustedRoot === undefined ? undefined : resolve(cwd, trustedRoot);
  return { issuer: issuer ?? "", identity: identity ?? "", trustedRoot: root };
}

// The policy has whole URLs only; a place may be written as for other verbs.
async function scopeOf({ context, flags }: TrustRun, place: string): Promise<string> {
  if (/^[a-z0-9+]+:\/\//.test(place) || /^oci-layout:\//.test(place)) return place;
  const { formOfPlace } = await import("../arguments/trust-place.ts");
  return await formOfPlace(place, { context, flags });
}

function needed(place: string | undefined, action: string): string {
  if (place !== undefined) return place;
  throw new StaveError("USAGE", `${action} needs a place`, {
    hint: `for example \`stave trust ${action} oci://HOST/REPO\``,
  });
}

// The policy in use, otherwise the user's own.
function writtenPath({ context, flags }: TrustRun): string {
  const { cwd, env } = context;
  const named = flags.trust ?? (env["STAVE_TRUST"] || undefined);
  if (named !== undefined) return resolve(cwd, named);
  return policyPath(context, flags) ?? resolve(cwd, policyPaths(context)[0] ?? "trust.json");
}
