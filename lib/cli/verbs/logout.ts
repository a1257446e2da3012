// `stave logout`: forgets the credentials for a registry.

import { keychainOptions } from "../../api/connection.ts";
import { logout } from "../../auth/login.ts";
import { registryArgument } from "../arguments/registry-argument.ts";
import { type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

const HELP = `
Removes the registry from podman's and docker's files, and from the credential helpers they name.

Examples:
  stave logout ghcr.io`;

export const verb: VerbFactory = (state) => {
  const command = verbCommand("logout", "forget the credentials for a registry")
    .argument("<registry>", "host, with its port if it has one")
    .option("--authfile <file>", "look only here")
    .addHelpText("after", helpText(HELP));
  return bindAction<[string], CommonFlags>(command, state, async (context, output, flags, text) => {
    const { registry } = registryArgument(text);
    const report = await logout(registry, { ...keychainOptions(context, flags), clock: context.clock });
    output.print(`logged out of ${registry}; removed from ${report.removedFrom.join(", ")}`);
    output.report(report);
    return 0;
  });
};
