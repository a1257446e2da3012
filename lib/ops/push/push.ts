// `push`: turns installed specs into images of a build cache, and all of them together into a tagged image. Prepares,
// then acts.
import { StaveError } from "../../errors.ts";
import { planImage } from "../../image/image-plan.ts";
import { shortName } from "../../spack/spec/spec-name.ts";
import { DOCUMENTS_AT_ONCE } from "../../target/target.ts";
import { concernsAll } from "../../util/failures.ts";
import { mapLimit } from "../../util/limit.ts";
import { Stop } from "../../util/stop.ts";
import { unchanged } from "./fit-layers.ts";
import { type PlanOptions, type PlanSettings, type PushOptions, type PushSettings, pushSettings } from "./options.ts";
import { noTotals, type PlannedSpecs, planSpecs } from "./plan-report.ts";
import { indexPlatforms, withPlatformTags } from "./platform-tags.ts";
import { imageBudget, isMade, type PreparedPush, preparePush } from "./prepare.ts";
import { reindex } from "./reindex.ts";
import type { BasePlan, PushPlanReport, PushReport } from "./report.ts";
import { type PushResults, PushRun } from "./run.ts";
import { signedBefore, signPushed } from "./sign-pushed.ts";
import { slimRules, slimSizes } from "./slim-layers.ts";

export type { PlanOptions, PushEnvironment, PushOptions } from "./options.ts";
export type { PushPlanReport, PushReport } from "./report.ts";

/**
 * Pushes specs. Failures are in the report, and everything else is pushed. Throws if nothing can be done at all: the
 * cache does not answer, the base image is invalid, or with `failFast` a spec is not installed; and the signal's
 * reason.
 */
export async function push(given: PushOptions): Promise<PushReport> {
  const wanted = pushSettings(given);
  const options = withPlatformTags(wanted);
  const { signal, clock, target } = options;
  signal?.throwIfAborted();
  checkAttesting(options);
  const stop = new Stop(signal);
  const started = clock.now();
  try {
    const prepared = await preparePush(options, stop.signal);
    const before = await signedBefore(options, prepared);
    const results = await new PushRun(options, prepared, stop).run();
    signal?.throwIfAborted();
    const index =
      options.updateIndex && !results.failures.some(concernsAll) ? await reindex(options, results) : undefined;
    const indexes = results.images.length > 0 && wanted.platformTag ? await indexPlatforms(wanted, results) : [];
    const { manifests, variables, ...shown } = results;
    const signatures =
      options.sign && !results.failures.some(concernsAll)
        ? await signPushed(options, before, results, index)
        : undefined;
    const isSigned = signatures !== undefined && !results.failures.some(concernsAll);
    const attestations = isSigned ? await attest(options, prepared, results) : [];
    const names = { leftOut: prepared.leftOut.map(shortName), restricted: prepared.restricted.map(shortName) };
    return {
      destination: target.name,
      ...shown,
      ...names,
      views: prepared.extras?.views ?? [],
      indexes,
      index,
      signatures,
      attestations,
      environment: environmentOf(prepared, variables),
      milliseconds: clock.now() - started,
    };
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

// Loaded only if something is attested.
async function attest(
  options: PushSettings,
  prepared: PreparedPush,
  results: PushResults,
): Promise<PushReport["attestations"]> {
  if (!isAttesting(options)) return [];
  const { attestPushed } = await import("./attest-pushed.ts");
  return await attestPushed(options, prepared, results);
}

const isAttesting = ({ attest: asked }: PushSettings): boolean => asked?.sbom !== undefined || asked?.job !== undefined;

function checkAttesting(options: PushSettings): void {
  if (!isAttesting(options) || options.sign !== undefined) return;
  throw new StaveError("USAGE", "an attestation must be signed, but there is no signer", {
    hint: "sign the push with a private key, or leave out bills of materials and provenance",
  });
}

function environmentOf({ plan, spack }: PreparedPush, found: PushResults["variables"]): PushReport["environment"] {
  if (spack) return { from: "spack", version: spack.version, ...found };
  const isAny = plan.environment !== undefined || plan.specs.some(isMade);
  return isAny ? { from: "install tree", version: undefined, ...found } : undefined;
}

/** Reports what a push would do, and writes nothing. Throws as `push` does. */
export async function planOf(given: PlanOptions): Promise<PushPlanReport> {
  const options = withPlatformTags(pushSettings(given));
  const { target, base, signal } = options;
  const prepared = await preparePush(options, signal ?? new AbortController().signal);
  const { plan } = prepared;
  const totals = noTotals();
  const { specs, packed } = await planSpecs(plan.specs, options, totals);
  // The fewest requests: one for the list of tags, one for each manifest, and one for each blob, whether it is sent or
  // only found to be there.
  totals.requests++;
  const bases: BasePlan[] = [];
  for (const [architecture, { layers }] of prepared.base) {
    const size = layers.reduce((sum, layer) => sum + layer.size, 0);
    const mayMount = base?.target.mountDomain !== undefined && base.target.mountDomain === target.mountDomain;
    const there = await mapLimit(layers, DOCUMENTS_AT_ONCE, (layer) => target.hasBlob(layer, { signal }), signal);
    const missing = layers.filter((_, at) => there[at] === false);
    totals.requests += layers.length;
    if (mayMount) totals.mounts += missing.length;
    else totals.sendBytes += missing.reduce((sum, layer) => sum + layer.size, 0);
    bases.push({ architecture, layers: layers.length, size, missing: missing.length, mayMount });
  }
  const missing = (plan.environment ?? []).flatMap(({ from, node }) => (from === "nowhere" ? [shortName(node)] : []));
  const layers = planLayers(options, prepared, packed);
  const joined = layers
    .filter((parts) => parts.length > 1 || (parts[0]?.nodes.length ?? 0) > 1)
    .map((parts) => ({
      specs: parts.flatMap(({ nodes }) => nodes.map(shortName)),
      size: parts.reduce((sum, { size }) => sum + size, 0),
      isKept: parts.length === 1,
    }));
  // The layers of a slim image are those of no other.
  const slim = slimRules(options) === undefined ? [] : layers.filter(([part]) => part?.previous === undefined);
  for (const [part] of slim.filter((parts) => parts.length === 1 && parts[0]?.nodes.length === 1)) {
    totals.sendBytes += part?.size ?? 0;
    totals.isEstimate = true;
    totals.requests++;
  }
  if (options.image?.estargz) {
    // They are as large as what they are made from, and a little more.
    totals.sendBytes += layers.flat().reduce((sum, { size }) => sum + size, 0);
    totals.isEstimate = true;
    totals.requests += layers.length;
  }
  for (const { size, isKept } of joined) {
    if (isKept) continue;
    totals.sendBytes += size;
    totals.requests++;
  }
  const below = bases[0]?.layers ?? 0;
  const extras = prepared.extras?.layers ?? [];
  const count = below + layers.length + extras.length;
  const images = options.tags.map((tag) => ({ tag, layers: count, missing, joined }));
  const isNew = images.some(({ tag }) => !prepared.tagged.has(tag));
  for (const { layer } of isNew ? extras : []) {
    totals.sendBytes += layer.size;
    totals.requests++;
  }
  for (const { tag } of images) {
    // An image that the tag already has is not pushed again.
    const mayBeThere = prepared.tagged.has(tag);
    if (!mayBeThere && (missing.length === 0 || options.allowMissing)) totals.requests += 2;
  }
  // A directory gets no requests; only registries have a mount domain.
  if (target.mountDomain === undefined) totals.requests = 0;
  const restricted = prepared.restricted.map(shortName);
  return { destination: target.name, specs, images, base: bases, restricted, totals };
}

// The layers of the tagged image; sizes of layers to pack are as in `packed`.
function planLayers(
  options: PlanSettings,
  { plan, base, previous }: PreparedPush,
  packed: PlannedSpecs["packed"],
): ReturnType<typeof planImage> {
  const planned = plan.environment ?? [];
  const rules = slimRules(options);
  const slim = rules && slimSizes(planned, options, rules);
  const own = new Map(planned.flatMap((each) => (each.from === "cache" ? [[each.node.hash, each] as const] : [])));
  return planImage({
    planned,
    sizeOf({ node: { hash } }) {
      const size = slim?.get(hash) ?? packed.get(hash)?.size ?? own.get(hash)?.layer.size;
      return size === undefined ? undefined : { size, isRigid: own.get(hash)?.isRigid ?? false };
    },
    budget: options.tags.length > 0 ? imageBudget(options, base) : planned.length + 1,
    previous: unchanged(previous, planned, ({ digest }, hash) => {
      const { digest: now } = packed.get(hash) ?? own.get(hash)?.layer ?? {};
      return now === digest;
    }),
  });
}
