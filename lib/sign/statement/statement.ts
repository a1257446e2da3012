// Statements (in-toto attestation framework v1, "Statement"): what a signature says about which images. One statement
// covers all images of a push.
import * as z from "zod";
import { StaveError } from "../../errors.ts";
import { type Digest, digestFromHex, hexOf } from "../../oci/digest.ts";
import { canonicalBytes } from "../../oci/manifest.ts";
import { printable } from "../../printable/printable.ts";
import { readDocument } from "./read-document.ts";

/** The version of statements that stave reads and writes. */
const STATEMENT_TYPE = "https://in-toto.io/Statement/v1";

/**
 * The predicate type with which cosign signs an image; stave signs with the same one. Statements of other types, such
 * as provenance, describe an image without approving it.
 */
export const SIGNATURE_PREDICATE = "https://sigstore.dev/cosign/sign/v1";

/** The annotation of a subject with the DAG hash of its spec. */
const DAG_HASH = "spack:dag-hash";

/** Maximum number of subjects that stave writes into one statement; cosign reads at most 1 024. */
export const BATCH_SIZE = 1000;
/** Maximum number of subjects that stave reads. */
const SUBJECT_LIMIT = 10_000;

/** An image that a statement is about. */
export interface Subject {
  readonly digest: Digest;
  /** Its tag; undefined in statements of cosign, which sign only the digest. */
  readonly name: string | undefined;
  /** The DAG hash of its spec, if it is the image of one. */
  readonly dagHash: string | undefined;
}

/** What stave signs besides the images. */
export interface SignedFacts {
  /** The cache or repository, as `oci://HOST/REPO`; undefined for a directory. */
  readonly cache?: string | undefined;
  /** When it was signed, in milliseconds since the epoch, as the signer claims. */
  readonly time?: number | undefined;
  /** Grows with each signed index of a cache. */
  readonly generation?: number | undefined;
}

/** A statement that was read. */
export interface Statement extends SignedFacts {
  readonly predicateType: string;
  /** The subjects by digest; an image with several tags has several. */
  readonly subjects: ReadonlyMap<Digest, readonly Subject[]>;
}

/** The bytes of a statement that approves images; the same for the same input. */
export function statementBytes(subjects: readonly Subject[], { cache, time, generation }: SignedFacts): Uint8Array {
  return attestationBytes(subjects, SIGNATURE_PREDICATE, {
    ...(cache !== undefined && { cache }),
    ...(time !== undefined && { time: new Date(time).toISOString() }),
    ...(generation !== undefined && { generation }),
  });
}

/** The bytes of a statement that describes images; the same for the same input. */
export function attestationBytes(
  subjects: readonly Subject[],
  predicateType: string,
  predicate: Readonly<Record<string, unknown>>,
): Uint8Array {
  const sorted = subjects.toSorted((a, b) => compare(a.name ?? "", b.name ?? "") || compare(a.digest, b.digest));
  return canonicalBytes({
    _type: STATEMENT_TYPE,
    subject: sorted.map(({ name, digest, dagHash }) => ({
      ...(name !== undefined && { name }),
      digest: { sha256: hexOf(digest) },
      ...(dagHash !== undefined && { annotations: { [DAG_HASH]: dagHash } }),
    })),
    predicateType,
    predicate,
  });
}

// By code units, in every locale the same.
function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

const subjectSchema = z.object({
  name: z.string().min(1).max(1024).optional(),
  digest: z.looseObject({ sha256: z.string().regex(/^[0-9a-f]{64}$/) }),
  annotations: z.looseObject({ [DAG_HASH]: z.string().min(1).max(64).optional() }).nullish(),
});

const statementSchema = z.strictObject({
  _type: z.literal(STATEMENT_TYPE),
  subject: z.array(subjectSchema).min(1).max(SUBJECT_LIMIT),
  predicateType: z.string().min(1).max(1024),
  predicate: z.looseObject({}).nullish(),
});

const factsSchema = z.looseObject({
  cache: z.string().min(1).max(1024).optional(),
  time: z.iso.datetime().max(40).optional(),
  generation: z.int().min(0).optional(),
});

/** Parses a statement that was signed. Throws SIGNATURE_INVALID. */
export function parseStatement(bytes: Uint8Array, name: string): Statement {
  const { subject, predicateType, predicate } = readDocument(bytes, statementSchema, name);
  const subjects = new Map<Digest, Subject[]>();
  for (const { name: tag, digest, annotations } of subject) {
    const key = digestFromHex(digest.sha256);
    const same = subjects.get(key) ?? [];
    same.push({ digest: key, name: tag, dagHash: annotations?.[DAG_HASH] });
    subjects.set(key, same);
  }
  if (predicateType !== SIGNATURE_PREDICATE) return { predicateType, subjects };
  const facts = factsSchema.safeParse(predicate ?? {});
  if (!facts.success) throw new StaveError("SIGNATURE_INVALID", `${printable(name)} has an invalid predicate`);
  const { cache, time, generation } = facts.data;
  return { predicateType, subjects, cache, time: time === undefined ? undefined : Date.parse(time), generation };
}
