// `stave export`: an image as one archive, in a file, a pipe, or podman and docker.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { basename, resolve } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Option } from "commander";
import { findProgram } from "../../api/machine/programs.ts";
import { referenceOf } from "../../api/places/connection.ts";
import { archiveName, givenName } from "../../api/places/image-places.ts";
import { StaveError } from "../../errors.ts";
import { hostArchitecture, parsePlatform } from "../../oci/platform.ts";
import { parseLocation } from "../../oci/reference.ts";
import { type ArchiveForm, exportImage, type ImageArchive } from "../../ops/image/export.ts";
import { openNetwork } from "../arguments/open.ts";
import { addTransport, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import type { Context } from "../machine/context.ts";
import { formatBytes } from "../output/formatting.ts";
import { isStdout, writeContent } from "../output/write-content.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags {
  output?: string;
  format: ArchiveForm;
  load?: boolean;
  name?: string;
  platform?: string;
  dockerMediaTypes?: boolean;
}

const HELP = `
The docker archive is for docker load, podman load, skopeo, and Apptainer of any age; the OCI archive for all but older
dockers. Layers are written as they are.

Examples:
  stave export ghcr.io/org/app:1 -o app.tar
  stave export oci-layout:./stave-cache:app --load
  stave export ghcr.io/org/app:1 -o - | ssh host docker load
  apptainer build app.sif docker-archive:app.tar`;

/** The command `stave export`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("export", "write an image as an archive for docker, podman or Apptainer")
    .argument("<image>", "the image")
    .option("-o, --output <file>", "the file to write; - for stdout")
    .addOption(
      new Option("--format <form>", "the form of the archive")
        .choices(["docker-archive", "oci-archive"])
        .default("docker-archive"),
    )
    .option("--load", "load it into podman or docker, whichever is on the PATH")
    .option("--name <name>", "the name under which it is loaded (default: that of the image)")
    .option("--platform <os/arch>", "export this platform's image of an index")
    .option("--docker-media-types", "write Docker's media types, for programs that do not know those of OCI");
  addTransport(command).addHelpText("after", helpText(HELP));
  return bindAction<[string], Flags>(command, state, async (context, output, flags, text) => {
    const { signal } = context;
    const { output: file, load } = flags;
    if ((file === undefined) === (load !== true))
      throw new StaveError("USAGE", "an archive goes to a file, or into a program", {
        hint: "name a file with -o FILE, stdout with -o -, or use --load",
      });
    if (isStdout(file) && (output.options.json || context.stdout.isTTY))
      throw new StaveError("USAGE", "an archive on stdout needs a pipe, and excludes --json", {
        hint: "name a file with -o FILE, or add a pipe: | docker load",
      });
    const location = parseLocation(text);
    await using opener = await openNetwork({ context, output, flags, places: [location] });
    const target = await opener.read(location);
    const reference = await referenceOf(location, target, signal);
    const archive = await exportImage(target, reference, {
      format: flags.format,
      name: flags.name === undefined ? archiveName(location, reference) : givenName(flags.name),
      dockerMediaTypes: flags.dockerMediaTypes,
      platform: parsePlatform(flags.platform ?? `linux/${hostArchitecture(context.arch)}`),
      progress: output.progress,
      signal,
    });
    const { name, size } = archive.report;
    if (isStdout(file)) {
      await writeContent(context, archive.chunks(), file);
      output.note(`${name} (${formatBytes(size)})`);
      return 0;
    }
    const where = file === undefined ? await loadInto(archive, context) : `in ${resolve(context.cwd, file)}`;
    if (file !== undefined) await writeContent(context, archive.chunks(), file);
    output.print(`${name} ${where} (${formatBytes(size)})`);
    output.report(archive.report);
    return 0;
  });
};

async function loadInto(archive: ImageArchive, context: Context): Promise<string> {
  const program = findProgram("podman", context) ?? findProgram("docker", context);
  if (program === undefined)
    throw new StaveError("UNSUPPORTED", "neither podman nor docker is on the PATH", {
      hint: "install one of them, or write a file with -o FILE",
    });
  const child = spawn(program, ["load"], { stdio: ["pipe", "ignore", "pipe"], signal: context.signal });
  let said = "";
  child.stderr.on("data", (bytes: Buffer) => {
    said = `${said}${bytes.toString()}`.slice(-2000);
  });
  const ended = once(child, "close") as Promise<[number | null]>;
  // The program says why it stopped reading.
  const sent = pipeline(Readable.from(archive.chunks(), { objectMode: false }), child.stdin).catch(
    (error: unknown) => error,
  );
  const [status] = await ended;
  const error = await sent;
  if (error instanceof StaveError) throw error;
  if (status !== 0 || error !== undefined)
    throw new StaveError("UNSUPPORTED", `${basename(program)} load failed: ${said.trim() || `status ${status}`}`, {
      subject: program,
      hint: "write a file with -o FILE, and load it by hand",
    });
  return `in ${basename(program)}`;
}
