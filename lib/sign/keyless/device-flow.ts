// A token from a person who sits at a terminal, by a browser on any machine (RFC 8628, with the proof key of RFC 7636).
import { createHash, randomBytes } from "node:crypto";
import * as z from "zod";
import { StaveError } from "../../errors.ts";
import type { Transport } from "../../http/types.ts";
import { parseBySchema } from "../../oci/manifest.ts";
import { printable } from "../../printable/printable.ts";
import { rememberSecret } from "../../printable/secret.ts";
import type { Clock } from "../../util/time.ts";
import { mayGetTokens } from "./signing-config.ts";

/** What the flow needs. */
export interface DeviceFlowOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly identityProvider: string;
  readonly onPrompt: (text: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** The name of every client of Sigstore's identity providers. */
const CLIENT = "sigstore";
/** Maximum number of bytes of an answer. */
const ANSWER_LIMIT = 256 * 1024;
/** The longest time that a person may take, and the pauses between questions, in seconds. */
const LONGEST_WAIT = 1800;
const DEFAULT_PAUSE = 5;
const LONGEST_PAUSE = 60;

const url = z.url({ protocol: /^https?$/ }).max(2048);
const providerSchema = z.looseObject({ device_authorization_endpoint: url, token_endpoint: url });
const codeSchema = z.looseObject({
  device_code: z.string().min(1),
  user_code: z.string().min(1).max(256),
  verification_uri: url,
  verification_uri_complete: url.optional(),
  expires_in: z.number().positive(),
  interval: z.number().positive().optional(),
});
const answerSchema = z.looseObject({ id_token: z.string().min(1).optional(), error: z.string().max(256).optional() });

/**
 * Asks a person to log in, and waits for it. Throws CREDENTIALS_REJECTED if they refuse or the code expires, and what
 * requests throw.
 */
export async function deviceToken(options: DeviceFlowOptions): Promise<string> {
  const { clock, identityProvider, onPrompt, signal } = options;
  const ask = requester(options);
  const discovery = `${identityProvider}/.well-known/openid-configuration`;
  const provider = parseBySchema(await ask(discovery), providerSchema, discovery);
  for (const endpoint of [provider.device_authorization_endpoint, provider.token_endpoint])
    if (!mayGetTokens(endpoint))
      throw new StaveError("DENIED", `${identityProvider} sends tokens without https: ${printable(endpoint)}`);
  const verifier = randomBytes(32).toString("base64url");
  const challenge = createHash("sha256").update(verifier).digest("base64url");
  const start = { client_id: CLIENT, scope: "openid email", code_challenge: challenge, code_challenge_method: "S256" };
  const code = parseBySchema(await ask(provider.device_authorization_endpoint, start), codeSchema, "the device code");
  rememberSecret(code.device_code);
  onPrompt(
    `open ${printable(code.verification_uri_complete ?? code.verification_uri)} and confirm the code ${printable(code.user_code)}`,
  );
  const end = clock.now() + Math.min(code.expires_in, LONGEST_WAIT) * 1000;
  let pause = Math.min(code.interval ?? DEFAULT_PAUSE, LONGEST_PAUSE);
  const form = {
    grant_type: "urn:ietf:params:oauth:grant-type:device_code",
    ...{ client_id: CLIENT, device_code: code.device_code, code_verifier: verifier },
  };
  while (clock.now() < end) {
    await clock.sleep(pause * 1000, signal);
    const answer = parseBySchema(await ask(provider.token_endpoint, form), answerSchema, "the answer with the token");
    if (answer.id_token !== undefined) return answer.id_token;
    if (answer.error === "slow_down") pause = Math.min(pause + DEFAULT_PAUSE, LONGEST_PAUSE);
    else if (answer.error !== "authorization_pending")
      throw refused(identityProvider, printable(answer.error ?? "no token"));
  }
  throw refused(identityProvider, "the code has expired");
}

const refused = (subject: string, reason: string): StaveError =>
  new StaveError("CREDENTIALS_REJECTED", `${subject} gave no identity token: ${reason}`, {
    subject,
    hint: "run the same command again, and confirm the code in the browser",
  });

function requester({ transport, identityProvider, signal }: DeviceFlowOptions) {
  return async (address: string, form?: Record<string, string>): Promise<Buffer> => {
    const { bytes } = await transport.requestBytes(
      {
        url: new URL(address),
        method: form === undefined ? "GET" : "POST",
        ...(form && {
          body: Buffer.from(new URLSearchParams(form).toString()),
          headers: { "content-type": "application/x-www-form-urlencoded", accept: "application/json" },
        }),
        // Errors of the flow come with 400, those about the client with 401.
        accept: form === undefined ? [200] : [200, 400, 401],
        ...{ op: "log in", subject: identityProvider, traffic: "token", signal },
      },
      ANSWER_LIMIT,
    );
    return bytes;
  };
}
