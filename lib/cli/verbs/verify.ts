// `stave verify`: checks whether installed files have changed since installation, or who signed images.

import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { isCacheWord } from "../../api/places/cache-choice.ts";
import { isImageWord } from "../../api/signers/place-to-sign.ts";
import { type VerifyReport, verify } from "../../ops/store/verify.ts";
import { printable } from "../../printable/printable.ts";
import { select, selectSome } from "../../spack/query/select.ts";
import { interruptedSpecs } from "../../store/recover.ts";
import { addJobs, addTransport, addTrust, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import type { SignatureFlags, SignatureRun } from "../arguments/signature-check.ts";
import { SIGNED_PLACE } from "../arguments/signed-place.ts";
import { addSigners, signersOf } from "../arguments/signer-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import { count } from "../output/formatting.ts";
import type { Output } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, SpackFlags, SignatureFlags {
  jobs: number;
}

const HELP = `
Without an image or a cache, compares the files in each prefix with the list that was made during installation: existence, owner,
group, mode, content, time and link targets, like \`spack verify manifest\`. Without SPEC, checks everything that is installed;
externals have no such list. Exits with status 1 if something differs.

For an IMAGE or a CACHE, checks that it is signed by one of the keys of --key or identities of --certificate-identity, otherwise as the
trust policy requires, and that the signature covers its digest and, where it was signed by stave, its tag. Exits with status 1 if an
image is not. ${SIGNED_PLACE}.

Examples:
  stave verify
  stave verify hdf5 --json
  stave verify ghcr.io/org/app:1 --key release.pub
  stave verify oci://ghcr.io/org/cache --key release.pub --key old.pub
  stave verify ghcr.io/org/app:1 --certificate-oidc-issuer https://token.actions.githubusercontent.com \\
    --certificate-identity https://github.com/org/app/.github/workflows/push.yml@refs/heads/main`;

const JOBS = 4;

/** The command `stave verify`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("verify", "check installed files, or the signatures of images")
    .argument("[specs|images...]", "the specs to check (default: everything that is installed); or images and caches")
    .option("--all", "of a cache, also check every other tag")
    .option("--offline", "do not download trusted roots: use files, and those kept from earlier runs");
  addTrust(addSigners(command, "a public key whose signatures count (may be repeated)"));
  addJobs(command, "how many specs to check at once", JOBS);
  addSpack(addTransport(command)).addHelpText("after", helpText(HELP));
  return bindAction<[string[]], Flags>(command, state, async (context, output, flags, words) => {
    if (signersOf(flags) !== undefined || words.some((word) => isCacheWord(word, context.cwd) || isImageWord(word)))
      return await verifySignatures({ context, output, flags }, words);
    const files = new SpackFiles(context, flags);
    const store = await files.store();
    const nodes = [...store.records()].filter(({ installed }) => installed).map(({ node }) => node);
    const { graph } = store.database;
    const candidates = { nodes, graph, place: `the store ${store.root}` };
    const queries = await files.queries(words);
    for (const query of queries) selectSome(candidates, query);
    const chosen = select(candidates, queries);
    const records = chosen.flatMap(({ hash }) => store.get(hash) ?? []);
    const report = await verify({ store, records, jobs: flags.jobs, signal: context.signal });
    for (const text of render(report, output)) output.print(text);
    await using locks = files.locks(store, (text) => output.note(text));
    const interrupted = await interruptedSpecs(store, locks);
    for (const { hash, prefix } of interrupted)
      output.print(
        `${hash.slice(0, 7)} ${printable(prefix)}: a run was killed here; the next install or uninstall puts it right`,
      );
    output.report({ ...report, interrupted });
    return report.differing > 0 ? 1 : 0;
  });
};

/** Checks the signatures of images; the answer is "no" if one of them has no good one. */
async function verifySignatures(run: SignatureRun, words: readonly string[]): Promise<number> {
  const { output } = run;
  const { checkWords } = await import("../arguments/signature-check.ts");
  const { signatureLines } = await import("../output/signature-text.ts");
  const report = await checkWords(run, words);
  for (const place of report.places) for (const text of signatureLines(place, output)) output.print(text);
  output.report(report);
  return report.unsigned > 0 ? 1 : 0;
}

function* render({ specs, differing }: VerifyReport, output: Output): Iterable<string> {
  for (const { name, version, hash, differences } of specs) {
    const all = Object.entries(differences);
    if (all.length === 0) continue;
    yield output.style("bold", printable(`${name}@${version}/${hash.slice(0, 7)}`));
    for (const [path, problems] of all) yield `  ${printable(path)}: ${output.style("red", problems.join(", "))}`;
  }
  const entries = specs.reduce((sum, spec) => sum + spec.entries, 0);
  const result = differing === 0 ? "all as they were installed" : `${count(differing, "package")} with differences`;
  yield `${count(specs.length, "package")}, ${count(entries, "file, link or folder", "files, links and folders")}: ${result}`;
}
