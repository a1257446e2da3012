// Answers challenges: Basic, and Bearer with tokens exchanged by GET or POST (docker distribution, "Token
// Authentication"). Tokens are cached per origin and scopes and refreshed before they expire; concurrent requests share
// one exchange.
import * as z from "zod";
import { isStaveError, StaveError } from "../errors.ts";
import type { Authorizer, AuthRequest, Refusal, Scope, Transport } from "../http/types.ts";
import { parseBySchema } from "../oci/manifest.ts";
import { printable } from "../printable/printable.ts";
import { basicAuthorization, redactQueries, rememberSecret, rememberSignature } from "../printable/secret.ts";
import { SingleFlight, unlessAborted } from "../util/limit.ts";
import type { Clock } from "../util/time.ts";
import { type Challenge, parseChallenges } from "./challenge.ts";
import type { Credential } from "./credential.ts";
import type { Keychain, KeychainAnswer } from "./keychain.ts";

/** The collaborators of an authorizer. */
export interface AuthorizerOptions {
  transport: Transport;
  keychain: Keychain;
  clock: Clock;
}

interface Token {
  header: string;
  scopes: readonly Scope[];
  /** When to get a new one, in milliseconds of the clock. */
  refreshAt: number;
}

/** The scheme of an origin, known after its first challenge. */
type Known = { kind: "basic"; header: string } | { kind: "bearer"; realm: URL; service: string | undefined };

const tokenSchema = z.looseObject({
  token: z.string().optional(),
  access_token: z.string().optional(),
  refresh_token: z.string().optional(),
  expires_in: z.number().optional(),
});

const TOKEN_ANSWER_LIMIT = 1024 * 1024;
/** The lifetime in seconds of an answer without `expires_in`, as the token specification says. */
const DEFAULT_LIFE = 60;
const LONGEST_LIFE = 24 * 3600;
/** A token this close to its expiry, in milliseconds, is not used for a new request. */
const MARGIN = 5000;

/** Creates the authorizer of a process. */
export function createAuthorizer(options: AuthorizerOptions): Authorizer {
  return new RegistryAuthorizer(options);
}

class RegistryAuthorizer implements Authorizer {
  readonly #options: AuthorizerOptions;
  readonly #known = new Map<string, Known>();
  readonly #tokens = new Map<string, Token[]>();
  readonly #exchanges = new SingleFlight<Token>();

  constructor(options: AuthorizerOptions) {
    this.#options = options;
  }

  async authorize(request: AuthRequest, signal: AbortSignal | undefined): Promise<string | undefined> {
    const known = this.#known.get(request.origin);
    if (known === undefined) return undefined;
    if (known.kind === "basic") return known.header;
    return (await this.#token(request, known, request.scopes, signal)).header;
  }

  async challenged(request: AuthRequest, refusal: Refusal, signal: AbortSignal | undefined): Promise<string> {
    const { origin, registry, scopes } = request;
    const answer = await this.#options.keychain.resolve(registry, scopes[0]?.repository, signal);
    if (refusal.isSecond) throw refused(request, answer);
    const challenges = refusal.challenges.flatMap(parseChallenges);
    const bearer = challenges.find((challenge) => challenge.scheme === "bearer" && challenge.parameters.has("realm"));
    if (bearer) {
      const known = {
        kind: "bearer" as const,
        realm: this.#realm(bearer, request),
        service: bearer.parameters.get("service"),
      };
      this.#known.set(origin, known);
      // Drop the token that was just refused.
      const kept = (this.#tokens.get(origin) ?? []).filter((token) => token.header !== refusal.sent);
      this.#tokens.set(origin, kept);
      return (await this.#token(request, known, joined(scopes, parseScopes(bearer.parameters.get("scope"))), signal))
        .header;
    }
    if (!challenges.some((challenge) => challenge.scheme === "basic"))
      throw new StaveError(
        "UNSUPPORTED",
        `${registry} uses an unsupported authentication scheme: ${names(challenges)}`,
        { subject: registry },
      );
    const credential = answer.found?.credential;
    if (credential === undefined) throw refused(request, answer);
    if (credential.kind !== "password")
      throw new StaveError(
        "CREDENTIALS_REJECTED",
        `${registry} asks for a user name and password, but ${answer.found?.from} has a token`,
        {
          subject: registry,
          hint: `stave login ${registry}`,
        },
      );
    const header = basicAuthorization(credential.username, credential.password.reveal());
    if (header === refusal.sent) throw refused(request, answer);
    this.#known.set(origin, { kind: "basic", header });
    return header;
  }

  /**
   * The URL of the token service. Credentials and tokens are secrets: they travel only over TLS or inside this machine.
   */
  #realm(challenge: Challenge, request: AuthRequest): URL {
    const text = challenge.parameters.get("realm") ?? "";
    const url = URL.parse(text, request.origin);
    if (url && /^https?:$/.test(url.protocol) && this.#options.transport.maySendSecrets(url)) {
      rememberSignature(url);
      return url;
    }
    const { registry } = request;
    throw new StaveError(
      "DENIED",
      `${registry} uses a token service without https: "${printable(redactQueries(text), { most: 200 })}"`,
      {
        subject: registry,
        hint: "use `plainHttp` if you trust the network",
      },
    );
  }

  async #token(
    request: AuthRequest,
    known: Known & { kind: "bearer" },
    scopes: readonly Scope[],
    signal: AbortSignal | undefined,
  ): Promise<Token> {
    const { clock, keychain } = this.#options;
    const now = clock.now();
    const usable = (this.#tokens.get(request.origin) ?? []).filter((token) => token.refreshAt > now);
    const cached = usable.find((token) => covers(token.scopes, scopes));
    if (cached) return cached;
    const key = [request.origin, known.realm.href, known.service, ...scopes.map(formatScope)].join(" ");
    const exchange = this.#exchanges.run(key, async () => {
      const answer = await keychain.resolve(request.registry, scopes[0]?.repository, signal);
      const token = await this.#exchange(request, known, scopes, answer);
      this.#tokens.set(request.origin, [...usable, token]);
      return token;
    });
    return await unlessAborted(exchange, signal);
  }

  // Several requests may share this exchange, so it obeys no single signal; the transport's timeouts and its close
  // bound it.
  async #exchange(
    request: AuthRequest,
    known: Known & { kind: "bearer" },
    scopes: readonly Scope[],
    answer: KeychainAnswer,
  ): Promise<Token> {
    const credential = answer.found?.credential;
    if (credential?.kind === "bearer")
      return { header: bearerHeader(credential.token.reveal()), scopes, refreshAt: Number.POSITIVE_INFINITY };
    const { clock } = this.#options;
    const asked = clock.now();
    const bytes =
      credential?.kind === "identity"
        ? await this.#post(
            request,
            known,
            scopes,
            { grant_type: "refresh_token", refresh_token: credential.token.reveal() },
            answer,
          )
        : await this.#get(request, known, scopes, credential, answer);
    const parsed = parseTokenAnswer(bytes, request.registry);
    const life = Math.min(LONGEST_LIFE, Math.max(1, parsed.expires_in ?? DEFAULT_LIFE)) * 1000;
    return { header: bearerHeader(parsed.value), scopes, refreshAt: asked + Math.max(life / 2, life - MARGIN) };
  }

  async #get(
    request: AuthRequest,
    known: Known & { kind: "bearer" },
    scopes: readonly Scope[],
    credential: (Credential & { kind: "password" }) | undefined,
    answer: KeychainAnswer,
  ): Promise<Buffer> {
    const url = new URL(known.realm);
    if (known.service !== undefined) url.searchParams.set("service", known.service);
    for (const scope of scopes) url.searchParams.append("scope", formatScope(scope));
    url.searchParams.set("client_id", "stave");
    const headers = credential
      ? { authorization: basicAuthorization(credential.username, credential.password.reveal()) }
      : {};
    const response = await this.#ask(request, answer, { method: "GET", url, headers, accept: [200, 404, 405] });
    if (response.status === 200) return response.bytes;
    if (credential === undefined) throw refused(request, answer);
    // A service that supports only OAuth 2 accepts only POST.
    const grant = { grant_type: "password", username: credential.username, password: credential.password.reveal() };
    return await this.#post(request, known, scopes, grant, answer);
  }

  async #post(
    request: AuthRequest,
    known: Known & { kind: "bearer" },
    scopes: readonly Scope[],
    grant: Record<string, string>,
    answer: KeychainAnswer,
  ): Promise<Buffer> {
    const form = new URLSearchParams({ ...grant, client_id: "stave" });
    if (known.service !== undefined) form.set("service", known.service);
    if (scopes.length > 0) form.set("scope", scopes.map(formatScope).join(" "));
    const response = await this.#ask(request, answer, {
      method: "POST",
      url: known.realm,
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: Buffer.from(form.toString()),
      accept: [200],
    });
    return response.bytes;
  }

  async #ask(
    request: AuthRequest,
    answer: KeychainAnswer,
    what: Pick<Parameters<Transport["request"]>[0], "method" | "url" | "headers" | "body" | "accept">,
  ) {
    try {
      return await this.#options.transport.requestBytes(
        { ...what, traffic: "token", op: "get a token for", subject: request.registry },
        TOKEN_ANSWER_LIMIT,
      );
    } catch (error) {
      if (isStaveError(error) && (error.status === 400 || error.status === 401)) throw refused(request, answer, error);
      throw error;
    }
  }
}

function parseTokenAnswer(bytes: Buffer, registry: string): { value: string; expires_in: number | undefined } {
  let parsed: z.infer<typeof tokenSchema> | undefined;
  try {
    parsed = parseBySchema(bytes, tokenSchema, "answer");
  } catch {
    // The answer may contain a secret, so the message quotes none of it.
  }
  const { token, access_token, refresh_token } = parsed ?? {};
  for (const secret of [token, access_token, refresh_token]) if (secret !== undefined) rememberSecret(secret);
  const value = token ?? access_token ?? "";
  if (/^[\x21-\x7e]+$/.test(value)) return { value, expires_in: parsed?.expires_in };
  throw new StaveError("REGISTRY_ERROR", `the token service of ${registry} sent no token`, {
    subject: registry,
  });
}

function refused(request: AuthRequest, answer: KeychainAnswer, cause?: StaveError): StaveError {
  const { registry } = request;
  const what = request.scopes.map((scope) => `${scope.actions.join(" and ")} ${scope.repository}`).join(", ");
  const more = { subject: registry, ...(cause ? { cause, ...(cause.status ? { status: cause.status } : {}) } : {}) };
  if (answer.found)
    return new StaveError(
      "CREDENTIALS_REJECTED",
      `${registry} did not accept the credentials from ${answer.found.from}${what ? ` to ${what}` : ""}`,
      {
        ...more,
        hint: `stave login ${registry}`,
      },
    );
  return new StaveError(
    "CREDENTIALS_MISSING",
    `${registry} requires credentials${what ? ` to ${what}` : ""}; none found in ${answer.looked.join(", ")}`,
    {
      ...more,
      hint: `stave login ${registry}`,
    },
  );
}

function bearerHeader(token: string): string {
  return `Bearer ${token}`;
}

function names(challenges: Challenge[]): string {
  return challenges.map((challenge) => printable(challenge.scheme, { most: 40 })).join(", ");
}

/** `repository:NAME:pull,push`, or the scope of the list of repositories. */
export function formatScope(scope: Scope): string {
  if (scope.repository === "") return "registry:catalog:*";
  return `repository:${scope.repository}:${[...scope.actions].sort().join(",")}`;
}

const ACTIONS = new Set(["pull", "push", "delete"]);

/** The repository scopes of a challenge; the only other kind (`registry:catalog:*`) is asked for by name. */
function parseScopes(text: string | undefined): Scope[] {
  return (text ?? "").split(" ").flatMap((part) => {
    const found = /^repository:([^\s]+):([a-z,*]+)$/.exec(part);
    if (!found?.[1] || !found[2]) return [];
    const actions = found[2].split(",").filter((action): action is Scope["actions"][number] => ACTIONS.has(action));
    return [{ repository: found[1], actions }];
  });
}

/** The union of scopes, by repository, in a stable order. */
function joined(a: readonly Scope[], b: readonly Scope[]): Scope[] {
  const byName = new Map<string, Set<Scope["actions"][number]>>();
  for (const { repository, actions } of [...a, ...b]) {
    const all = byName.get(repository) ?? new Set();
    for (const action of actions) all.add(action);
    byName.set(repository, all);
  }
  return [...byName].map(([repository, actions]) => ({ repository, actions: [...actions].sort() }));
}

function covers(have: readonly Scope[], want: readonly Scope[]): boolean {
  return want.every(({ repository, actions }) =>
    have.some((scope) => scope.repository === repository && actions.every((action) => scope.actions.includes(action))),
  );
}
