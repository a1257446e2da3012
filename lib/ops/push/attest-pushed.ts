// Attests what a push made: a signed bill of materials for each image, and one signed provenance for all of them.
import { isStaveError } from "../../errors.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { hexOf } from "../../oci/digest.ts";
import type { SbomPackage } from "../../sbom/bill.ts";
import { sbomDocument } from "../../sbom/report.ts";
import type { StatementSigner } from "../../sign/signature/statement-signer.ts";
import type { Subject } from "../../sign/statement/statement.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import type { JsonObject } from "../../spack/text/json-value.ts";
import { mapLimit } from "../../util/limit.ts";
import { Attester, PREDICATES } from "../sign/attest.ts";
import { type Material, provenanceOf } from "../sign/ci-job.ts";
import { storeSbom } from "../store/sbom.ts";
import type { PushSettings } from "./options.ts";
import type { PreparedPush } from "./prepare.ts";
import type { AttestationReport } from "./report.ts";
import type { PushResults } from "./run.ts";

const CONCURRENCY = 8;

/** An image that the push made, with all its tags. */
interface MadeImage {
  readonly manifest: Descriptor;
  readonly tags: readonly string[];
  readonly roots: readonly SpecNode[];
  readonly dagHash: string | undefined;
  readonly isNew: boolean;
}

/**
 * Attests the images that a push made. Like signing, attesting is one failure among others; what is not signed is not
 * described either.
 */
export async function attestPushed(
  options: PushSettings,
  prepared: PreparedPush,
  results: PushResults,
): Promise<AttestationReport[]> {
  const { attest, sign, target, signal, clock } = options;
  if (attest === undefined || sign === undefined) return [];
  try {
    const attester = new Attester({ target, signer: sign.signer, clock, signal });
    const images = madeImages(options, prepared, results);
    const reports: AttestationReport[] = [];
    if (attest.sbom !== undefined) {
      const made = await sbomsOf(images, attester, PREDICATES[attest.sbom], options);
      reports.push({ kind: attest.sbom, predicateType: PREDICATES[attest.sbom], ...counted(images, made) });
    }
    if (attest.job !== undefined) {
      const predicate = provenanceOf(attest.job, {
        identity: identityOf(sign.signer),
        materials: materialsOf(prepared),
        tool: attest.tool,
        repository: attest.repository,
      });
      // An image that the tag had before is not this job's.
      const fresh = images.filter(({ isNew }) => isNew);
      const made = await attester.attest(
        fresh.map(({ manifest, isNew }) => ({ manifest, isNew })),
        { predicateType: PREDICATES.provenance, predicate, subjects: fresh.flatMap(subjectsOf) },
      );
      reports.push({ kind: "provenance", predicateType: PREDICATES.provenance, ...counted(fresh, [made]) });
    }
    await attester.finish();
    return reports;
  } catch (error) {
    if (!isStaveError(error) || signal?.aborted) throw error;
    results.failures.push(error);
    return [];
  }
}

const identityOf = (signer: StatementSigner) => signer.by.identity;

const counted = (images: readonly MadeImage[], made: readonly number[]): { images: number; made: number } => ({
  images: images.length,
  made: made.reduce((sum, count) => sum + count, 0),
});

async function sbomsOf(
  images: readonly MadeImage[],
  attester: Attester,
  predicateType: string,
  options: PushSettings,
): Promise<number[]> {
  const { store, attest, sign, signal } = options;
  const known = new Map<string, Pick<SbomPackage, "facts" | "supplier">>();
  const one = async (image: MadeImage): Promise<number> => {
    const { manifest, tags, roots, isNew } = image;
    const [tag = ""] = tags;
    const name = sign?.cache === undefined ? tag : `${sign.cache.replace(/^oci:\/\//, "")}:${tag}`;
    const { created, tool = "", sbom: format = "spdx" } = attest ?? {};
    const sbom = storeSbom({ store, roots, subject: { name, digest: manifest.digest }, created, tool, known });
    const predicate: JsonObject = sbomDocument(sbom, format);
    return await attester.attest([{ manifest, isNew }], { predicateType, predicate, subjects: subjectsOf(image) });
  };
  return await mapLimit(images, CONCURRENCY, one, signal);
}

const subjectsOf = ({ manifest: { digest }, tags, dagHash }: MadeImage): Subject[] =>
  tags.map((name) => ({ digest, name, dagHash }));

function madeImages({ roots }: PushSettings, { plan }: PreparedPush, results: PushResults): MadeImage[] {
  const nodes = new Map(plan.specs.map(({ tag, node }) => [tag, node]));
  const unchanged = new Set(results.images.filter(({ isNew }) => !isNew).map(({ tag }) => tag));
  const byDigest = Map.groupBy(results.manifests, ([, { digest }]) => digest);
  return [...byDigest.values()].flatMap((all): MadeImage[] => {
    const tags = all.map(([tag]) => tag).sort();
    const [first] = all;
    if (first === undefined) return [];
    const node = tags.map((tag) => nodes.get(tag)).find((found) => found !== undefined);
    return [
      {
        manifest: first[1],
        tags,
        roots: node === undefined ? roots : [node],
        dagHash: node?.hash,
        isNew: !tags.some((tag) => unchanged.has(tag)),
      },
    ];
  });
}

function materialsOf({ base }: PreparedPush): Material[] {
  return [...base.values()].map(({ digest, reference }) => ({
    uri: reference === undefined ? digest : `oci://${reference}`,
    digest: { sha256: hexOf(digest) },
  }));
}
