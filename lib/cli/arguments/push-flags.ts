// The flags of `stave push`, its help, and which flags exclude each other.
import { type Command, Option } from "commander";
import type { SpackFlags } from "../../api/from-spack/spack-files.ts";
import type { TrustOptions } from "../../api/signers/trust.ts";
import { StaveError } from "../../errors.ts";
import { formatCompression } from "../../image/pack/compression.ts";
import { PUSH_DEFAULTS } from "../../ops/push/options.ts";
import { SBOM_FORMATS, type SbomFormat } from "../../sbom/bill.ts";
import type { Output } from "../output/output.ts";
import { CACHE_ARGUMENT } from "./cache-location.ts";
import { addImageSettings, type ImageFlags } from "./image-flags.ts";
import { addPassword, type PasswordFlags } from "./key-password.ts";
import { addLegacySignature, checkLegacySignature, type LegacySignatureFlags } from "./legacy-signature.ts";
import {
  addDryRun,
  addJobs,
  addTransport,
  addTrust,
  type CommonFlags,
  collect,
  helpText,
  onlyOption,
  wholeNumber,
} from "./shared-flags.ts";
import { addKeyless, type KeylessFlags } from "./signer.ts";
import { addSpack } from "./spack-options.ts";

/** The values of the flags. */
export interface PushFlags
  extends CommonFlags,
    SpackFlags,
    PasswordFlags,
    KeylessFlags,
    LegacySignatureFlags,
    TrustOptions,
    ImageFlags {
  all?: boolean;
  tag?: string[];
  budget: number;
  view?: string | false;
  standardLabels?: boolean;
  dryRun?: boolean;
  force?: boolean;
  verify?: boolean;
  only?: "package" | "dependencies";
  withBuildDependencies?: boolean;
  withoutBuildDependencies?: boolean;
  deps?: boolean;
  failFast?: boolean;
  allowMissing?: boolean;
  checkRun?: boolean;
  platformTag?: boolean;
  private?: boolean;
  updateIndex?: boolean;
  rebuildIndex?: boolean;
  shard?: string;
  baseImage?: string;
  compression: string;
  variable?: string[];
  spackEnv?: boolean;
  spackPrefix?: string;
  jobs: number;
  unsigned?: boolean;
  sign?: string | true;
  sbom?: SbomFormat;
  provenance?: boolean;
  signed?: boolean;
  key?: string;
  directory?: string;
  mirror?: string;
  from?: string;
  specFile?: string[];
  specYaml?: string[];
  allowRoot?: boolean;
  rel?: boolean;
}

const HELP = `
Each spec becomes an image that Spack can install and that docker, podman and Apptainer can run; --tag also makes one image of the
named specs and of all that they need at run time, which excludes build dependencies. Without SPEC, pushes the roots of the
environment (-e DIR, or $SPACK_ENV). Skips specs that the cache already has; run an
interrupted push again to continue it. CACHE is
${CACHE_ARGUMENT}.

The images' environment variables (PATH, MANPATH and the like) follow from the folders of the installed specs and from the copies of
recipes in their prefixes, which are read as text and not executed; a recipe that is not understood is named. Spack is asked instead
if --spack or $SPACK_ROOT names it, and if a recipe is not understood, the one on the PATH. --variable NAME=VALUE sets a variable,
NAME+=DIR appends a folder to a list, NAME^=DIR prepends one.

Examples:
  stave push -e . --tag app
  stave push oci://ghcr.io/org/cache -e . --tag app --base-image debian:12-slim --update-index
  stave push oci://ghcr.io/org/cache hdf5 /abc1234
  stave push oci-layout:./cache hdf5 --plan
  stave push oci://ghcr.io/org/cache hdf5 --from https://binaries.example.org/stack --tag app
  stave push oci://ghcr.io/org/cache -e . --shard 2/4        in the second of four jobs; tag after all have ended`;

/** Adds the flags and the help. */
export function addPushFlags(command: Command): void {
  command
    .optionsGroup("What to push:")
    .option("--all", "push every spec that was installed by name, with its dependencies")
    .option("--from <cache>", "take the specs from this cache, and install nothing; updates the index")
    .addOption(onlyOption("push"))
    .option(
      "--with-build-dependencies",
      "fail unless build-only dependencies are installed (default: push those that are)",
    )
    .option("--without-build-dependencies", "leave out build-only dependencies")
    .option("-f, --force", "pack and push specs again that the cache already has")
    .option("--verify", "check the images that the cache already has, and repair broken or incomplete ones")
    .option("--private", "also push packages whose recipes forbid redistribution")
    .option("--shard <k/n>", "pack only this share of the specs; other jobs pack the rest")
    .option("--update-index", "update the index of the cache afterwards")
    .option("--fail-fast", "stop at the first failure");
  addDryRun(command);
  command
    .optionsGroup("The tagged image:")
    .option(
      "-t, --tag <tag>",
      "also make one image that holds the named specs and all that they need at run time (may be repeated)",
      collect,
    )
    .option("--platform-tag", "add the image to those of other platforms under the tag, as image-index does")
    .option("--base-image <image>", "build on this image, from a registry or oci-layout:DIR:TAG")
    .option("--view <path>", "also make one tree of links to the files of all specs in the tagged image")
    .option("--no-view", "without the views that spack.yaml declares")
    .option("--no-standard-labels", "without labels from git, the CI job and SOURCE_DATE_EPOCH")
    .option("--allow-missing", "make the tagged image even if some layers are missing")
    .option("--no-check-run", "tag the image without checking that its programs will start over the base image")
    .optionsGroup("Layers and variables:")
    .option(
      "--budget <n>",
      "the most layers of an image, base included; small specs share layers",
      wholeNumber(0, 1000),
      PUSH_DEFAULTS.budget,
    )
    .option(
      "--compression <how>",
      "gzip:LEVEL or zstd:LEVEL; Spack cannot install zstd",
      formatCompression(PUSH_DEFAULTS.compression),
    )
    .option("--variable <name=value>", "set an environment variable in the images (may be repeated)", collect)
    .option("--spack-env", "keep Spack's variables unchanged, with folders of this host and repeated entries");
  addJobs(command, "how many threads pack layers", PUSH_DEFAULTS.jobs);
  addImageSettings(command);
  command
    .optionsGroup("Signatures:")
    .option(
      "--sign [key]",
      "sign the images, and the updated index, with this private key, or --keyless (see `stave sign`)",
    )
    .option(
      "-k, --key <key>",
      "for a mirror, the gpg key (default: the only secret key); for images the same as --sign",
    )
    .option("-u, --unsigned", "do not sign (the default for images); with --from, do not check its signatures either")
    .addOption(
      new Option("--sbom <format>", "attach a signed bill of materials to each image").choices([...SBOM_FORMATS]),
    )
    .option("--provenance", "attach a signed statement of which CI job pushed the images");
  addPassword(addKeyless(addLegacySignature(command)));
  addTrust(command);
  addSpack(command).option(
    "--spack-prefix <dir>",
    "the Spack that owns the store (default: the Spack in use, else X for a store X/opt/spack, else the store)",
  );
  addTransport(command);
  addSeeds(command);
  command.addHelpText("after", helpText(HELP));
}

// PushFlags of current and earlier versions of Spack's command that stave spells differently.
function addSeeds(command: Command): void {
  const hidden = (flags: string, text: string): Option => new Option(flags, text).hideHelp();
  command
    .addOption(hidden("--rebuild-index", "the same as --update-index"))
    .addOption(hidden("--no-rebuild-index", "do not update the index, which is the default"))
    .addOption(hidden("--signed", "sign, the default for mirrors; images need --sign KEY"))
    .addOption(hidden("-d, --directory <cache>", "the cache"))
    .addOption(hidden("-m, --mirror <cache>", "the cache, like the argument"))
    .addOption(hidden("--spec-file <file>", "a spec file, the same as SPEC").argParser(collect))
    .addOption(hidden("-y, --spec-yaml <file>", "a spec file, the same as SPEC").argParser(collect))
    .addOption(hidden("--no-deps", "the same as --only package"))
    .addOption(hidden("-a, --allow-root", "no effect: archives are never searched for store paths"))
    .addOption(hidden("-r, --rel", "refused: archives keep their paths and are relocated during installation"));
}

/** The file of the key that signs, if one is named. */
export const signingKey = ({ sign, key }: PushFlags): string | undefined => (sign === true ? undefined : sign) ?? key;

/** Throws USAGE or UNSUPPORTED for flags of signatures that exclude each other; `isGpg` for a mirror. */
export function checkSigning(flags: PushFlags, isGpg: boolean): void {
  const key = signingKey(flags);
  const { sign, signed, keyless } = flags;
  if (isGpg && (sign !== undefined || keyless))
    throw new StaveError("UNSUPPORTED", "the specs of a mirror are signed by gpg, not with a key file or --keyless", {
      hint: "leave out --sign and --keyless; -k names a gpg key",
    });
  if ((signed || sign === true) && key === undefined && !keyless && !isGpg)
    throw new StaveError("USAGE", `${sign === true ? "--sign" : "--signed"} needs a key`, {
      hint: "name the private key with --sign FILE (`stave keygen` makes one), or sign without one by --keyless",
    });
  if (flags.unsigned && (signed || keyless || sign !== undefined || key !== undefined))
    throw new StaveError("USAGE", "--unsigned excludes --signed, --sign, --keyless and --key", {
      hint: "leave one of them out",
    });
  if (keyless && key !== undefined)
    throw new StaveError("USAGE", "--keyless excludes a key", { hint: "leave one of them out" });
  const isAttesting = flags.sbom !== undefined || flags.provenance;
  if (isGpg && isAttesting)
    throw new StaveError("UNSUPPORTED", "nothing can be attached to the specs of a mirror, which has no images", {
      hint: "leave out --sbom and --provenance; `stave sbom` prints a bill of materials",
    });
  if (isAttesting && key === undefined && !keyless)
    throw new StaveError("USAGE", "--sbom and --provenance need a signer: attestations are signed", {
      hint: "add --sign FILE (`stave keygen` makes a key) or --keyless",
    });
  checkLegacySignature(flags);
  if (flags.legacySignature && (isGpg || key === undefined))
    throw new StaveError("USAGE", "--legacy-signature is for images that are signed with a key", {
      hint: isGpg ? "leave it out" : "add --sign FILE (`stave keygen` makes a key)",
    });
  if (!keyless && (flags.signingConfig ?? flags.trustedRoot) !== undefined)
    throw new StaveError("USAGE", "--signing-config and --trusted-root are for --keyless", { hint: "leave them out" });
  if (typeof sign === "string" && flags.key !== undefined && sign !== flags.key)
    throw new StaveError("USAGE", "--sign and --key name two keys", { hint: "leave one of them out" });
}

/** Throws USAGE or UNSUPPORTED for other flags that exclude each other. */
export function checkFlags(flags: PushFlags, output: Output): void {
  if (flags.rel)
    throw new StaveError(
      "UNSUPPORTED",
      "archives with relative paths are not supported: archives are relocated during installation",
      {
        hint: "leave out --rel",
      },
    );
  if (flags.withBuildDependencies && flags.withoutBuildDependencies)
    throw new StaveError("USAGE", "--with-build-dependencies and --without-build-dependencies exclude each other");
  if (flags.updateIndex && flags.rebuildIndex === false)
    throw new StaveError("USAGE", "--update-index and --no-rebuild-index exclude each other");
  if (flags.allowRoot) output.warn("--allow-root has no effect: archives are never searched for store paths");
}

/** Which build dependencies are pushed. */
export function buildDependencies({
  withBuildDependencies,
  withoutBuildDependencies,
}: PushFlags): "with" | "without" | undefined {
  if (withBuildDependencies) return "with";
  return withoutBuildDependencies ? "without" : undefined;
}
