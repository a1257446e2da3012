// `stave push`: creates container images from installed specs.
import { resolve } from "node:path";
import {
  containerBase,
  imageDescription,
  imageSettings,
  imageViews,
  spackSide,
} from "../../api/from-spack/push-side.ts";
import { SpackFiles } from "../../api/from-spack/spack-files.ts";
import { chosenRoots, explicitSpecs } from "../../api/from-spack/spack-specs.ts";
import { unlockedSpecs } from "../../api/from-spack/unlocked-specs.ts";
import { diskCache } from "../../api/machine/cache-folder.ts";
import { REPOSITORY, VERSION } from "../../api/machine/stave-version.ts";
import { cacheLocation, onlySpecs, splitCache } from "../../api/places/cache-choice.ts";
import { formatCache, isMirror } from "../../api/places/mirror-location.ts";
import { signedName } from "../../api/signers/trust.ts";
import { aggregate, StaveError } from "../../errors.ts";
import { parseCompression } from "../../image/pack/compression.ts";
import { LayerMemory } from "../../image/pack/layer-memory.ts";
import { FactsMemory } from "../../loader/facts-memory.ts";
import { formatLocation, type Location, parseTag } from "../../oci/reference.ts";
import type { BaseSource } from "../../ops/push/base-image.ts";
import { planTo, pushTo } from "../../ops/push/push-to.ts";
import type { PushedSpec } from "../../ops/push/report.ts";
import { parseShard } from "../../ops/push/shard.ts";
import { ciJob } from "../../ops/sign/ci-job.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import type { Store } from "../../spack/store/store.ts";
import { sourceDate } from "../../util/source-date.ts";
import { pushCache, readPushCache, writeCache } from "../arguments/cache-location.ts";
import { givenSettings } from "../arguments/image-flags.ts";
import { legacySigning } from "../arguments/legacy-signature.ts";
import type { Opener } from "../arguments/open.ts";
import {
  addPushFlags,
  buildDependencies,
  checkFlags,
  checkSigning,
  type PushFlags,
  signingKey,
} from "../arguments/push-flags.ts";
import { verbCommand } from "../arguments/shared-flags.ts";
import { remindToSign } from "../arguments/sign-reminder.ts";
import { openKey, openKeyless } from "../arguments/signer.ts";
import { type BaseUse, trustedBase } from "../arguments/trusted-base.ts";
import type { Context } from "../machine/context.ts";
import { findingText } from "../output/check-run-text.ts";
import { count } from "../output/formatting.ts";
import { Workflow } from "../output/github.ts";
import type { Output } from "../output/output.ts";
import { pushAdvice, unlockedAdvice } from "../output/push-advice.ts";
import { planText, pushMarkdown, pushSummary, specLine } from "../output/push-text.ts";
import { libraryPathWarning, recipeWarnings } from "../output/recipe-text.ts";
import { runLine } from "../output/run-line.ts";
import { attestationText, signText } from "../output/signature-text.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

/** The command `stave push`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("push", "push installed specs as images, and an environment as one image")
    .argument("[cache]", "the cache to push to")
    .argument("[specs...]", "installed specs: queries that match one each, /hash or spec files");
  addPushFlags(command);
  return bindAction<[string | undefined, string[]], PushFlags>(command, state, run);
};

async function run(
  context: Context,
  output: Output,
  flags: PushFlags,
  ...[first, more]: [string | undefined, string[]]
): Promise<number> {
  const args = first === undefined ? [] : [first, ...more];
  if (flags.from !== undefined) {
    const { pushFromCache, refuseStoreFlags } = await import("../arguments/cache-to-images.ts");
    refuseStoreFlags({ ...flags });
    const tags = [...new Set((flags.tag ?? []).map(imageTag))];
    const specFiles = [...(flags.specFile ?? []), ...(flags.specYaml ?? [])];
    const given = { ...flags, from: flags.from, tags, specFiles, directory: flags.directory ?? flags.mirror };
    const base = (opener: Opener) => baseSource(opener, { context, output, flags });
    const report = await pushFromCache({ context, output, flags: given, base }, args);
    const { failures, specs } = report.sync;
    if (failures.length > 0) return output.fail(aggregate([...failures], "specs"), report);
    output.report(report);
    return specs.some(({ outcome }) => outcome === "absent") ? 1 : 0;
  }
  checkFlags(flags, output);
  const tags = [...new Set((flags.tag ?? []).map(imageTag))];
  const compression = parseCompression(flags.compression);
  const files = new SpackFiles(context, flags);
  const { discovery } = files;
  const directory = flags.directory ?? flags.mirror;
  const split =
    directory === undefined
      ? splitCache(args, discovery.mirrors, context.cwd)
      : { cache: directory, specs: onlySpecs(args, context.cwd) };
  const texts = [...split.specs, ...(flags.specFile ?? []), ...(flags.specYaml ?? [])];
  if (flags.all && texts.length > 0)
    throw new StaveError("USAGE", "--all and SPEC exclude each other", { hint: "leave one of them out" });
  const { unsigned, signed, key } = flags;
  const opening = { context, output, flags, files };
  const named = pushCache(split.cache, opening);
  const isGpg = isMirror(cacheLocation(named, "push", context, () => files).location);
  checkSigning(flags, isGpg);
  const job = flags.provenance ? ciJob(context.env) : undefined;
  const place = { ...opening, ...(isGpg && { signing: { unsigned, signed, key } }) };
  const store = await files.store();
  const roots = flags.all ? explicitSpecs(store) : await rootsOrHint(files, store, texts);
  if (texts.length > 0) refuseExternals(roots);
  const common = {
    store,
    roots,
    tags,
    budget: flags.budget,
    image: imageSettings(files, tags, await givenSettings(flags, (path) => resolve(context.cwd, path))),
    views: imageViews(files, { store, roots, tags }, flags.view),
    ...(await imageDescription(files, context, { tags, standardLabels: flags.standardLabels })),
    compression,
    shard: flags.shard === undefined ? undefined : parseShard(flags.shard),
    only: flags.deps === false ? "package" : flags.only,
    buildDependencies: buildDependencies(flags),
    force: flags.force,
    verify: flags.verify,
    failFast: flags.failFast,
    allowMissing: flags.allowMissing,
    checkRun: flags.checkRun,
    platformTag: flags.platformTag,
    private: flags.private,
    updateIndex: flags.updateIndex ?? flags.rebuildIndex,
    jobs: flags.jobs,
    ...spackSide(files, { variables: flags.variable, spackEnv: flags.spackEnv, spackPrefix: flags.spackPrefix }),
    memory: new LayerMemory(diskCache(context), compression),
    facts: new FactsMemory(diskCache(context)),
    clock: context.clock,
    progress: output.progress,
    signal: context.signal,
  } as const;
  const unlocked = flags.all || texts.length > 0 ? [] : await unlockedSpecs(files);
  const lacking = unlockedAdvice(unlocked, discovery.environment?.folder);
  if (lacking !== undefined) output.warn(lacking);
  const container = containerBase(files, tags);
  if (container.warning !== undefined) output.warn(container.warning);
  if (container.base !== undefined) flags.baseImage ??= container.base;
  const isIndexed = Boolean(common.updateIndex) || flags.shard !== undefined || flags.rebuildIndex === false;
  const advise = (packed: number, newTags: readonly string[], place: string): void => {
    const unindexed = isIndexed || flags.force || flags.dryRun ? 0 : packed;
    const baseless = flags.baseImage === undefined ? newTags : [];
    const reindex = `stave index ${split.cache ?? place}`;
    for (const text of pushAdvice({ root: store.root, packed, unindexed, reindex, roots, baseless })) output.warn(text);
  };
  if (flags.dryRun) {
    await using opened = await readPushCache(named, place, { mayBeGone: true });
    const { cache } = opened;
    const base = await baseSource(opened.opener, { context, output, flags });
    const plan = await planTo(cache, { ...common, base });
    output.print(planText(plan, output.columns));
    const packed = plan.specs.filter(({ action, isRepair }) => action === "pack" && !isRepair).length;
    advise(packed, tags, opened.mirror?.name ?? formatCache(opened.location));
    output.report(plan);
    return 0;
  }
  // The password is asked for before anything is pushed.
  const keyFile = isGpg || flags.keyless ? undefined : signingKey(flags);
  const own = keyFile === undefined ? undefined : await openKey(context, flags, keyFile);
  let signer = own?.signer;
  let base: BaseSource | undefined;
  const openFirst = async (opener: Opener): Promise<void> => {
    if (flags.keyless) signer = await openKeyless(context, flags, opener.transport);
    base = await baseSource(opener, { context, output, flags });
  };
  await using opened = await writeCache(named, place, { create: true, mayUseMirror: true, first: openFirst });
  const { cache, location } = opened;
  const workflow = new Workflow(context, output);
  const endGroup = workflow.group(`push ${count(roots.length, "spec")} to ${formatCache(location)}`);
  const onSpec = (spec: PushedSpec): void => {
    const text = specLine(spec, context.stderr.isTTY === true);
    if (text !== undefined) output.note(text);
    else if (spec.outcome === "present") output.detail(`exists ${spec.tag}`);
  };
  const name = signedName(location);
  const sign = signer && { signer, cache: name, legacy: legacySigning(flags, own?.key, name) };
  const created = sourceDate(context.env);
  const attest = { sbom: flags.sbom, job, created, tool: VERSION, repository: REPOSITORY };
  const report = await pushTo(cache, { ...common, base, sign, attest, onSpec }).finally(endGroup);
  const reference = (tag: string): string =>
    isMirror(location) ? formatCache(location) : formatLocation(tagged(location, tag));
  output.print(pushSummary(report, reference));
  for (const finding of report.findings) output.warn(findingText(finding));
  for (const text of recipeWarnings(report.environment?.notUnderstood ?? [], "--variable NAME=VALUE"))
    output.warn(text);
  const reach = libraryPathWarning(report.environment?.libraryPath ?? []);
  if (reach !== undefined) output.warn(reach);
  if (report.signatures) output.print(signText(report.signatures, {}));
  else if (report.specs.some(({ outcome }) => outcome === "pushed") || report.images.some(({ isNew }) => isNew))
    await remindToSign(location, { kind: "images", what: "what was pushed has no signatures" }, opening);
  for (const attestation of report.attestations) output.print(attestationText(attestation));
  const made = report.specs.filter(({ outcome }) => outcome === "pushed").length;
  const newTags = report.images.filter(({ isNew }) => isNew).map(({ tag }) => tag);
  advise(made, newTags, opened.mirror?.name ?? formatCache(location));
  const [newTag] = newTags;
  // Without a base image there is nothing that could start.
  if (newTag !== undefined && flags.baseImage !== undefined && !isMirror(location) && report.failures.length === 0)
    output.note(`to run it: ${runLine(location, newTag, context)}`);
  workflow.summary(pushMarkdown(report, reference));
  if (report.failures.length > 0) return output.fail(aggregate([...report.failures], "parts of the push"), report);
  output.report(report);
  return 0;
}

async function rootsOrHint(files: SpackFiles, store: Store, texts: readonly string[]): Promise<SpecNode[]> {
  if (texts.length > 0 || (await files.lock()) !== undefined) return await chosenRoots(files, store, texts);
  throw new StaveError("USAGE", "no spec was named", {
    hint: "name specs, for example zlib or /abc123, or an environment with -e DIR; --all takes everything installed by name",
  });
}

// Externals of an environment are skipped: Spack did not install them, so there is no prefix to push.
function refuseExternals(roots: readonly SpecNode[]): void {
  const [external] = roots.filter((node) => node.external !== undefined);
  if (external === undefined) return;
  const name = `${external.name}@${external.version}/${external.hash.slice(0, 7)}`;
  throw new StaveError("USAGE", `${name} is an external: Spack did not build it, and it cannot be pushed`, {
    subject: external.hash,
    hint: "leave it out, and add it to images with --base-image",
  });
}

/** Parses a tag that Spack's index update will not mistake for a spec. Throws REFERENCE_INVALID, USAGE. */
function imageTag(text: string): string {
  const tag = parseTag(text);
  if (!tag.endsWith(".spack")) return tag;
  throw new StaveError(
    "USAGE",
    `the tag ${tag} is reserved for specs: Spack reads every tag that ends in .spack as one`,
    {
      hint: "choose another --tag",
    },
  );
}

async function baseSource(
  opener: Opener,
  { flags, ...use }: BaseUse & { readonly flags: PushFlags },
): Promise<BaseSource | undefined> {
  return flags.baseImage === undefined ? undefined : await trustedBase(flags.baseImage, opener, { flags, ...use });
}

function tagged(location: Location, tag: string): Location {
  return location.kind === "layout" ? { ...location, tag } : { ...location, reference: { ...location.reference, tag } };
}
