// `stave name`: prints the names of a spec in build caches.

import { Option } from "commander";
import type { SpackFlags } from "../../api/from-spack/spack-files.ts";
import { chosenSpec } from "../../api/from-spack/spack-specs.ts";
import { legacyStem, manifestFileName, specTag } from "../../spack/spec/spec-name.ts";
import { helpText, verbCommand } from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import type { OutputOptions } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

const HELP = `
Prints the same name as Spack's get-buildcache-name; --json adds the tag in OCI caches and the file names in URL caches.

Examples:
  stave name zlib
  stave name ./zlib.spec.json --json`;

/** The command `stave name`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("name", "print the name of a spec in a build cache")
    .argument("[spec...]", "a query that matches one installed spec, /hash or a spec file")
    .option("-s, --spec <spec>", "the same as SPEC, as in Spack's command")
    .addOption(new Option("--spec-yaml <file>", "the same as SPEC").hideHelp())
    .addOption(new Option("-y, --spec-file <file>", "the same as SPEC").hideHelp());
  addSpack(command).addHelpText("after", helpText(HELP));
  return bindAction<[string[]], OutputOptions & SpackFlags & { spec?: string; specFile?: string; specYaml?: string }>(
    command,
    state,
    async (context, output, flags, words) => {
      const asked = [flags.spec, flags.specFile, flags.specYaml].filter((word) => word !== undefined);
      const { root } = await chosenSpec(context, flags, asked.length > 0 ? asked : words);
      const report = { name: legacyStem(root), tag: specTag(root), manifest: manifestFileName(root), hash: root.hash };
      output.print(report.name);
      output.report(report);
      return 0;
    },
  );
};
