// `stave logout`: removes the credentials for a registry.

import { keychainOptions } from "../../api/places/connection.ts";
import { logout } from "../../auth/login.ts";
import { registryArgument } from "../arguments/registry-argument.ts";
import { addDryRun, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags {
  dryRun?: boolean;
}

const HELP = `
Removes the registry's credentials from the files of podman and docker, and from the credential helpers that they name.

Examples:
  stave logout ghcr.io`;

/** The command `stave logout`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("logout", "remove the credentials for a registry")
    .argument("<registry>", "the registry's host, with its port if needed")
    .option("--authfile <file>", "remove them only from this file");
  addDryRun(command).addHelpText("after", helpText(HELP));
  return bindAction<[string], Flags>(command, state, async (context, output, flags, text) => {
    const { registry } = registryArgument(text);
    const report = await logout(registry, {
      ...keychainOptions(context, flags),
      clock: context.clock,
      dryRun: flags.dryRun,
    });
    const places = report.removedFrom.join(", ");
    output.print(
      report.isDryRun
        ? `the credentials for ${registry} would be removed from ${places}`
        : `logged out of ${registry}; removed from ${places}`,
    );
    output.report(report);
    return 0;
  });
};
