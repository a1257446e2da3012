// `stave search`: finds packages of a build cache by name or description.

import { installHost } from "../../api/from-spack/install-host.ts";
import { descriptionsFor } from "../../api/from-spack/package-texts.ts";
import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import type { TrustOptions } from "../../api/signers/trust.ts";
import { aggregate, StaveError } from "../../errors.ts";
import { listAll } from "../../ops/cache/list.ts";
import { type SearchReport, searchPackages } from "../../ops/cache/search.ts";
import { printable } from "../../printable/printable.ts";
import { CACHE_ARGUMENT, readCaches } from "../arguments/cache-location.ts";
import { addTransport, addTrust, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import { folderHint } from "../output/folder-word.ts";
import { type Column, count, table } from "../output/formatting.ts";
import type { Output } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, SpackFlags, TrustOptions {
  allarch?: boolean;
}

const HELP = `
Looks for TEXT in the names of packages: first equal names, then names that begin with it or contain it, then names with a slip of
the pen. Descriptions are searched, too, where an installed spec has a copy of its recipe. Lists only what this machine can run; -a
lists all. Exits with status 1 if nothing was found. CACHE is ${CACHE_ARGUMENT}.

Examples:
  stave search hdf oci://ghcr.io/org/cache
  stave search solver -a --json`;

/** The command `stave search`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("search", "find packages of a build cache by name or description")
    .argument("<text>", "what to look for")
    .argument("[cache]", "the cache to search")
    .option("-a, --allarch", "search specs for any machine, not only for this one");
  addSpack(addTransport(addTrust(command))).addHelpText("after", helpText(HELP));
  return bindAction<[string, string | undefined], Flags>(
    command,
    state,
    async (context, output, flags, text, cache) => {
      if (text.trim() === "")
        throw new StaveError("USAGE", "there is nothing to look for", { hint: "`stave list` lists all specs" });
      const files = new SpackFiles(context, flags);
      await using opened = await readCaches(cache === undefined ? [] : [cache], { context, output, flags, files });
      const host = flags.allarch ? undefined : installHost(files);
      const listed = await listAll(opened.caches, { queries: [], host, signal: context.signal });
      const report: SearchReport = {
        cache: listed.cache,
        text,
        packages: searchPackages(listed.specs, text.trim(), await descriptionsFor(files)),
        otherArchitectures: listed.otherArchitectures,
      };
      if (!flags.json) show(report, output);
      const hint = report.packages.length === 0 ? folderHint(text, context.cwd) : undefined;
      if (hint !== undefined) output.note(`the cache is named after TEXT; ${hint}`);
      if (listed.failures.length > 0) return output.fail(aggregate([...listed.failures], "caches"), report);
      output.report(report);
      return report.packages.length === 0 ? 1 : 0;
    },
  );
};

function show({ packages, otherArchitectures }: SearchReport, output: Output): void {
  const hasText = packages.some(({ description }) => description !== undefined);
  const columns: Column[] = [
    { heading: "PACKAGE" },
    { heading: "SPECS", right: true },
    { heading: "VERSIONS" },
    ...(hasText ? [{ heading: "DESCRIPTION" }] : []),
  ];
  const rows = packages.map(({ name, specs, versions, description = "" }) => [
    printable(name),
    String(specs),
    printable(versions.slice(0, SHOWN).join(", ") + (versions.length > SHOWN ? ", …" : "")),
    ...(hasText ? [printable(description)] : []),
  ]);
  if (rows.length > 0) output.print(table(columns, rows, output.columns));
  const others =
    otherArchitectures > 0 ? `; ${otherArchitectures} specs are for other machines (-a searches them)` : "";
  output.note(`${count(packages.length, "package")} found${others}`);
}

/** The most versions in a row. */
const SHOWN = 4;
