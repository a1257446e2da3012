// The flags that say what a tagged image does when it is run.
import type { Command } from "commander";
import { StaveError } from "../../errors.ts";
import { type ImageSettings, mergeSettings } from "../../image/image-settings.ts";
import { parseSettings } from "../../image/settings-file.ts";
import { readBounded } from "../../util/read-file.ts";
import { collect } from "./shared-flags.ts";

/** The values of the flags. */
export interface ImageFlags {
  imageConfig?: string;
  entrypoint?: string;
  cmd?: string;
  user?: string;
  addUser?: string;
  slim?: boolean;
  slimKeep?: string[];
  strip?: boolean;
  estargz?: boolean;
  workdir?: string;
  label?: string[];
  annotation?: string[];
  expose?: string[];
  volume?: string[];
  stopSignal?: string;
  healthcheck?: string;
}

/** Adds the flags. */
export function addImageSettings(command: Command): void {
  command
    .optionsGroup("Options for running the tagged image:")
    .option("--entrypoint <command>", "the program to run, as words or a JSON list; clears the base image's command")
    .option("--cmd <command>", "its arguments by default")
    .option("--user <user[:group]>", "the user that runs it, by name or number")
    .option("--add-user <name[:uid[:gid]]>", "add a user with a home, who runs it unless --user names another")
    .option("--slim", "leave out headers, static libraries, documentation and all that running programs do not need")
    .option(
      "--slim-keep <[package:]kind>",
      "keep this kind of files, or `all`; implies --slim (may be repeated)",
      collect,
    )
    .option("--strip", "remove the debug sections of programs and libraries, with `strip` or `eu-strip`")
    .option("--estargz", "make layers that a snapshotter can pull file by file, stored beside those of the specs")
    .option("--workdir <dir>", "the working folder")
    .option("--label <key=value>", "add a label (may be repeated)", collect)
    .option("--annotation <key=value>", "add an annotation to the manifest (may be repeated)", collect)
    .option("--expose <port[/protocol]>", "a port that the program listens on (may be repeated)", collect)
    .option("--volume <dir>", "a folder for data (may be repeated)", collect)
    .option("--stop-signal <signal>", "the signal that ends the program")
    .option("--healthcheck <command>", "the command that checks a container, or none (Docker's media types only)")
    .option("--image-config <file>", "a YAML or JSON file with these settings; flags take precedence");
}

const FILE_LIMIT = 1024 * 1024;

/**
 * The settings of flags and of a file; undefined without any. `resolve` makes paths absolute. Throws USAGE,
 * CONFIG_INVALID, NOT_FOUND.
 */
export async function givenSettings(
  flags: ImageFlags,
  resolve: (path: string) => string,
): Promise<ImageSettings | undefined> {
  const { imageConfig, entrypoint, cmd, user, addUser, workdir, label, annotation, expose, volume, stopSignal } = flags;
  const given: ImageSettings = {
    entrypoint,
    cmd,
    user,
    addUser,
    workdir,
    labels: pairs("--label", label),
    annotations: pairs("--annotation", annotation),
    expose,
    volumes: volume,
    stopSignal,
    healthcheck: healthcheckOf(flags.healthcheck),
    slim: slimOf(flags),
    strip: flags.strip,
    estargz: flags.estargz,
  };
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as ImageSettings;
  if (imageConfig === undefined) return Object.keys(set).length === 0 ? undefined : set;
  const path = resolve(imageConfig);
  const { bytes } = await readBounded(path, FILE_LIMIT);
  return mergeSettings(parseSettings(bytes.toString("utf8"), path), set);
}

function healthcheckOf(text: string | undefined): ImageSettings["healthcheck"] {
  return text === undefined || text === "none" ? text : { test: text };
}

function slimOf({ slim, slimKeep = [] }: ImageFlags): ImageSettings["slim"] {
  if (slimKeep.length === 0) return slim;
  const keep: string[] = [];
  const packages: Record<string, string[]> = {};
  for (const text of slimKeep) {
    const [, name, kind = ""] = /^(?:([^:]+):)?(.*)$/s.exec(text) ?? [];
    if (name === undefined) keep.push(kind);
    else packages[name] = [...(Object.hasOwn(packages, name) ? (packages[name] ?? []) : []), kind];
  }
  return { keep, packages };
}

/** The pairs of a repeated flag KEY=VALUE. Throws USAGE. */
export function pairs(flag: string, texts: readonly string[] | undefined): Record<string, string> | undefined {
  if (texts === undefined) return undefined;
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf("=");
      if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
      throw new StaveError("USAGE", `${flag} ${JSON.stringify(text.slice(0, 80))} has no value, expected KEY=VALUE`);
    }),
  );
}
