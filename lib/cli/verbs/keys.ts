// `stave keys`: shows the public keys that mirrors offer, and imports them into gpg.
import { Option } from "commander";
import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { gpgOf } from "../../api/places/open-mirror.ts";
import { hasKeys, lacks } from "../../cache/cache.ts";
import { describeKey, importKey } from "../../cache/mirror/gpg.ts";
import { aggregate, isStaveError, type StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { CACHE_ARGUMENT, readCaches } from "../arguments/cache-location.ts";
import { addTransport, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, SpackFlags {
  install?: boolean;
  trust?: boolean;
}

/** A key of a mirror. */
interface OfferedKey {
  mirror: string;
  fingerprint: string;
  users: readonly string[];
  isInstalled: boolean;
}

/** The report of `keys`. */
interface KeysReport {
  keys: OfferedKey[];
}

const HELP = `
A mirror's keys are not signed, so that anyone who can write to it can offer keys: compare the fingerprints with those that the people
who push have told you before you import them. The keys go to the gpg home that Spack uses. MIRROR is
${CACHE_ARGUMENT}.

Examples:
  stave keys my-mirror
  stave keys https://binaries.example.org/stack --install --trust`;

/** The command `stave keys`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("keys", "show the public keys that mirrors offer, and import them")
    .argument("[mirror]", "the mirror; default: every mirror of Spack's configuration")
    .option("-i, --install", "import the keys into the gpg home")
    .option("-t, --trust", "with --install, also trust them ultimately")
    .addOption(new Option("-f, --force", "no effect: keys are always read").hideHelp());
  addSpack(addTransport(command)).addHelpText("after", helpText(HELP));
  return bindAction<[string | undefined], Flags>(command, state, async (context, output, given, text) => {
    const { install = false, trust = false, ...flags } = given;
    const files = new SpackFiles(context, flags);
    const { signal } = context;
    await using opened = await readCaches(text === undefined ? [] : [text], { context, output, flags, files });
    const gpg = gpgOf(context, () => files);
    const report: KeysReport = { keys: [] };
    const failures: StaveError[] = [];
    for (const cache of opened.caches) {
      if (!hasKeys(cache)) {
        if (text !== undefined) throw lacks(cache, "sign");
        continue;
      }
      const offered = await cache.keys({ signal }).catch((error: unknown) => {
        if (text !== undefined || !isStaveError(error) || signal.aborted) throw error;
        failures.push(error);
        return [];
      });
      for (const key of offered) {
        const users = await describeKey(key, gpg, signal);
        if (install) await importKey(key, trust, gpg, signal);
        const { fingerprint } = key;
        report.keys.push({ mirror: cache.name, fingerprint, users, isInstalled: install });
        output.print(`${install ? "imported " : ""}${fingerprint} ${users.map((user) => printable(user)).join(", ")}`);
      }
    }
    if (failures.length > 0) return output.fail(aggregate(failures, "mirrors"), report);
    if (report.keys.length === 0) output.note("no public keys are offered");
    output.report(report);
    return 0;
  });
};
