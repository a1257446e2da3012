// Identity tokens: from the CI system that runs this job, or from a person in a browser. The token proves an identity
// to the authority for certificates, and is sent nowhere else.
import * as z from "zod";
import { isStaveError, StaveError } from "../../errors.ts";
import type { Transport } from "../../http/types.ts";
import { parseBySchema } from "../../oci/manifest.ts";
import { printable } from "../../printable/printable.ts";
import { rememberSecret, Secret } from "../../printable/secret.ts";
import type { Clock } from "../../util/time.ts";
import { deviceToken } from "./device-flow.ts";
import { mayGetTokens } from "./signing-config.ts";

/** The audience of tokens for signing. */
const AUDIENCE = "sigstore";
/** Maximum number of bytes of an answer with a token. */
const TOKEN_LIMIT = 64 * 1024;

/** What obtaining a token needs. */
export interface TokenOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly transport: Transport;
  readonly clock: Clock;
  /** The identity provider for people; undefined if the deployment has none. */
  readonly identityProvider: string | undefined;
  /** Shows a person what to do; undefined without a terminal. */
  readonly onPrompt?: ((text: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A token, and whom it says it is for. */
export interface IdentityToken {
  readonly token: Secret;
  /** The end of its life, in milliseconds since the epoch. */
  readonly expires: number;
  /** The claim that identifies its holder; the authority wants it signed. */
  readonly claimed: string;
}

const claimsSchema = z.looseObject({
  aud: z.union([z.string(), z.array(z.string())]),
  exp: z.number().positive(),
  sub: z.string().min(1).optional(),
  email: z.string().min(1).optional(),
  email_verified: z.union([z.boolean(), z.literal("true"), z.literal("false")]).optional(),
});
const answerSchema = z.looseObject({ value: z.string().min(1) });

/**
 * Gets an identity token: `$SIGSTORE_ID_TOKEN`, else that of the GitHub job, else from a person at the terminal. Throws
 * CREDENTIALS_MISSING, which lists the places, CREDENTIALS_REJECTED for a token that cannot be used, and what requests
 * throw.
 */
export async function identityToken(options: TokenOptions): Promise<IdentityToken> {
  const { env, clock } = options;
  const source = tokenSource(options);
  if (source === "variable") return checked((env["SIGSTORE_ID_TOKEN"] ?? "").trim(), "SIGSTORE_ID_TOKEN", clock.now());
  if (source === "github") return checked(await fromGitHub(options), "the GitHub job", clock.now());
  return checked(await deviceToken({ ...options, ...source }), source.identityProvider, clock.now());
}

/** Where a token will come from; sends no request. Throws CREDENTIALS_MISSING, which lists the places. */
export function tokenSource({
  env,
  identityProvider,
  onPrompt,
}: Pick<TokenOptions, "env" | "identityProvider" | "onPrompt">):
  | "variable"
  | "github"
  | { readonly identityProvider: string; readonly onPrompt: (text: string) => void } {
  if (env["SIGSTORE_ID_TOKEN"]) return "variable";
  if (env["ACTIONS_ID_TOKEN_REQUEST_URL"]) return "github";
  const isCi = Boolean(env["CI"] || env["GITHUB_ACTIONS"] || env["GITLAB_CI"]);
  if (!isCi && onPrompt !== undefined && identityProvider !== undefined) return { identityProvider, onPrompt };
  throw missing(env, onPrompt !== undefined);
}

function missing(env: TokenOptions["env"], hasTerminal: boolean): StaveError {
  const subject = "an identity token";
  if (env["GITHUB_ACTIONS"])
    return new StaveError("CREDENTIALS_MISSING", "this GitHub job may not get an identity token to sign with", {
      subject,
      hint: 'give the job the permission "id-token: write"; pull requests from forks never get a token, so sign after the merge',
    });
  if (env["GITLAB_CI"])
    return new StaveError("CREDENTIALS_MISSING", "this GitLab job has no identity token to sign with", {
      subject,
      hint: 'add "id_tokens: {SIGSTORE_ID_TOKEN: {aud: sigstore}}" to the job',
    });
  const places = "looked for SIGSTORE_ID_TOKEN, ACTIONS_ID_TOKEN_REQUEST_URL";
  const person = hasTerminal ? "an identity provider for people" : "a terminal to ask a person on";
  return new StaveError("CREDENTIALS_MISSING", `no identity token to sign with: ${places} and ${person}`, {
    subject,
    hint: "set SIGSTORE_ID_TOKEN, or sign with a key",
  });
}

async function fromGitHub({ env, transport, signal }: TokenOptions): Promise<string> {
  const text = env["ACTIONS_ID_TOKEN_REQUEST_URL"] ?? "";
  const secret = env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"];
  const url = URL.parse(text);
  if (url === null || !mayGetTokens(text) || !secret)
    throw new StaveError("CREDENTIALS_REJECTED", "ACTIONS_ID_TOKEN_REQUEST_URL and its token are not usable", {
      hint: "leave both as GitHub sets them: an https URL and its token",
    });
  url.searchParams.set("audience", AUDIENCE);
  rememberSecret(secret);
  try {
    const { bytes } = await transport.requestBytes(
      {
        ...{ method: "GET", url, accept: [200], op: "get an identity token", subject: url.host, signal },
        headers: { authorization: `Bearer ${secret}`, accept: "application/json" },
        traffic: "token",
      },
      TOKEN_LIMIT,
    );
    return parseBySchema(bytes, answerSchema, "the answer of GitHub's token service").value;
  } catch (error) {
    if (!isStaveError(error, "DENIED", "CREDENTIALS_REJECTED", "CREDENTIALS_MISSING", "NOT_FOUND")) throw error;
    throw new StaveError("CREDENTIALS_REJECTED", `GitHub gives this job no identity token: ${error.message}`, {
      hint: 'give the job the permission "id-token: write", and run it again if it is older than a day',
      cause: error,
    });
  }
}

/** Checks what a token is for. Only the authority can check its signature. */
function checked(text: string, from: string, now: number): IdentityToken {
  const rejected = (what: string): StaveError =>
    new StaveError("CREDENTIALS_REJECTED", `the identity token of ${from} ${what}`, {
      subject: from,
      hint: `get a new token with the audience ${AUDIENCE}`,
    });
  const token = new Secret(text);
  if (text.length > TOKEN_LIMIT || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(text))
    throw rejected("is no signed JSON Web Token");
  const [, body = ""] = text.split(".");
  const claims = claimsSchema.safeParse(jsonOf(Buffer.from(body, "base64url")));
  if (!claims.success) throw rejected("has no audience or no end");
  const { aud, exp, sub, email, email_verified: isVerified } = claims.data;
  if (![aud].flat().includes(AUDIENCE))
    throw rejected(`is for ${printable([aud].flat().join(", "), { most: 200 })}, expected ${AUDIENCE}`);
  if (exp * 1000 <= now) throw rejected(`expired on ${new Date(exp * 1000).toISOString()}`);
  const claimed = email ?? sub;
  if (claimed === undefined) throw rejected("has no subject");
  if (email !== undefined && isVerified !== true && isVerified !== "true")
    throw rejected("has an e-mail address that its issuer has not verified");
  return { token, expires: exp * 1000, claimed };
}

function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    return undefined;
  }
}
