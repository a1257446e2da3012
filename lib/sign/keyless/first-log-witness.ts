// Writes signatures to a transparency log of version 1, behind the library's interface.
import { envelopeToJSON } from "@sigstore/bundle";
import { TransparencyLogEntry } from "@sigstore/protobuf-specs";
import type { VerificationMaterial, Witness } from "@sigstore/sign";
import * as z from "zod";
import { StaveError } from "../../errors.ts";
import { headerOf } from "../../http/response.ts";
import { parseBySchema } from "../../oci/manifest.ts";
import { ENTRY_LIMIT } from "./log-witness.ts";
import { askService, type ServiceOptions } from "./service-request.ts";

const HEX = /^(?:[0-9a-f]{2})+$/;
const hex = z.string().regex(HEX);
const count = z.int().min(0);

// By the entry's name; bodies are base64.
const answerSchema = z.record(
  z.string(),
  z.looseObject({
    body: z.base64(),
    integratedTime: count,
    logID: hex,
    logIndex: count,
    verification: z.looseObject({
      inclusionProof: z
        .looseObject({
          ...{ checkpoint: z.string(), hashes: z.array(hex), logIndex: count, rootHash: hex, treeSize: count },
        })
        .optional(),
      signedEntryTimestamp: z.base64().optional(),
    }),
  }),
);
const kindSchema = z.looseObject({ kind: z.string(), apiVersion: z.string() });

const CONFLICT = 409;

/** A log of version 1. */
export class FirstLogWitness implements Witness {
  readonly #url: string;
  readonly #options: ServiceOptions;

  constructor(url: string, options: ServiceOptions) {
    this.#url = `${url}/api/v1/log/entries`;
    this.#options = options;
  }

  /** Writes an entry for a signature by a certificate, or finds it if it is there. Throws what `askService` throws. */
  async testify(content: Parameters<Witness["testify"]>[0], certificate: string): Promise<VerificationMaterial> {
    if (content.$case !== "dsseEnvelope") throw new StaveError("INTERNAL", "only signed statements are logged");
    const envelope = JSON.stringify(envelopeToJSON(content.dsseEnvelope));
    const proposedContent = { envelope, verifiers: [Buffer.from(certificate).toString("base64")] };
    const request = { op: "write to the log", limit: ENTRY_LIMIT };
    const written = await askService(
      {
        ...{ ...request, url: this.#url, accept: [CONFLICT] },
        body: { apiVersion: "0.0.1", kind: "dsse", spec: { proposedContent } },
      },
      this.#options,
    );
    const name = headerOf(written, "location")?.split("/").at(-1) ?? "";
    if (written.status === CONFLICT && !HEX.test(name))
      throw new StaveError("CONTENT_INVALID", `${this.#url} has the entry and does not say where`, {
        subject: this.#url,
      });
    const { bytes } =
      written.status === CONFLICT
        ? await askService({ ...request, url: `${this.#url}/${name}` }, this.#options)
        : written;
    return { tlogEntries: [entryOf(bytes, `the answer of ${this.#url}`)] };
  }
}

function entryOf(bytes: Buffer, name: string): NonNullable<VerificationMaterial["tlogEntries"]>[number] {
  const [entry, ...others] = Object.values(parseBySchema(bytes, answerSchema, name));
  if (entry === undefined || others.length > 0)
    throw new StaveError("CONTENT_INVALID", `${name} has ${others.length + (entry ? 1 : 0)} entries, expected one`);
  const { body, integratedTime, logID, logIndex, verification } = entry;
  const { inclusionProof: proof, signedEntryTimestamp } = verification;
  const { kind, apiVersion } = parseBySchema(Buffer.from(body, "base64"), kindSchema, `the entry in ${name}`);
  const base64 = (text: string): string => Buffer.from(text, "hex").toString("base64");
  const made = TransparencyLogEntry.fromJSON({
    ...{ logIndex: String(logIndex), logId: { keyId: base64(logID) }, integratedTime: String(integratedTime) },
    ...{ kindVersion: { kind, version: apiVersion }, canonicalizedBody: body },
    ...(signedEntryTimestamp !== undefined && { inclusionPromise: { signedEntryTimestamp } }),
    ...(proof && {
      inclusionProof: {
        ...{ logIndex: String(proof.logIndex), treeSize: String(proof.treeSize), rootHash: base64(proof.rootHash) },
        ...{ hashes: proof.hashes.map(base64), checkpoint: { envelope: proof.checkpoint } },
      },
    }),
  });
  const { logId, kindVersion } = made;
  if (logId === undefined || kindVersion === undefined) throw new StaveError("INTERNAL", "an entry without a log");
  return { ...made, logId, kindVersion };
}
