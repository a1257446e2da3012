// `stave gpg`: the keys of the gpg home that Spack uses; gpg does the work.
import { resolve } from "node:path";
import { Option } from "commander";
import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { gpgOf } from "../../api/places/open-mirror.ts";
import { lacks } from "../../cache/cache.ts";
import { exportKeys, type HeldKey, importKey, keysIn, listKeys } from "../../cache/mirror/gpg.ts";
import { MirrorCache } from "../../cache/mirror/mirror-cache.ts";
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { readBounded } from "../../util/read-file.ts";
import { writeCache } from "../arguments/cache-location.ts";
import { addTransport, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import { count } from "../output/formatting.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, SpackFlags {
  mirrorName?: string;
  mirrorUrl?: string;
  directory?: string;
  updateIndex?: boolean;
}

/** The report of `gpg`: the keys that were listed, trusted or published. */
interface GpgReport {
  command: string;
  keys: HeldKey[];
}

/** Maximum number of bytes of a file with keys. */
const KEY_FILE_LIMIT = 16 * 1024 * 1024;

const HELP = `
COMMAND is list (the keys of the gpg home), trust FILE… (imports public keys and trusts them) or publish -m MIRROR [KEY…] (stores public
keys in a mirror; without KEY, those with a secret key in the gpg home). The gpg home is that of Spack. Keys are made and removed with gpg itself
or with \`spack gpg\`.

Examples:
  stave gpg list
  stave gpg trust release.pub
  stave gpg publish -m file:///srv/mirror --update-index`;

/** The command `stave gpg`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("gpg", "list and trust gpg keys, and publish them in a mirror")
    .argument("<command>", "list, trust or publish")
    .argument("[keys...]", "files to trust, or keys to publish")
    .option("-m, --mirror-name <mirror>", "the mirror to publish to")
    .addOption(new Option("--mirror-url <mirror>", "the same as -m").hideHelp())
    .addOption(new Option("-d, --directory <dir>", "the same as -m").hideHelp())
    .option("--update-index", "also update the mirror's list of keys");
  addSpack(addTransport(command)).addHelpText("after", helpText(HELP));
  return bindAction<[string, string[]], Flags>(command, state, async (context, output, flags, what, words) => {
    const files = new SpackFiles(context, flags);
    const gpg = gpgOf(context, () => files);
    const { signal } = context;
    const report: GpgReport = { command: what, keys: [] };
    if (what === "list") {
      report.keys.push(...(await listKeys(gpg, signal)));
    } else if (what === "trust") {
      if (words.length === 0)
        throw new StaveError("USAGE", "no file with keys is named", { hint: "stave gpg trust FILE" });
      for (const word of words) {
        const { bytes } = await readBounded(resolve(context.cwd, word), KEY_FILE_LIMIT);
        for (const key of await keysIn(bytes, word, gpg, signal)) {
          await importKey(key, true, gpg, signal);
          report.keys.push({ fingerprint: key.fingerprint, users: [], isSecret: false });
        }
      }
    } else if (what === "publish") {
      const mirror = flags.mirrorName ?? flags.mirrorUrl ?? flags.directory;
      if (mirror === undefined)
        throw new StaveError("USAGE", "no mirror is named", { hint: "stave gpg publish -m MIRROR" });
      const keys = await exportKeys(words, gpg, signal);
      if (keys.length === 0)
        throw new StaveError("CREDENTIALS_MISSING", "there is no secret key whose public key could be published", {
          hint: "name a key; `stave gpg list` shows them",
        });
      await using opened = await writeCache(mirror, { context, output, flags, files }, { create: true });
      const { cache } = opened;
      if (!(cache instanceof MirrorCache)) throw lacks(cache, "sign");
      await cache.storeKeys(keys, { isIndexed: flags.updateIndex === true, signal });
      const held = await listKeys(gpg, signal);
      report.keys.push(...held.filter((each) => keys.some(({ fingerprint }) => fingerprint === each.fingerprint)));
    } else
      throw new StaveError("USAGE", `stave gpg has no command ${printable(what)}`, {
        hint: "use list, trust or publish, and `spack gpg` or gpg itself for the rest",
      });
    const done = { list: "", trust: "trusted ", publish: "published " }[what] ?? "";
    for (const { fingerprint, users, isSecret } of report.keys) {
      const names = users.map((user) => ` ${printable(user)}`).join(",");
      output.print(`${done}${fingerprint}${names}${isSecret && what === "list" ? " (secret key)" : ""}`);
    }
    if (what === "list") output.note(count(report.keys.length, "key"));
    output.report(report);
    return 0;
  });
};
