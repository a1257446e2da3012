// What `run` and `shell` do if they must: they find the specs in a cache, install them, and find out their variables.
// It is loaded only then, so that a program that is installed starts quickly.

import { installStore } from "../../api/from-spack/install-roots.ts";
import { openInstallation } from "../../api/from-spack/open-installation.ts";
import type { SpackFiles, SpackFlags } from "../../api/from-spack/spack-files.ts";
import { isCacheWord, splitCache } from "../../api/places/cache-choice.ts";
import { wholePlace } from "../../api/places/image-places.ts";
import { parseMirror } from "../../api/places/mirror-location.ts";
import { type TrustOptions, trustedReference } from "../../api/signers/trust.ts";
import { aggregate, StaveError } from "../../errors.ts";
import { parseLocation } from "../../oci/reference.ts";
import { readEnvironmentImage } from "../../ops/image/tagged-image.ts";
import { type InstallOptions, install, planInstall } from "../../ops/install/install.ts";
import type { InstalledSpec } from "../../ops/install/report.ts";
import type { InstallSource } from "../../ops/install/source.ts";
import { runModifications } from "../../ops/store/env.ts";
import type { RememberedRun } from "../../ops/store/run-memory.ts";
import { LINK, RUN } from "../../spack/spec/node.ts";
import { postOrder } from "../../spack/spec/traversal.ts";
import { DOCUMENTS_AT_ONCE } from "../../target/target.ts";
import { mapLimit } from "../../util/limit.ts";
import type { Context } from "../machine/context.ts";
import { count } from "../output/formatting.ts";
import { installLine } from "../output/install-text.ts";
import type { Output } from "../output/output.ts";
import { recipeWarnings } from "../output/recipe-text.ts";
import { readCaches } from "./cache-location.ts";
import { namedIn } from "./image-location.ts";
import { openNetwork } from "./open.ts";
import type { CommonFlags } from "./shared-flags.ts";
import { type SignerFlags, signersOf } from "./signer-flags.ts";

/** The flags of `run` and `shell`. */
export interface RunFlags extends CommonFlags, SpackFlags, SignerFlags, TrustOptions {
  mirror?: string[];
  refresh?: boolean;
  offline?: boolean;
  dryRun?: boolean;
  otherarch?: boolean;
  unsigned?: boolean;
  jobs: number;
}

/** What `run` or `shell` was asked for. */
export interface RunWork {
  readonly context: Context;
  readonly output: Output;
  readonly flags: RunFlags;
  readonly files: SpackFiles;
  readonly words: readonly string[];
  /** The policy or the flags may refuse a spec. */
  readonly isStrict: boolean;
}

/** The report of a dry run. */
export interface RunReport {
  readonly store: string;
  /** The DAG hashes of the specs whose programs are used. */
  readonly specs: readonly string[];
  /** How many specs must be installed, dependencies included, and how many bytes are downloaded for them. */
  readonly install: number;
  readonly download: number;
}

/** What would be installed. */
export async function planRun(work: RunWork): Promise<RunReport> {
  return await withInstallation(work, async (options) => {
    const { totals } = await planInstall(options);
    return { store: options.store.root, specs: options.roots.map(({ node }) => node.hash), ...totals };
  });
}

/** Installs what is missing. */
export async function installToRun(work: RunWork): Promise<RememberedRun> {
  return await withInstallation(work, installed);
}

/** Opens what an installation of the named specs needs. */
async function withInstallation<T>(
  work: RunWork,
  use: (options: InstallOptions, work: RunWork) => Promise<T>,
): Promise<T> {
  const { context, output, flags, files } = work;
  const { cache: named, specs } = await specsOf(work);
  const place = { context, output, flags: { ...flags, signedBy: signersOf(flags) }, files, specs };
  const caches = [...(named === undefined ? [] : [named]), ...(flags.mirror ?? [])];
  await using opened = await readCaches(caches, { ...place, verifies: flags.unsigned !== true });
  await using installation = await openInstallation({
    files,
    around: context,
    caches: opened.caches,
    words: specs,
    anyArchitecture: flags.otherarch,
    onNote: (text) => output.note(text),
    onWarning: (text) => output.warn(text),
  });
  const { source, roots } = installation.options;
  if (work.isStrict) await judge(source, roots, context.signal);
  const onSpec = (spec: InstalledSpec): void => {
    const line = installLine(spec);
    if (line !== undefined) output.detail(line);
  };
  return await use(
    { ...installation.options, jobs: flags.jobs, onSpec, progress: output.progress, isExplicit: false },
    work,
  );
}

// Reads the images of all specs, which judges them. An installation would only read those that are missing, but those
// that are there may have been revoked, or installed before there was a policy.
async function judge(
  source: InstallSource,
  roots: InstallOptions["roots"],
  signal: AbortSignal | undefined,
): Promise<void> {
  const nodes = roots.map(({ node }) => node);
  const closure = postOrder(nodes, { types: LINK | RUN }).filter(({ external }) => external === undefined);
  await mapLimit(closure, DOCUMENTS_AT_ONCE, (node) => source.readAhead(node, { signal }), signal);
}

/** Installs the specs, and finds out their variables. */
async function installed(options: InstallOptions, { files, output }: RunWork): Promise<RememberedRun> {
  const { store, roots } = options;
  const report = await install(options);
  if (report.failures.length > 0) throw aggregate([...report.failures], "specs");
  const { installed: added } = report.totals;
  if (added > 0) output.note(`${count(added, "spec")} installed into ${store.root}`);
  const now = await installStore(files);
  const nodes = roots.map(({ node }) => now.get(node.hash)?.node ?? node);
  const { modifications, notUnderstood } = runModifications({
    store: now,
    roots: nodes,
    inspections: files.discovery.inspections,
  });
  for (const text of recipeWarnings(notUnderstood, "your own `export`")) output.warn(text);
  const closure = postOrder(nodes, { types: LINK | RUN });
  const prefixes = closure.flatMap((node) => now.get(node.hash)?.path ?? []);
  const names = nodes.map(({ name, version }) => `${name}@${version}`);
  return { specs: nodes.map(({ hash }) => hash), names, prefixes, modifications };
}

/** The cache and the specs that the words name; an image of an environment stands for its specs. */
async function specsOf({ context, output, flags, files, words }: RunWork): Promise<ReturnType<typeof splitCache>> {
  const [first, ...rest] = words;
  const { cwd } = context;
  const isPlace = first !== undefined && isCacheWord(first, cwd) && parseMirror(first, cwd) === undefined;
  const location = isPlace ? parseLocation(first) : undefined;
  const image = location && namedIn(location);
  if (first === undefined || location === undefined || image === undefined)
    return splitCache(words, files.discovery.mirrors, cwd);
  if (rest.length > 0)
    throw new StaveError("USAGE", `${first} is an image, which has specs of its own`, {
      hint: "leave the tag out to name specs of the cache",
    });
  await using opener = await openNetwork({ context, output, flags, places: [location] });
  const target = await opener.read(location);
  const onWarning = (text: string): void => output.warn(text);
  const options = { ...flags, signedBy: signersOf(flags) };
  const use = { around: context, options, transport: opener.transport, onWarning };
  const trusted = await trustedReference(location, target, image, use);
  const { layers } = await readEnvironmentImage(target, trusted, { signal: context.signal });
  const hashes = layers.flatMap((layer) => layer.hashes);
  if (hashes.length === 0)
    throw new StaveError("MEDIA_TYPE", `${first} is not the image of an environment that stave pushed`, {
      hint: "name specs of the cache instead",
    });
  return { cache: wholePlace(location), specs: hashes.map((hash) => `/${hash}`) };
}
