// `stave relocate`: updates the paths in a tree that was moved.
import { resolve } from "node:path";
import { findProgram } from "../../api/machine/programs.ts";
import { type RelocateTreeReport, relocate } from "../../ops/store/relocate.ts";
import { printable } from "../../printable/printable.ts";
import { addDryRun, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { count } from "../output/formatting.ts";
import { worthTelling } from "../output/leftovers.ts";
import type { OutputOptions } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends OutputOptions {
  from: string;
  to: string;
  dryRun?: boolean;
  allFiles?: boolean;
  strict?: boolean;
}

const HELP = `
Replaces one root or prefix with another in every text file, link, program and library of a tree, like an installation from a build
cache. Text may change in length; strings in programs must fit the space they have; search paths grow with patchelf. Changes nothing
unless everything can be changed. Lists the files that still contain the old path. --all-files also changes other formats
(compiled messages, byte code, archives) where the length stays the same; this can break formats with checksums.

Examples:
  stave relocate /opt/new --from /opt/old --to /opt/new
  stave relocate ./staging --from /opt/store --to /apps --dry-run`;

/** The command `stave relocate`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("relocate", "update the paths in a tree that was moved")
    .argument("<dir>", "the tree: a store, a prefix or any folder; need not be at its final path yet")
    .requiredOption("--from <path>", "the old path, which its files contain")
    .requiredOption("--to <path>", "the new path")
    .option("--all-files", "also change other formats where the length stays the same")
    .option("--strict", "fail if files still contain the old path");
  addDryRun(command).addHelpText("after", helpText(HELP));
  return bindAction<[string], Flags>(command, state, async (context, output, flags, directory) => {
    const report = await relocate({
      ...flags,
      directory: resolve(context.cwd, directory),
      findPatchelf: () => findProgram("patchelf", context),
      progress: output.progress,
      signal: context.signal,
    });
    for (const text of details(report)) output.detail(text);
    output.print(summary(report));
    for (const { text, paths = [] } of warnings(report, flags.verbose)) {
      output.warn(text);
      for (const path of paths.slice(0, LISTED)) output.note(`  ${path}`);
      if (paths.length > LISTED) output.note(`  … and ${paths.length - LISTED} more; --json lists them all`);
    }
    output.report(report);
    return 0;
  });
};

const KINDS = ["texts", "links", "headers", "patched", "strings", "others", "manifests"] as const;

function details(report: RelocateTreeReport): string[] {
  return KINDS.flatMap((kind) => report[kind].map((path) => `${kind}: ${path}`));
}

function summary({ dryRun, from, to, ...report }: RelocateTreeReport): string {
  const programs = new Set([...report.headers, ...report.patched, ...report.strings]);
  const parts = [
    count(report.texts.length, "text"),
    count(report.links.length, "link"),
    count(programs.size, "program or library", "programs and libraries"),
  ];
  if (report.others.length > 0) parts.push(count(report.others.length, "other file"));
  return `${dryRun ? "would change" : "changed"} ${parts.join(", ")} from ${printable(from)} to ${printable(to)}`;
}

const LISTED = 20;

interface Warning {
  readonly text: string;
  /** The files concerned. */
  readonly paths?: readonly string[];
}

function warnings(
  { leftovers: all, machO, skipped, hasDatabase, from, dryRun }: RelocateTreeReport,
  verbose: boolean | undefined,
): Warning[] {
  const leftovers = worthTelling(all, verbose);
  const left = `${count(leftovers.length, "file")} ${dryRun ? "would still name" : "still name"} ${from}:`;
  const database = "the install database is left as it is; run `spack reindex` with the Spack that owns the store";
  const out: Warning[] = [];
  if (leftovers.length > 0) out.push({ text: left, paths: leftovers });
  if (machO.length > 0) out.push({ text: "the load commands of Mach-O files are left as they are:", paths: machO });
  if (skipped.length > 0) out.push({ text: "neither file, link nor folder, left alone:", paths: skipped });
  if (hasDatabase) out.push({ text: database });
  return out;
}
