// A Sigstore instance on loopback: an authority, a log of each version, time stamps, and the token service of a CI
// system. What `@sigstore/mock` leaves out is added, so that cosign accepts what comes of it: the form in which a log
// stores entries, and the notes of a log of version 2.
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { ASN1Obj } from "@sigstore/core";
import {
  fulcioHandler,
  initializeCA,
  initializeCTLog,
  initializeTLog,
  initializeTSA,
  tsaHandler,
} from "@sigstore/mock";

/** The claims of a token. */
export type Claims = Readonly<Record<string, string | number | boolean>>;

/** A request that the instance received. */
export interface SigstoreRequest {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

/** How an answer is changed before it is sent; undefined leaves it as it is. */
export type Meddle = (
  path: string,
  answer: Buffer,
) => { status: number; body: Buffer; headers?: Record<string, string> } | undefined;

export interface SigstoreOptions {
  /** The time of all services; default: now. */
  readonly clock?: Date | undefined;
}

export interface SigstoreInstance {
  readonly url: string;
  readonly requests: SigstoreRequest[];
  /** What was written to the logs, as it was sent. */
  readonly entries: string[];
  meddle: Meddle | undefined;
  /** Files that it serves besides, by their paths. */
  readonly files: Map<string, Buffer>;
  /** The content of a `trusted_root.json`. */
  readonly trustedRoot: Record<string, unknown>;
  /** The content of a `signing_config.json`. */
  signingConfig(choice?: { rekor?: 1 | 2; stamp?: boolean }): Record<string, unknown>;
  /** A token with these claims; its signature is not valid, and the instance does not check it. */
  token(claims?: Claims): string;
  /** What a person at a terminal has answered to the device flow. */
  device: "pending" | "granted" | "denied";
  close(): Promise<void>;
}

/** The workflow of the default token. */
export const WORKFLOW = "org/cache/.github/workflows/push.yml@refs/heads/main";
/** The identity in its certificates. */
export const IDENTITY = `https://github.com/${WORKFLOW}`;
/** The issuer of the default token. */
export const ISSUER = "https://token.actions.githubusercontent.com";

type TSA = Awaited<ReturnType<typeof initializeTSA>>;

const HOUR = 3600_000;
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const sha256 = (...parts: (Uint8Array | string)[]): Buffer => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};
const spki = (key: KeyObject): Buffer => key.export({ type: "spki", format: "der" });
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/** Starts an instance; close it at the end of the test. */
export async function startSigstore({ clock }: SigstoreOptions = {}): Promise<SigstoreInstance> {
  const pair = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
  const now = (): Date => clock ?? new Date();
  const ctKeys = pair();
  const ct = await initializeCTLog(ctKeys, clock);
  const ca = await initializeCA(pair(), ct, clock);
  const tsa = await initializeTSA(pair(), clock);
  // Whole seconds, as the public instance has: the library does not read fractions of one or two digits.
  const second = (): Date => new Date(Math.floor(now().getTime() / 1000) * 1000);
  Object.assign(tsa, { getCurrentTime: second });
  const logKeys = pair();
  const log2 = generateKeyPairSync("ed25519");
  const requests: SigstoreRequest[] = [];
  const entries: string[] = [];
  const server = createServer((request, response) => {
    void answer(request).then(({ status, body, headers }) => response.writeHead(status, headers).end(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const log1 = await initializeTLog(url, logKeys, clock);
  const origin = "127.0.0.1";
  // Note keys of type 1, Ed25519 (C2SP signed-note).
  const log2Id = sha256(
    origin,
    "\n",
    Buffer.from([1]),
    Buffer.from(log2.publicKey.export({ format: "jwk" }).x ?? "", "base64url"),
  );
  const fulcio = fulcioHandler(ca, { subjectClaim: "name" });
  const stamps = tsaHandler(tsa);

  interface Answer {
    status: number;
    body: string | Buffer;
    headers?: Record<string, string>;
  }
  const json = (value: unknown, status = 200): Answer => ({
    status,
    body: JSON.stringify(value),
    headers: { "content-type": "application/json" },
  });

  async function answer(request: IncomingMessage): Promise<Answer> {
    const chunks = await Array.fromAsync(request as AsyncIterable<Buffer>);
    const bytes = Buffer.concat(chunks);
    const body = bytes.toString();
    const path = request.url ?? "";
    requests.push({ path, headers: request.headers, body });
    const made = await respond(path.split("?")[0] ?? "", bytes, request).catch((error: unknown) =>
      json({ message: String(error) }, 400),
    );
    const changed = instance.meddle?.(path, Buffer.from(made.body));
    return changed === undefined ? made : { ...made, ...changed };
  }

  async function respond(path: string, bytes: Buffer, request: IncomingMessage): Promise<Answer> {
    const body = bytes.toString();
    if (path === "/api/v2/signingCert") return await certificate(body, request.headers.authorization);
    if (path === "/api/v1/timestamp") {
      const isDer = bytes[0] === 0x30;
      const response = isDer ? await tsa.timestamp(stampRequest(bytes)) : (await stamps.fn(body)).response;
      return { status: 201, body: response as Buffer, headers: { "content-type": "application/timestamp-reply" } };
    }
    if (path === "/api/v1/log/entries") return await entry1(body);
    if (path === "/api/v2/log/entries") return entry2(body);
    if (path === "/ci/token") {
      const audience = new URL(request.url ?? "", url).searchParams.get("audience");
      if (request.headers.authorization !== "Bearer ci-secret") return json({ message: "no" }, 403);
      return json({ value: instance.token({ aud: audience ?? "" }) });
    }
    if (path === "/auth/.well-known/openid-configuration")
      return json({
        issuer: `${url}/auth`,
        device_authorization_endpoint: `${url}/auth/device/code`,
        token_endpoint: `${url}/auth/token`,
      });
    if (path === "/auth/device/code")
      return json({
        device_code: "device-secret",
        user_code: "ABCD-EFGH",
        verification_uri: `${url}/auth/device`,
        verification_uri_complete: `${url}/auth/device?user_code=ABCD-EFGH`,
        expires_in: 300,
        interval: 5,
      });
    if (path === "/auth/token") {
      if (instance.device === "pending") {
        instance.device = "granted";
        return json({ error: "authorization_pending" }, 400);
      }
      if (instance.device === "denied") return json({ error: "access_denied" }, 400);
      return json({
        id_token: instance.token({ iss: `${url}/auth`, email: "me@example.org", email_verified: true, sub: "me" }),
      });
    }
    const file = instance.files.get(path);
    return file === undefined ? json({ message: "not found" }, 404) : { status: 200, body: file };
  }

  // Clients in Go send the token in a header.
  async function certificate(body: string, authorization = ""): Promise<Answer> {
    const request = JSON.parse(body);
    request.credentials ??= { oidcIdentityToken: authorization.replace(/^Bearer /, "") };
    const [head, claims = "", signature] = request.credentials.oidcIdentityToken.split(".");
    const parsed = JSON.parse(Buffer.from(claims, "base64url").toString());
    const { content } = request.publicKeyRequest.publicKey;
    const proof = Buffer.from(request.publicKeyRequest.proofOfPossession, "base64");
    if (!verify("sha256", Buffer.from(parsed.email ?? parsed.sub), createPublicKey(content), proof))
      return json({ message: "the proof of possession is wrong" }, 400);
    const name =
      parsed.job_workflow_ref === undefined
        ? (parsed.email ?? parsed.sub)
        : `https://github.com/${parsed.job_workflow_ref}`;
    request.credentials.oidcIdentityToken = [head, part({ ...parsed, name }), signature].join(".");
    const { statusCode, response } = await fulcio.fn(JSON.stringify(request));
    return { status: statusCode === 201 ? 200 : statusCode, body: response as string };
  }

  async function entry1(body: string): Promise<Answer> {
    const { envelope: text, verifiers } = JSON.parse(body).spec.proposedContent;
    const envelope = JSON.parse(text);
    entries.push(body);
    const stored = {
      apiVersion: "0.0.1",
      kind: "dsse",
      spec: {
        envelopeHash: { algorithm: "sha256", value: sha256(text).toString("hex") },
        payloadHash: { algorithm: "sha256", value: sha256(Buffer.from(envelope.payload, "base64")).toString("hex") },
        signatures: [{ signature: envelope.signatures[0].sig, verifier: verifiers[0] }],
      },
    };
    const logged = await log1.log(stored);
    return {
      ...json(logged, 201),
      headers: { "content-type": "application/json", etag: Object.keys(logged)[0] ?? "" },
    };
  }

  function entry2(body: string): Answer {
    // What the current server does with entries of other kinds.
    const request = JSON.parse(body).hashedRekordRequestV002;
    if (request === undefined) return json({ message: "invalid type" }, 400);
    entries.push(body);
    const stored = Buffer.from(
      canonical({
        apiVersion: "0.0.2",
        kind: "hashedrekord",
        spec: {
          hashedRekordV002: { data: { algorithm: "SHA2_256", digest: request.digest }, signature: request.signature },
        },
      }),
    );
    const root = sha256(Buffer.from([0]), stored);
    const note = `${origin}\n1\n${base64(root)}\n`;
    const signed = Buffer.concat([log2Id.subarray(0, 4), sign(undefined, Buffer.from(note), log2.privateKey)]);
    return json(
      {
        logIndex: "0",
        logId: { keyId: base64(log2Id) },
        kindVersion: { kind: "hashedrekord", version: "0.0.2" },
        integratedTime: "0",
        inclusionPromise: null,
        inclusionProof: {
          logIndex: "0",
          rootHash: base64(root),
          treeSize: "1",
          hashes: [],
          checkpoint: { envelope: `${note}\n\u2014 ${origin} ${base64(signed)}\n` },
        },
        canonicalizedBody: base64(stored),
      },
      201,
    );
  }

  const validFor = { start: new Date(now().getTime() - HOUR).toISOString() };
  const instance: SigstoreInstance = {
    url,
    requests,
    entries,
    meddle: undefined,
    files: new Map(),
    device: "granted",
    trustedRoot: {
      mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
      tlogs: [
        {
          baseUrl: url,
          hashAlgorithm: "SHA2_256",
          publicKey: { rawBytes: base64(log1.publicKey), keyDetails: "PKIX_ECDSA_P256_SHA_256", validFor },
          logId: { keyId: base64(sha256(log1.publicKey)) },
        },
        {
          baseUrl: url,
          hashAlgorithm: "SHA2_256",
          publicKey: { rawBytes: base64(spki(log2.publicKey)), keyDetails: "PKIX_ED25519", validFor },
          logId: { keyId: base64(log2Id) },
        },
      ],
      certificateAuthorities: [
        {
          subject: { organization: "sigstore.mock", commonName: "sigstore" },
          uri: url,
          certChain: { certificates: [{ rawBytes: base64(ca.rootCertificate as Uint8Array) }] },
          validFor,
        },
      ],
      ctlogs: [
        {
          baseUrl: `${url}/ct`,
          hashAlgorithm: "SHA2_256",
          publicKey: { rawBytes: base64(spki(ctKeys.publicKey)), keyDetails: "PKIX_ECDSA_P256_SHA_256", validFor },
          logId: { keyId: base64(sha256(spki(ctKeys.publicKey))) },
        },
      ],
      timestampAuthorities: [
        {
          subject: { organization: "sigstore.mock", commonName: "tsa" },
          uri: `${url}/api/v1/timestamp`,
          certChain: {
            certificates: [
              { rawBytes: base64(tsa.intCertificate as Uint8Array) },
              { rawBytes: base64(tsa.rootCertificate as Uint8Array) },
            ],
          },
          validFor,
        },
      ],
    },
    signingConfig: ({ rekor = 1, stamp = true } = {}) => {
      const service = (path: string, majorApiVersion = 1) => ({
        ...{ url: `${url}${path}`, majorApiVersion, validFor },
        operator: "sigstore.mock",
      });
      return {
        mediaType: "application/vnd.dev.sigstore.signingconfig.v0.2+json",
        caUrls: [service("")],
        oidcUrls: [service("/auth")],
        rekorTlogUrls: [service("", rekor)],
        tsaUrls: stamp ? [service("/api/v1/timestamp")] : [],
        rekorTlogConfig: { selector: "ANY" },
        ...(stamp && { tsaConfig: { selector: "ANY" } }),
      };
    },
    token: (claims = {}) => {
      const seconds = Math.floor(now().getTime() / 1000);
      const body = {
        ...{ iss: ISSUER, aud: "sigstore", iat: seconds, exp: seconds + 600 },
        ...(claims["email"] === undefined && {
          ...{ sub: "repo:org/cache:ref:refs/heads/main", job_workflow_ref: WORKFLOW, repository: "org/cache" },
          ...{ repository_id: "1234", repository_owner_id: "99", ref: "refs/heads/main", event_name: "push" },
        }),
        ...claims,
      };
      return `${part({ alg: "RS256", typ: "JWT" })}.${part(body)}.${Buffer.alloc(256, 1).toString("base64url")}`;
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return instance;
}

// A TimeStampReq (RFC 3161, 2.4.1), as clients in Go send it.
function stampRequest(der: Buffer): Parameters<TSA["timestamp"]>[0] {
  const [, imprint] = ASN1Obj.parseBuffer(Buffer.from(der)).subs;
  return {
    artifactHash: imprint?.subs[1]?.value ?? Buffer.alloc(0),
    hashAlgorithmOID: "2.16.840.1.101.3.4.2.1",
    nonce: 0,
    policyOID: "1.3.6.1.4.1.57264.2",
    certReq: true,
  };
}

// RFC 8785, as far as entries need it.
function canonical(value: unknown): string {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  const members = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`).join(",")}}`;
}
