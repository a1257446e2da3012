// `stave push`: creates container images from installed specs.
import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { containerBase, imageDescription, imageViews, spackSide } from "../../api/from-spack/push-side.ts";
import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { chosenRoots, explicitSpecs } from "../../api/from-spack/spack-specs.ts";
import { unlockedSpecs } from "../../api/from-spack/unlocked-specs.ts";
import { diskCache } from "../../api/machine/cache-folder.ts";
import { VERSION } from "../../api/machine/stave-version.ts";
import { cacheLocation, onlySpecs, splitCache } from "../../api/places/cache-choice.ts";
import { referenceOf } from "../../api/places/connection.ts";
import { formatCache, isMirror } from "../../api/places/mirror-location.ts";
import { signedName, type TrustOptions, trustedReference } from "../../api/signers/trust.ts";
import { aggregate, StaveError } from "../../errors.ts";
import { formatCompression, parseCompression } from "../../image/pack/compression.ts";
import { LayerMemory } from "../../image/pack/layer-memory.ts";
import { FactsMemory } from "../../loader/facts-memory.ts";
import { formatLocation, type Location, parseLocation, parseTag } from "../../oci/reference.ts";
import type { BaseSource } from "../../ops/push/base-image.ts";
import { PUSH_DEFAULTS } from "../../ops/push/options.ts";
import { planTo, pushTo } from "../../ops/push/push-to.ts";
import type { PushedSpec } from "../../ops/push/report.ts";
import { parseShard } from "../../ops/push/shard.ts";
import { ciJob } from "../../ops/sign/ci-job.ts";
import { SBOM_FORMATS, type SbomFormat } from "../../sbom/bill.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import type { Store } from "../../spack/store/store.ts";
import { sourceDate } from "../../util/source-date.ts";
import { CACHE_ARGUMENT, pushCache, readPushCache, writeCache } from "../arguments/cache-location.ts";
import { addImageSettings, type ImageFlags, imageSettings } from "../arguments/image-flags.ts";
import { addPassword, type PasswordFlags } from "../arguments/key-password.ts";
import type { Opener } from "../arguments/open.ts";
import {
  addDryRun,
  addJobs,
  addTransport,
  addTrust,
  type CommonFlags,
  collect,
  helpText,
  onlyOption,
  verbCommand,
  wholeNumber,
} from "../arguments/shared-flags.ts";
import { remindToSign } from "../arguments/sign-reminder.ts";
import { addKeyless, type KeylessFlags, openKey, openKeyless } from "../arguments/signer.ts";
import { addSpack } from "../arguments/spack-options.ts";
import type { Context } from "../machine/context.ts";
import { findingText } from "../output/check-run-text.ts";
import { count } from "../output/formatting.ts";
import { Workflow } from "../output/github.ts";
import type { Output } from "../output/output.ts";
import { pushAdvice, unlockedAdvice } from "../output/push-advice.ts";
import { planText, pushMarkdown, pushSummary, specLine } from "../output/push-text.ts";
import { libraryPathWarning, recipeWarnings } from "../output/recipe-text.ts";
import { attestationText, signText } from "../output/signature-text.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, SpackFlags, PasswordFlags, KeylessFlags, TrustOptions, ImageFlags {
  all?: boolean;
  tag?: string[];
  budget: number;
  view?: string | false;
  standardLabels?: boolean;
  dryRun?: boolean;
  force?: boolean;
  verify?: boolean;
  only?: "package" | "dependencies";
  withBuildDependencies?: boolean;
  withoutBuildDependencies?: boolean;
  deps?: boolean;
  failFast?: boolean;
  allowMissing?: boolean;
  checkRun?: boolean;
  platformTag?: boolean;
  private?: boolean;
  updateIndex?: boolean;
  rebuildIndex?: boolean;
  shard?: string;
  baseImage?: string;
  compression: string;
  variable?: string[];
  spackEnv?: boolean;
  spackPrefix?: string;
  jobs: number;
  unsigned?: boolean;
  sign?: string | true;
  sbom?: SbomFormat;
  provenance?: boolean;
  signed?: boolean;
  key?: string;
  directory?: string;
  mirror?: string;
  from?: string;
  specFile?: string[];
  specYaml?: string[];
  allowRoot?: boolean;
  rel?: boolean;
}

const HELP = `
Each spec becomes an image that Spack can install and that docker, podman and Apptainer can run; --tag also makes one image of the
named specs and of all that they need at run time, which excludes build dependencies. Without SPEC, pushes the roots of the
environment (-e DIR, or $SPACK_ENV). Skips specs that the cache already has; run an
interrupted push again to continue it. CACHE is
${CACHE_ARGUMENT}.

The images' environment variables (PATH, MANPATH and the like) follow from the folders of the installed specs and from the copies of
recipes in their prefixes, which are read as text and not executed; a recipe that is not understood is named. Spack is asked instead
if --spack or $SPACK_ROOT names it. --variable NAME=VALUE sets a variable, NAME+=DIR appends a folder to a list, NAME^=DIR prepends
one.

Examples:
  stave push -e . --tag app
  stave push oci://ghcr.io/org/cache -e . --tag app --base-image debian:12-slim --update-index
  stave push oci://ghcr.io/org/cache hdf5 /abc1234
  stave push oci-layout:./cache hdf5 --plan
  stave push oci://ghcr.io/org/cache hdf5 --from https://binaries.example.org/stack --tag app
  stave push oci://ghcr.io/org/cache -e . --shard 2/4        in the second of four jobs; tag after all have ended`;

/** The command `stave push`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("push", "push installed specs as images, and an environment as one image")
    .argument("[cache]", "the cache to push to")
    .argument("[specs...]", "installed specs: queries that match one each, /hash or spec files")
    .option(
      "-t, --tag <tag>",
      "also make one image that holds the named specs and all that they need at run time (may be repeated)",
      collect,
    )
    .option("--platform-tag", "add the image to those of other platforms under the tag, as image-index does")
    .option("--all", "push every spec that was installed by name, with its dependencies")
    .option(
      "--budget <n>",
      "the most layers of an image, base included; small specs share layers",
      wholeNumber(0, 1000),
      PUSH_DEFAULTS.budget,
    )
    .option("--base-image <image>", "build on this image, from a registry or oci-layout:DIR:TAG")
    .option("--view <path>", "also make one tree of links to the files of all specs in the tagged image")
    .option("--no-standard-labels", "without labels from git, the CI job and SOURCE_DATE_EPOCH")
    .option("--no-view", "without the views that spack.yaml declares")
    .option("--from <cache>", "take the specs from this cache, and install nothing; updates the index")
    .option("--update-index", "update the index of the cache afterwards")
    .option("-f, --force", "pack and push specs again that the cache already has")
    .option("--verify", "check the images that the cache already has, and repair broken or incomplete ones")
    .addOption(onlyOption("push"))
    .option(
      "--with-build-dependencies",
      "fail unless build-only dependencies are installed (default: push those that are)",
    )
    .option("--without-build-dependencies", "leave out build-only dependencies")
    .option("--allow-missing", "make the tagged image even if some layers are missing")
    .option("--no-check-run", "tag the image without checking that its programs will start over the base image")
    .option("--fail-fast", "stop at the first failure")
    .option("--private", "also push packages whose recipes forbid redistribution")
    .option("--shard <k/n>", "pack only this share of the specs; other jobs pack the rest")
    .option(
      "--compression <how>",
      "gzip:LEVEL or zstd:LEVEL; Spack cannot install zstd",
      formatCompression(PUSH_DEFAULTS.compression),
    )
    .option("--variable <name=value>", "set an environment variable in the images (may be repeated)", collect)
    .option("--spack-env", "keep Spack's variables unchanged, with folders of this host and repeated entries")
    .option(
      "--spack-prefix <dir>",
      "the Spack that owns the store (default: the Spack in use, else X for a store X/opt/spack, else the store)",
    )
    .option(
      "--sign [key]",
      "sign the images, and the updated index, with this private key, or --keyless (see `stave sign`)",
    )
    .option(
      "-k, --key <key>",
      "for a mirror, the gpg key (default: the only secret key); for images the same as --sign",
    )
    .option("-u, --unsigned", "do not sign (the default for images); with --from, do not check its signatures either")
    .addOption(
      new Option("--sbom <format>", "attach a signed bill of materials to each image").choices([...SBOM_FORMATS]),
    )
    .option("--provenance", "attach a signed statement of which CI job pushed the images");
  addPassword(addKeyless(command));
  addDryRun(command);
  addJobs(command, "how many threads pack layers", PUSH_DEFAULTS.jobs);
  addSeeds(command);
  addImageSettings(command);
  addSpack(addTransport(addTrust(command))).addHelpText("after", helpText(HELP));
  return bindAction<[string | undefined, string[]], Flags>(command, state, run);
};

// Flags of current and earlier versions of Spack's command that stave spells differently.
function addSeeds(command: Command): void {
  const hidden = (flags: string, text: string): Option => new Option(flags, text).hideHelp();
  command
    .addOption(hidden("--rebuild-index", "the same as --update-index"))
    .addOption(hidden("--no-rebuild-index", "do not update the index, which is the default"))
    .addOption(hidden("--signed", "sign, the default for mirrors; images need --sign KEY"))
    .addOption(hidden("-d, --directory <cache>", "the cache"))
    .addOption(hidden("-m, --mirror <cache>", "the cache, like the argument"))
    .addOption(hidden("--spec-file <file>", "a spec file, the same as SPEC").argParser(collect))
    .addOption(hidden("-y, --spec-yaml <file>", "a spec file, the same as SPEC").argParser(collect))
    .addOption(hidden("--no-deps", "the same as --only package"))
    .addOption(hidden("-a, --allow-root", "no effect: archives are never searched for store paths"))
    .addOption(hidden("-r, --rel", "refused: archives keep their paths and are relocated during installation"));
}

async function run(
  context: Context,
  output: Output,
  flags: Flags,
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
    image: await imageSettings(flags, (path) => resolve(context.cwd, path)),
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
  const name = isGpg || flags.keyless ? undefined : signingKey(flags);
  let signer = name === undefined ? undefined : (await openKey(context, flags, name)).signer;
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
  const sign = signer && { signer, cache: signedName(location) };
  const attest = { sbom: flags.sbom, job, created: sourceDate(context.env), tool: VERSION };
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

const signingKey = ({ sign, key }: Flags): string | undefined => (sign === true ? undefined : sign) ?? key;

function checkSigning(flags: Flags, isGpg: boolean): void {
  const key = signingKey(flags);
  const { sign, signed, keyless } = flags;
  if (isGpg && (sign !== undefined || keyless))
    throw new StaveError("UNSUPPORTED", "the specs of a mirror are signed by gpg, not with a key file or --keyless", {
      hint: "leave out --sign and --keyless; -k names a gpg key",
    });
  if ((signed || sign === true) && key === undefined && !keyless && !isGpg)
    throw new StaveError("USAGE", `${sign === true ? "--sign" : "--signed"} needs a key`, {
      hint: "name the private key with --sign FILE (`stave keygen` makes one), or sign without one by --keyless",
    });
  if (flags.unsigned && (signed || keyless || sign !== undefined || key !== undefined))
    throw new StaveError("USAGE", "--unsigned excludes --signed, --sign, --keyless and --key", {
      hint: "leave one of them out",
    });
  if (keyless && key !== undefined)
    throw new StaveError("USAGE", "--keyless excludes a key", { hint: "leave one of them out" });
  const isAttesting = flags.sbom !== undefined || flags.provenance;
  if (isGpg && isAttesting)
    throw new StaveError("UNSUPPORTED", "nothing can be attached to the specs of a mirror, which has no images", {
      hint: "leave out --sbom and --provenance; `stave sbom` prints a bill of materials",
    });
  if (isAttesting && key === undefined && !keyless)
    throw new StaveError("USAGE", "--sbom and --provenance need a signer: attestations are signed", {
      hint: "add --sign FILE (`stave keygen` makes a key) or --keyless",
    });
  if (!keyless && (flags.signingConfig ?? flags.trustedRoot) !== undefined)
    throw new StaveError("USAGE", "--signing-config and --trusted-root are for --keyless", { hint: "leave them out" });
  if (typeof sign === "string" && flags.key !== undefined && sign !== flags.key)
    throw new StaveError("USAGE", "--sign and --key name two keys", { hint: "leave one of them out" });
}

function checkFlags(flags: Flags, output: Output): void {
  if (flags.rel)
    throw new StaveError(
      "UNSUPPORTED",
      "archives with relative paths are not supported: archives are relocated during installation",
      {
        hint: "leave out --rel",
      },
    );
  if (flags.withBuildDependencies && flags.withoutBuildDependencies)
    throw new StaveError("USAGE", "--with-build-dependencies and --without-build-dependencies exclude each other");
  if (flags.updateIndex && flags.rebuildIndex === false)
    throw new StaveError("USAGE", "--update-index and --no-rebuild-index exclude each other");
  if (flags.allowRoot) output.warn("--allow-root has no effect: archives are never searched for store paths");
}

function buildDependencies({ withBuildDependencies, withoutBuildDependencies }: Flags): "with" | "without" | undefined {
  if (withBuildDependencies) return "with";
  return withoutBuildDependencies ? "without" : undefined;
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
  { context, output, flags }: { readonly context: Context; readonly output: Output; readonly flags: Flags },
): Promise<BaseSource | undefined> {
  const { baseImage: name } = flags;
  if (name === undefined) return undefined;
  const location = parseLocation(name);
  const target = await opener.read(location);
  const named = await referenceOf(location, target, context.signal);
  const onWarning = (text: string): void => output.warn(text);
  const { transport } = opener;
  const use = { around: context, options: flags, transport, onWarning };
  const reference = await trustedReference(location, target, named, use);
  return { name, target, reference };
}

function tagged(location: Location, tag: string): Location {
  return location.kind === "layout" ? { ...location, tag } : { ...location, reference: { ...location.reference, tag } };
}
