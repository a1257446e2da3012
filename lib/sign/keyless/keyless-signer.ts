// Signs without a key of one's own: a key that lives for minutes, a certificate that says whose it is, and a log that
// proves when it was used. The key never leaves the process, and is forgotten with it.
import { X509Certificate } from "node:crypto";
import { bundleToJSON } from "@sigstore/bundle";
import {
  DSSEBundleBuilder,
  FulcioSigner,
  type Signer as LibrarySigner,
  RekorWitness,
  TSAWitness,
} from "@sigstore/sign";
import { isStaveError, messageOf, StaveError } from "../../errors.ts";
import type { Transport } from "../../http/types.ts";
import { printable } from "../../printable/printable.ts";
import { redact } from "../../printable/secret.ts";
import { unlessAborted } from "../../util/limit.ts";
import type { Clock } from "../../util/time.ts";
import { readCertificate } from "../identity/certificate.ts";
import { type CertificateIdentity, IdentityPattern } from "../identity/identity-pattern.ts";
import type { TrustedRoot } from "../identity/trusted-root.ts";
import { PrivateKey } from "../key/private-key.ts";
import type { Signer } from "../signature/judge.ts";
import type { SignedBy, StatementSigner } from "../signature/statement-signer.ts";
import { type Bundle, PAYLOAD_TYPE, parseBundle } from "../statement/bundle.ts";
import type { IdentityToken } from "./identity-token.ts";
import { LogWitness } from "./log-witness.ts";
import type { SigningServices } from "./signing-config.ts";

/** What signing without a key needs. */
export interface KeylessOptions {
  readonly services: SigningServices;
  /** The root that the signatures are verified with before they are attached. */
  readonly root: TrustedRoot;
  /** Gets a token; called when a certificate is needed. */
  readonly token: () => Promise<IdentityToken>;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/** Milliseconds for an answer of a service, and how often a request is repeated. */
const TIMEOUT = 20_000;
const RETRIES = 2;
/** A certificate this close to its end, in milliseconds, is not used any more. */
const MARGIN = 120_000;

interface Held {
  readonly certificate: string;
  readonly identity: CertificateIdentity;
  readonly expires: number;
}

/** Signs with certificates of an identity; gets one when it is first needed. */
export class KeylessSigner implements StatementSigner {
  readonly #options: KeylessOptions;
  readonly #key: Promise<PrivateKey> = PrivateKey.generate();
  #held: Promise<Held> | undefined;
  #identity: CertificateIdentity | undefined;

  constructor(options: KeylessOptions) {
    this.#options = options;
    this.#key.catch(() => {});
  }

  get by(): SignedBy {
    const { issuer, name } = this.#identity ?? {};
    return { key: undefined, identity: issuer === undefined || name === undefined ? undefined : { issuer, name } };
  }

  mayHaveMade({ certificate }: Bundle): boolean {
    return certificate !== undefined;
  }

  /** Only the certificate says which name the authority makes of a token, so one is obtained. Throws as `sign`. */
  async self(): Promise<Signer> {
    const { root } = this.#options;
    const { identity } = await this.#certificate();
    const { issuer, name } = identity;
    return {
      name: "this identity",
      identity: new IdentityPattern({ issuer, identity: name }, "the certificate"),
      root: () => Promise.resolve(root),
    };
  }

  async sign(payload: Uint8Array): Promise<Uint8Array> {
    const { services, root, transport, signal } = this.#options;
    const key = await this.#key;
    const { certificate } = await this.#certificate();
    const signer: LibrarySigner = {
      sign: (data) => Promise.resolve({ signature: key.sign(data), key: { $case: "x509Certificate", certificate } }),
    };
    const patience = { timeout: TIMEOUT, retry: { retries: RETRIES } };
    const witnesses = [
      ...services.logs.map(({ url, version }) =>
        version === 2
          ? new LogWitness({ url, transport, signal })
          : new RekorWitness({ rekorBaseURL: url, entryType: "dsse", ...patience }),
      ),
      ...services.stamps.map((url) => new TSAWitness({ tsaBaseURL: url, ...patience })),
    ];
    const builder = new DSSEBundleBuilder({ signer, witnesses });
    const bundle = await this.#ask("the log or the authority for time stamps", () =>
      builder.create({ data: Buffer.from(payload), type: PAYLOAD_TYPE }),
    );
    const bytes = Buffer.from(JSON.stringify(bundleToJSON(bundle)));
    // What the services answered may be anything: a signature that others would refuse is no success.
    root.check(parseBundle(bytes, "the new signature"), "the new signature");
    return bytes;
  }

  async #certificate(): Promise<Held> {
    const held = await this.#held;
    if (held !== undefined && this.#options.clock.now() < held.expires - MARGIN) return held;
    this.#held = this.#newCertificate();
    try {
      return await this.#held;
    } catch (error) {
      this.#held = undefined;
      throw error;
    }
  }

  async #newCertificate(): Promise<Held> {
    const { services, token } = this.#options;
    const key = await this.#key;
    const secret = (await token()).token.reveal();
    const keyHolder: LibrarySigner = {
      sign: (data) =>
        Promise.resolve({ signature: key.sign(data), key: { $case: "publicKey", publicKey: key.publicKey.pem } }),
    };
    const authority = new FulcioSigner({
      ...{ fulcioBaseURL: services.authority, identityProvider: { getToken: () => Promise.resolve(secret) } },
      ...{ keyHolder, timeout: TIMEOUT, retry: { retries: RETRIES } },
    });
    // The library gives the certificate only with a signature; this one is not used.
    const made = await this.#ask(services.authority, () => authority.sign(Buffer.alloc(0)));
    if (made.key.$case !== "x509Certificate") throw new StaveError("INTERNAL", "expected a certificate");
    const { certificate } = made.key;
    try {
      const { raw, validToDate } = new X509Certificate(certificate);
      const identity = readCertificate(raw);
      this.#identity = identity;
      return { certificate, identity, expires: validToDate.getTime() };
    } catch (cause) {
      throw new StaveError("CONTENT_INVALID", `${services.authority} sent no certificate of an identity`, { cause });
    }
  }

  // The library knows no signals, and its errors know no codes.
  async #ask<T>(service: string, work: () => Promise<T>): Promise<T> {
    try {
      return await unlessAborted(work(), this.#options.signal);
    } catch (error) {
      if (isStaveError(error) || this.#options.signal?.aborted) throw error;
      throw serviceError(service, error);
    }
  }
}

/** The error of a service, without its cause: the library's errors may hold requests, and with them the token. */
function serviceError(service: string, error: unknown): StaveError {
  const { cause } = error instanceof Error ? error : {};
  const status = cause instanceof Error && "statusCode" in cause ? Number(cause.statusCode) : undefined;
  const reason = printable(redact(cause instanceof Error ? cause.message : messageOf(error)), { most: 300 });
  if (status === undefined)
    return new StaveError("NETWORK", `${service} does not answer: ${reason}`, { subject: service });
  if (status === 400 || status === 401 || status === 403)
    return new StaveError("CREDENTIALS_REJECTED", `${service} refuses to sign: ${reason}`, {
      ...{ subject: service, status },
      hint: "check that its instance accepts tokens of this issuer",
    });
  return new StaveError("REGISTRY_ERROR", `${service} answered with status ${status}: ${reason}`, {
    ...{ subject: service, status },
  });
}
