// `stave save-specfile`: writes spec files for nodes of a DAG, as Spack's command does.
import { join, resolve } from "node:path";
import { Option } from "commander";
import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { chosenSpec } from "../../api/from-spack/spack-specs.ts";
import { fileError, StaveError } from "../../errors.ts";
import { satisfies } from "../../spack/query/satisfies.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { writeSpecFile } from "../../spack/spec/spec-writer.ts";
import { preOrder } from "../../spack/spec/traversal.ts";
import { makeFolder } from "../../util/folder.ts";
import { replaceFile } from "../../util/replace-file.ts";
import { addDryRun, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import type { OutputOptions } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends OutputOptions, SpackFlags {
  rootSpec?: string;
  rootSpecfile?: string;
  rootSpecYaml?: string;
  yamlDir?: string;
  specs: string;
  specfileDir?: string;
  dryRun?: boolean;
}

const HELP = `
Writes DIR/NAME.json, in Spack's own format, for every node of the root's DAG that matches one of the specs.

Examples:
  stave save-specfile --root-spec voyage --specs "hull rigging" --specfile-dir ./specs`;

/** The command `stave save-specfile`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("save-specfile", "write spec files for a spec and its dependencies")
    .option("--root-spec <spec>", "the root: a query that matches one installed spec, or /hash")
    .option("--root-specfile <file>", "the root, as a spec file")
    .requiredOption("-s, --specs <list>", "the specs to write, separated by spaces")
    .option("--specfile-dir <dir>", "the folder to write to (required)")
    .addOption(new Option("--root-spec-yaml <file>", "the same as --root-specfile").hideHelp())
    .addOption(new Option("-y, --yaml-dir <dir>", "the same as --specfile-dir").hideHelp());
  addSpack(addDryRun(command)).addHelpText("after", helpText(HELP));
  return bindAction<[], Flags>(command, state, async (context, output, flags) => {
    const file = flags.rootSpecfile ?? flags.rootSpecYaml;
    const directory = flags.specfileDir ?? flags.yamlDir;
    if (directory === undefined)
      throw new StaveError("USAGE", "no folder is named", { hint: "name one with --specfile-dir" });
    if ((flags.rootSpec === undefined) === (file === undefined))
      throw new StaveError("USAGE", "name the root with --root-spec or with --root-specfile", {
        hint: "one of the two",
      });
    const { root, graph } = await chosenSpec(context, flags, [file ?? flags.rootSpec ?? ""]);
    const queries = await new SpackFiles(context, flags).queries([flags.specs]);
    const chosen: SpecNode[] = preOrder([root]).filter((node) =>
      queries.some((query) => satisfies(node, graph, query)),
    );
    if (chosen.length === 0)
      throw new StaveError("SPEC_ABSENT", `no node of ${root.name} is ${flags.specs}`, {
        subject: flags.specs,
        hint: `see them with \`stave spec /${root.hash.slice(0, 7)}\``,
      });
    if (flags.dryRun) output.note("would write these files");
    const folder = resolve(context.cwd, directory);
    const written: string[] = [];
    for (const node of chosen) {
      const path = join(folder, `${node.name}.json`);
      written.push(path);
      output.print(path);
      if (flags.dryRun) continue;
      try {
        makeFolder(folder);
        const text = writeSpecFile(node, graph);
        // Replaced, so a link in its place is not followed.
        await replaceFile(path, { temporary: `${path}.part`, isDurable: false }, (file) => file.writeFile(text));
      } catch (cause) {
        throw fileError(cause, "write", path);
      }
    }
    output.report({ written });
    return 0;
  });
};
