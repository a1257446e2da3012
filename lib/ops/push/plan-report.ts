// What a plan would pack and send, spec by spec.
import { setImmediate } from "node:timers/promises";
import { surveyPrefix } from "../../image/archive/survey.ts";
import type { PlannedSpec } from "../../image/layer-plan.ts";
import type { LayerMemory } from "../../image/pack/layer-memory.ts";
import type { Digest } from "../../oci/digest.ts";
import { shortName } from "../../spack/spec/spec-name.ts";
import type { Store } from "../../spack/store/store.ts";
import type { PushPlanReport, SpecPlan } from "./report.ts";
import { archiveJob } from "./send-layer.ts";

/** The usual ratio of compression, for layers that were not packed before. */
export const USUAL_SHARE = 1 / 3;

/** Totals to add to. */
export type PlanTotals = { -readonly [K in keyof PushPlanReport["totals"]]: PushPlanReport["totals"][K] };

/** The totals of a plan without any work. */
export function noTotals(): PlanTotals {
  return { packSpecs: 0, packFiles: 0, packBytes: 0, sendBytes: 0, isEstimate: false, mounts: 0, requests: 0 };
}

/** What a report of a plan needs of the push. */
export interface PlanReportOptions {
  readonly store: Store;
  readonly spackPrefix?: string | undefined;
  readonly memory?: LayerMemory | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The expected archive of a spec to pack; its digest, if the same prefix was packed before. */
export interface PlannedArchive {
  readonly size: number;
  readonly digest: Digest | undefined;
}

/** Planned specs, and the archives of those to pack, by DAG hash. */
export interface PlannedSpecs {
  readonly specs: SpecPlan[];
  readonly packed: ReadonlyMap<string, PlannedArchive>;
}

/** Reports planned specs, and adds up what they need: files, bytes, and the fewest requests. */
export async function planSpecs(
  plan: readonly PlannedSpec[],
  { store, spackPrefix, memory, signal }: PlanReportOptions,
  totals: PlanTotals,
): Promise<PlannedSpecs> {
  const specs: SpecPlan[] = [];
  const packed = new Map<string, PlannedArchive>();
  for (const { node, tag, action, isRepair, layers } of plan) {
    signal?.throwIfAborted();
    const { name, version, hash } = node;
    const missing = layers.filter(({ from }) => from === "nowhere").map((layer) => shortName(layer.node));
    const planned = { name, version, hash, tag, action, isRepair, missing };
    // A config and a manifest.
    if (action === "complete") totals.requests += 2;
    if (action !== "pack") {
      specs.push(planned);
      continue;
    }
    const job = archiveJob(node, store, spackPrefix);
    const survey = surveyPrefix(job);
    // Lets the signal abort between two surveys.
    await setImmediate();
    const known = memory?.recall(job, survey);
    totals.packSpecs++;
    totals.packFiles += survey.files;
    totals.packBytes += survey.bytes;
    const size = known?.size ?? Math.round(survey.bytes * USUAL_SHARE);
    packed.set(hash, { size, digest: known?.digest });
    totals.sendBytes += size;
    if (known === undefined) totals.isEstimate = true;
    // A layer, a config and a manifest.
    totals.requests += 3;
    const layer = known && { known: { digest: known.digest, size: known.size } };
    specs.push({ ...planned, files: survey.files, bytes: survey.bytes, ...layer });
  }
  return { specs, packed };
}
