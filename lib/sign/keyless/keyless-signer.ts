// Signs without a key of one's own: a key that lives for minutes, a certificate that says whose it is, and a log that
// proves when it was used. The key never leaves the process, and is forgotten with it.
import { X509Certificate } from "node:crypto";
import { bundleToJSON } from "@sigstore/bundle";
import { DSSEBundleBuilder, type Signer as LibrarySigner } from "@sigstore/sign";
import { StaveError } from "../../errors.ts";
import type { Transport } from "../../http/types.ts";
import type { Clock } from "../../util/time.ts";
import { readCertificate } from "../identity/certificate.ts";
import { type CertificateIdentity, IdentityPattern } from "../identity/identity-pattern.ts";
import type { TrustedRoot } from "../identity/trusted-root.ts";
import { PrivateKey } from "../key/private-key.ts";
import type { Signer } from "../signature/judge.ts";
import type { SignedBy, StatementSigner } from "../signature/statement-signer.ts";
import { type Bundle, PAYLOAD_TYPE, parseBundle } from "../statement/bundle.ts";
import { requestCertificate } from "./authority.ts";
import { FirstLogWitness } from "./first-log-witness.ts";
import type { IdentityToken } from "./identity-token.ts";
import { LogWitness } from "./log-witness.ts";
import type { SigningServices } from "./signing-config.ts";
import { StampWitness } from "./stamp-witness.ts";

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
    const asking = { transport, signal };
    const witnesses = [
      ...services.logs.map(({ url, version }) => new (version === 2 ? LogWitness : FirstLogWitness)(url, asking)),
      ...services.stamps.map((url) => new StampWitness(url, asking)),
    ];
    const builder = new DSSEBundleBuilder({ signer, witnesses });
    const bundle = await builder.create({ data: Buffer.from(payload), type: PAYLOAD_TYPE });
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
    const { services, token, transport, signal } = this.#options;
    const certificate = await requestCertificate(services.authority, await token(), await this.#key, {
      transport,
      signal,
    });
    try {
      const { raw, validToDate } = new X509Certificate(certificate);
      const identity = readCertificate(raw);
      this.#identity = identity;
      return { certificate, identity, expires: validToDate.getTime() };
    } catch (cause) {
      throw new StaveError("CONTENT_INVALID", `${services.authority} sent no certificate of an identity`, { cause });
    }
  }
}
