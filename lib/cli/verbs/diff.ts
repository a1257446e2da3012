// `stave diff`: shows what changed between two images, caches or lock files.

import { resolve } from "node:path";
import type { SpackFlags } from "../../api/from-spack/spack-files.ts";
import { diskCache } from "../../api/machine/cache-folder.ts";
import { isMirrorFolder, parseMirror } from "../../api/places/mirror-location.ts";
import { StaveError } from "../../errors.ts";
import { FactsMemory } from "../../loader/facts-memory.ts";
import { hostArchitecture } from "../../oci/platform.ts";
import { formatLocation, isPath, parseLocation } from "../../oci/reference.ts";
import {
  cacheSide,
  type DiffReport,
  type DiffSide,
  diff,
  type ImageSideOptions,
  imageSide,
  isSame,
} from "../../ops/cache/diff.ts";
import { printable } from "../../printable/printable.ts";
import { LOCKFILE_LIMIT, readEnvironmentLock, readLockfile } from "../../spack/spec/lockfile.ts";
import { isLayoutFolder } from "../../target/layout/layout-folder.ts";
import { kindAt } from "../../util/inspect-path.ts";
import { readBounded } from "../../util/read-file.ts";
import { type CacheRun, readCache } from "../arguments/cache-location.ts";
import { addTransport, addTrust, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import { count, formatBytes } from "../output/formatting.ts";
import type { Output } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, SpackFlags {
  base?: boolean;
}

const HELP = `
A and B are images (oci://HOST/REPO:TAG, oci-layout:DIR:TAG), build caches, lock files or environment folders. Shows which specs
were added, removed or rebuilt; of caches, the indexes are compared. For images it also shows the layers, and so how many bytes a
machine that has A must pull to get B; with --base also the packages of their base images. Exits with status 1 if they differ.

Examples:
  stave diff oci://ghcr.io/org/cache:app-1 oci://ghcr.io/org/cache:app-2
  stave diff ./old/spack.lock ./spack.lock
  stave diff oci://ghcr.io/org/cache oci-layout:./mirror`;

/** The command `stave diff`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("diff", "show what changed between two images, caches or lock files")
    .argument("<a>", "the old state")
    .argument("<b>", "the new state")
    .option("--base", "also compare the system packages of the base images (dpkg's and apk's)");
  addSpack(addTransport(addTrust(command))).addHelpText("after", helpText(HELP));
  return bindAction<[string, string], Flags>(command, state, async (context, output, flags, a, b) => {
    const run = { context, output, flags };
    const memory = new FactsMemory(diskCache(context));
    const base = flags.base && { platform: { os: "linux", architecture: hostArchitecture(context.arch) }, memory };
    const [from, to] = [await side(a, run, base || undefined), await side(b, run, base || undefined)];
    const report = diff(from, to);
    if (base && report.base === undefined)
      output.warn(
        "the packages of the bases are not compared: both sides must be images whose packages dpkg or apk lists",
      );
    for (const line of render(report, output)) output.print(line);
    output.report(report);
    return isSame(report) ? 0 : 1;
  });
};

async function side(text: string, run: CacheRun, base: ImageSideOptions["base"]): Promise<DiffSide> {
  const { context } = run;
  const { signal } = context;
  const path = resolve(context.cwd, text);
  const mirror = isMirrorFolder(path) ? path : text;
  if (parseMirror(mirror, context.cwd) !== undefined) {
    await using opened = await readCache(mirror, run);
    return await cacheSide(opened.cache, { signal });
  }
  const found = isLayoutFolder(path) ? undefined : kindAt(path);
  if (found === "folder") return lockSide(path, await readEnvironmentLock(path));
  if (found === "file") return lockSide(path, readLockfile((await readBounded(path, LOCKFILE_LIMIT)).bytes, text));
  const location = isPath(text) ? parseLocation(text) : undefined;
  if (location?.kind === "layout" && !isLayoutFolder(resolve(context.cwd, location.directory)))
    throw new StaveError("NOT_FOUND", `there is no file or folder ${printable(text)}`, {
      subject: text,
      hint: "name a lock file, the folder of an environment, an image or a cache",
    });
  const [cacheText, reference] = splitImage(text);
  await using opened = await readCache(cacheText, run);
  return reference === undefined
    ? await cacheSide(opened.cache, { signal })
    : await imageSide(opened.cache, reference, { signal, base });
}

function lockSide(name: string, { graph }: ReturnType<typeof readLockfile>): DiffSide {
  return { name, specs: [...graph.nodes()].filter((node) => node.external === undefined), layers: undefined };
}

// Splits an image into its cache and its tag or digest; a mirror's name is a cache.
function splitImage(text: string): [cache: string, reference: string | undefined] {
  if (!/[/:]/.test(text)) return [text, undefined];
  const location = parseLocation(text);
  const none = { tag: undefined, digest: undefined };
  if (location.kind === "layout") return [formatLocation({ ...location, ...none }), location.digest ?? location.tag];
  const { reference } = location;
  return [formatLocation({ ...location, reference: { ...reference, ...none } }), reference.digest ?? reference.tag];
}

const SHOWN = 3;

function* render({ specs, layers, base }: DiffReport, output: Output): Iterable<string> {
  const short = ({ name, version, hash }: { name: string; version: string; hash: string }): string =>
    printable(`${name}@${version}/${hash.slice(0, 7)}`);
  if (specs) {
    for (const spec of specs.removed) yield `${output.style("red", "-")} ${short(spec)}`;
    for (const spec of specs.added) yield `${output.style("green", "+")} ${short(spec)}`;
    for (const { from, to, differences } of specs.rebuilt) {
      yield `${output.style("yellow", "~")} ${short(from)} -> ${short(to)}`;
      for (const { path, attribute, left, right } of differences.slice(0, SHOWN))
        yield printable(
          `    ${path.slice(1).join(" -> ")}${path.length > 1 ? ": " : ""}${attribute}: ${left || "none"} -> ${right || "none"}`,
        );
      if (differences.length > SHOWN) yield `    and ${count(differences.length - SHOWN, "more difference")}`;
    }
    const { added, removed, rebuilt, same } = specs;
    yield `${added.length} added, ${removed.length} removed, ${rebuilt.length} rebuilt, ${same} the same`;
  }
  if (base) {
    for (const { name, version } of base.removed)
      yield `${output.style("red", "-")} ${printable(`${name} ${version}`)}`;
    for (const { name, version } of base.added)
      yield `${output.style("green", "+")} ${printable(`${name} ${version}`)}`;
    for (const { name, from, to } of base.changed)
      yield `${output.style("yellow", "~")} ${printable(`${name} ${from} -> ${to}`)}`;
    yield `packages of the base: ${base.added.length} added, ${base.removed.length} removed, ${base.changed.length} changed, ${base.same} the same`;
  }
  if (layers)
    yield `${count(layers.added, "layer")} of ${formatBytes(layers.bytes)} to pull, ${layers.same} there already, ${layers.removed} no longer needed`;
}
