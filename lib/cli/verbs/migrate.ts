// `stave migrate`: brings a mirror to the newest layout.
import { Option } from "commander";
import { SpackFiles } from "../../api/from-spack/spack-files.ts";
import { MirrorCache } from "../../cache/mirror/mirror-cache.ts";
import { aggregate, StaveError } from "../../errors.ts";
import { type MigrateReport, migrate } from "../../ops/sync/migrate.ts";
import { printable } from "../../printable/printable.ts";
import { readCache, writeCache } from "../arguments/cache-location.ts";
import { addMoving, type MovingFlags } from "../arguments/moving-flags.ts";
import { helpText, verbCommand } from "../arguments/shared-flags.ts";
import { count, formatBytes } from "../output/formatting.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends MovingFlags {
  deleteExisting?: boolean;
}

const HELP = `
Copies every spec that MIRROR has only in layout 1 or 2 (Spack 0.18 to 0.23) to layout 3, with the same archives. Signatures are
checked, and the specs are signed anew; -u does neither. Exits with status 1 if a spec is left in the old layout alone.

Examples:
  stave migrate file:///srv/mirror -k release@example.org
  stave migrate my-mirror -u --delete-existing`;

/** The command `stave migrate`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("migrate", "bring a mirror of Spack 0.x to the newest layout")
    .argument("<mirror>", "the mirror: file:///DIR, a path or its name")
    .option("-d, --delete-existing", "remove the old form of each spec whose new form was read back")
    .addOption(new Option("-y, --yes-to-all", "no effect: nothing is asked").hideHelp());
  addMoving(command).addHelpText("after", helpText(HELP));
  return bindAction<[string], Flags>(command, state, async (context, output, flags, text) => {
    const files = new SpackFiles(context, flags);
    const run = { context, output, flags, files };
    const { unsigned, key, deleteExisting, dryRun, jobs } = flags;
    await using source = await readCache(text, { ...run, verifies: unsigned !== true });
    const signing = { unsigned, key, isLate: true };
    await using opened = await writeCache(text, { ...run, signing }, { create: false });
    const { cache: from } = source;
    const { cache: to } = opened;
    if (!(from instanceof MirrorCache && to instanceof MirrorCache))
      throw new StaveError("UNSUPPORTED", `${to.name} has one layout only`, { hint: "name a mirror of Spack 0.x" });
    const report = await migrate(from, to, {
      ...{ removesOld: deleteExisting, isDryRun: dryRun, jobs },
      ...{ now: context.clock.now(), onProgress: output.progress, signal: context.signal },
    });
    for (const line of render(report)) output.print(line);
    const { failures } = report.sync;
    if (failures.length === 0) output.report(report);
    const status = failures.length === 0 ? 0 : output.fail(aggregate([...failures], "specs"), report);
    return report.left.length > 0 ? 1 : status;
  });
};

function* render({ sync, removed, left }: MigrateReport): Iterable<string> {
  const moved = sync.specs.filter(({ outcome }) => ["copied", "linked", "to copy"].includes(outcome));
  for (const { name, version, hash } of moved) yield `+ ${printable(`${name}@${version}/${hash.slice(0, 7)}`)}`;
  for (const tag of left) yield `left ${printable(tag)}`;
  const parts = [
    `${count(moved.length, "spec")} ${sync.isDryRun ? "to migrate" : "migrated"}`,
    formatBytes(sync.sentBytes),
  ];
  if (removed.length > 0) parts.push(`the old form of ${count(removed.length, "spec")} removed`);
  if (left.length > 0) parts.push(`${left.length} left in the old layout`);
  yield parts.join(", ");
}
