// `stave login`: checks credentials and stores them where podman does.
import { addAbortSignal } from "node:stream";
import { keychainOptions } from "../../api/places/connection.ts";
import { Keychain } from "../../auth/keychain.ts";
import { checkLogin, type LoginReport, storeLogin } from "../../auth/login.ts";
import { StaveError } from "../../errors.ts";
import { Secret } from "../../printable/secret.ts";
import { readAll } from "../../util/stream.ts";
import { openNetwork } from "../arguments/open.ts";
import { registryArgument } from "../arguments/registry-argument.ts";
import { addDryRun, addTransport, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import type { Context } from "../machine/context.ts";
import { ask } from "../output/confirm.ts";
import type { Output } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags {
  username?: string;
  password?: string;
  passwordStdin?: boolean;
  dryRun?: boolean;
}

const HELP = `
Checks the password with the registry, then stores it in podman's auth.json (mode 0600) or with the credential helper that
this file names. With --dry-run, the password is checked and not stored.

Examples:
  stave login ghcr.io -u me
  echo "$TOKEN" | stave login ghcr.io -u me --password-stdin`;

/** The command `stave login`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("login", "store credentials for a registry")
    .argument("<registry>", "the registry's host, with its port if needed")
    .option("-u, --username <name>", "the user name (default: ask on the terminal)")
    .option("--password-stdin", "read the password from standard input")
    .option(
      "-p, --password <text>",
      "the password; other users of this machine can see it, so prefer --password-stdin",
    );
  addTransport(addDryRun(command)).addHelpText("after", helpText(HELP));
  return bindAction<[string], Flags>(command, state, async (context, output, flags, text) => {
    const { registry, scheme } = registryArgument(text);
    const { username, password } = await askCredentials(context, output, flags, registry);
    const keychain = new Keychain({
      ...keychainOptions(context, flags),
      explicit: [{ registry, username, password, from: "what was just given" }],
    });
    await using opener = await openNetwork({ context, output, flags, places: [{ kind: "registry" }], keychain });
    const { transport, authorizer } = opener;
    const checked = await checkLogin(registry, { transport, authorizer, scheme, signal: context.signal });
    const { dryRun: isDryRun = false } = flags;
    const options = { ...keychainOptions(context, flags), clock: context.clock, dryRun: isDryRun };
    const storedIn = await storeLogin({ registry, username, password }, options);
    const report: LoginReport = { registry, username, storedIn, checked, isDryRun };
    if (!checked) output.warn(`${registry} did not ask for credentials, so they could not be checked`);
    const kept = isDryRun ? "would be kept" : "kept";
    output.print(`logged in to ${registry} as ${username}; ${kept} in ${storedIn}`);
    output.report(report);
    return 0;
  });
};

const INPUT_LIMIT = 64 * 1024;

async function askCredentials(
  context: Context,
  output: Output,
  flags: Flags,
  registry: string,
): Promise<{ username: string; password: Secret }> {
  const { stdin, signal } = context;
  if (flags.password !== undefined && flags.passwordStdin)
    throw new StaveError("USAGE", "--password and --password-stdin exclude each other");
  if (flags.password !== undefined)
    output.warn("a password on the command line can be seen by other users of this machine; use --password-stdin");
  const isAsked = flags.password === undefined && !flags.passwordStdin;
  if ((flags.username === undefined || isAsked) && !stdin.isTTY)
    throw new StaveError("USAGE", "no terminal to ask for a user name and password", {
      hint: `echo "$TOKEN" | stave login ${registry} -u NAME --password-stdin`,
    });
  const username = flags.username ?? (await ask(context, `user name for ${registry}: `));
  if (username === "" || /[\r\n]/.test(username)) throw new StaveError("USAGE", "the user name is empty");
  let password = flags.password;
  if (flags.passwordStdin)
    password = (await readAll(addAbortSignal(signal, stdin), INPUT_LIMIT, "the password"))
      .toString("utf8")
      .replace(/\r?\n$/, "");
  password ??= await ask(context, "password: ", { hidden: true });
  if (password === "" || /[\r\n\0]/.test(password))
    throw new StaveError("USAGE", "the password is empty or has more than one line");
  return { username, password: new Secret(password) };
}
