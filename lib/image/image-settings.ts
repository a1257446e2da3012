// What a tagged image does when it is run: entry point, user, working folder and the like. Pure.
import * as z from "zod";
import { StaveError } from "../errors.ts";
import type { MediaFamily } from "../oci/mediatype.ts";
import { printable } from "../printable/printable.ts";
import { own } from "../spack/text/fields.ts";
import { isObject } from "../spack/text/json.ts";
import type { JsonObject, JsonValue } from "../spack/text/json-value.ts";
import { ACCOUNT, parseAccount } from "./accounts.ts";
import { shellWords } from "./shell-words.ts";
import { SlimRules, type SlimSettings } from "./slim.ts";

const text = z.string().min(1).max(32_768);
const command = z.union([text, z.array(z.string().max(32_768)).max(1000)]);
const texts = z.record(text.max(1000), z.string().max(65_536));
const duration = z.string().regex(/^(?:\d{1,9}(?:ms|s|m|h))+$/, "expected a duration such as 30s, 1m30s or 500ms");

/** The schema of the settings, as they are written in a file. */
export const imageSettingsSchema = z
  .strictObject({
    entrypoint: command.describe("the program to run: a list, or words as in a shell"),
    cmd: command.describe("its arguments by default, or the program if there is no entrypoint"),
    user: z
      .string()
      .regex(
        /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,255}(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,255})?$/,
        "expected USER or USER:GROUP",
      )
      .describe("name or number of the user, and of the group"),
    addUser: z
      .string()
      .regex(ACCOUNT, "expected NAME, NAME:UID or NAME:UID:GID")
      .describe("a user to add with a home in /home; the image runs as this user unless `user` names another"),
    slim: z
      .union([
        z.boolean(),
        z.strictObject({
          keep: z.array(z.string().max(100)).max(100).optional(),
          packages: z.record(z.string().max(500), z.array(z.string().max(100)).max(100)).optional(),
        }),
      ])
      .describe("leave out what running programs do not need, except kinds of files to keep, also for single packages"),
    strip: z.boolean().describe("remove the debug sections of programs and libraries"),
    estargz: z.boolean().describe("layers whose files can be fetched one by one, stored beside those of the specs"),
    workdir: z
      .string()
      .max(4096)
      .regex(/^\/[^\0\n]*$/, "expected an absolute path")
      .describe("the working folder"),
    env: z
      .record(
        z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,255}$/, "expected the name of a variable"),
        z.string().max(131_072),
      )
      .describe("environment variables, in place of those of the specs"),
    labels: texts.describe("labels of the image's config"),
    annotations: texts.describe("annotations of the manifest, which only OCI manifests have"),
    expose: z
      .array(
        z.string().regex(/^(?!0)\d{1,5}(?:\/(?:tcp|udp|sctp))?$/, "expected PORT, PORT/tcp, PORT/udp or PORT/sctp"),
      )
      .max(1000)
      .describe("ports that the program listens on"),
    volumes: z
      .array(
        z
          .string()
          .max(4096)
          .regex(/^\/[^\0\n]*$/, "expected an absolute path"),
      )
      .max(1000)
      .describe("folders for data that outlives a container"),
    stopSignal: z
      .string()
      .regex(/^(?:SIG[A-Z0-9+-]{1,12}|[1-9]\d?)$/, "expected a signal such as SIGTERM, or its number")
      .describe("the signal that ends the program"),
    healthcheck: z
      .union([
        z.literal("none"),
        z.strictObject({
          test: command.describe("the command that succeeds if the container is healthy"),
          interval: duration.optional(),
          timeout: duration.optional(),
          startPeriod: duration.optional(),
          startInterval: duration.optional(),
          retries: z.int().min(0).max(1000).optional(),
        }),
      ])
      .describe("how to check a container; only Docker's media types have it"),
  })
  .partial();

/** How to check whether a container is healthy; times are such as `30s`, `1m30s` or `500ms`. */
export interface ImageHealthcheck {
  /** The command that succeeds if the container is healthy: a list, or words as in a shell. */
  readonly test: string | readonly string[];
  readonly interval?: string | undefined;
  readonly timeout?: string | undefined;
  readonly startPeriod?: string | undefined;
  readonly startInterval?: string | undefined;
  readonly retries?: number | undefined;
}

/** The settings of a tagged image; what is not set is as in the base image. */
export interface ImageSettings {
  /** The program to run: a list, or words as in a shell. */
  readonly entrypoint?: string | readonly string[] | undefined;
  /** Its arguments by default, or the program if there is no entrypoint. */
  readonly cmd?: string | readonly string[] | undefined;
  /** Name or number of the user, and of the group: `USER` or `USER:GROUP`. */
  readonly user?: string | undefined;
  /** A user to add, `NAME[:UID[:GID]]`, with a home in `/home`; the image runs as it unless `user` names another. */
  readonly addUser?: string | undefined;
  /**
   * Leave out what running programs do not need: `headers`, `static libraries`, `build files`, `documentation`,
   * `tests`, `bytecode` and `build logs`, except those to keep.
   */
  readonly slim?: boolean | SlimSettings | undefined;
  /** Remove the debug sections of programs and libraries, with `strip` of binutils or `eu-strip` of elfutils. */
  readonly strip?: boolean | undefined;
  /** Make eStargz layers, whose files can be fetched one by one; they are stored beside those of the specs. */
  readonly estargz?: boolean | undefined;
  /** The working folder: an absolute path. */
  readonly workdir?: string | undefined;
  /** Environment variables, in place of those of the specs. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Labels of the image's config. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Annotations of the manifest, which only OCI manifests have. */
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  /** Ports that the program listens on: `PORT`, `PORT/tcp`, `PORT/udp` or `PORT/sctp`. */
  readonly expose?: readonly string[] | undefined;
  /** Folders for data that outlives a container: absolute paths. */
  readonly volumes?: readonly string[] | undefined;
  /** The signal that ends the program, such as `SIGTERM`, or its number. */
  readonly stopSignal?: string | undefined;
  /** How to check a container, `none` to switch off the base image's check; only Docker's media types have it. */
  readonly healthcheck?: "none" | ImageHealthcheck | undefined;
}

/** Settings with those of the second taking precedence; mappings and lists are merged. */
export function mergeSettings(first: ImageSettings, second: ImageSettings): ImageSettings {
  const merged: { -readonly [K in keyof ImageSettings]: ImageSettings[K] } = { ...first, ...second };
  for (const key of ["env", "labels", "annotations"] as const)
    if (first[key] && second[key]) merged[key] = { ...first[key], ...second[key] };
  for (const key of ["expose", "volumes"] as const)
    if (first[key] && second[key]) merged[key] = [...new Set([...first[key], ...second[key]])];
  return merged;
}

/** Throws USAGE for settings that are wrong, UNSUPPORTED for what images of this family do not have. */
export function checkSettings(settings: ImageSettings, family: MediaFamily): void {
  const parsed = imageSettingsSchema.safeParse(settings);
  const issue = parsed.error?.issues[0];
  if (issue !== undefined) {
    const key = issue.path.map(String).join(".");
    throw new StaveError("USAGE", `${printable(key)} of the image is not valid: ${issue.message.toLowerCase()}`);
  }
  configOf({}, settings);
  if (typeof settings.slim === "object") new SlimRules(settings.slim);
  if (family === "oci" && settings.healthcheck !== undefined)
    throw new StaveError("UNSUPPORTED", "a health check needs Docker's media types, and the image has OCI's", {
      hint: "use a base image with Docker's media types, or leave the health check out",
    });
  if (family === "docker" && settings.estargz)
    throw new StaveError("UNSUPPORTED", "eStargz layers need OCI's media types, and the image has Docker's", {
      hint: "use a base image with OCI media types, or leave out `estargz`",
    });
  if (family === "docker" && settings.annotations !== undefined)
    throw new StaveError("UNSUPPORTED", "annotations need OCI's media types, and the image has Docker's", {
      hint: "use labels, or a base image with OCI media types",
    });
}

/** The `config` of an image config with the settings applied to that of the base image. */
export function configOf(config: JsonObject, settings: ImageSettings): JsonObject {
  const { entrypoint, cmd, user, addUser, workdir, env, labels, expose, volumes, stopSignal, healthcheck } = settings;
  const out: Record<string, JsonValue> = { ...config };
  if (env !== undefined) out["Env"] = withVariables(textsOf(own(config, "Env")), settings);
  if (entrypoint !== undefined) {
    out["Entrypoint"] = wordsOf(entrypoint);
    // The base's command would become arguments of the program.
    delete out["Cmd"];
  }
  if (cmd !== undefined) out["Cmd"] = wordsOf(cmd);
  const added = addUser === undefined ? undefined : parseAccount(addUser);
  // By number, so that a cluster can see that it is not root.
  if (user !== undefined || added !== undefined) out["User"] = user ?? `${added?.user}:${added?.group}`;
  if (workdir !== undefined) out["WorkingDir"] = workdir;
  if (stopSignal !== undefined) out["StopSignal"] = stopSignal;
  if (labels !== undefined) out["Labels"] = merged(own(config, "Labels"), labels);
  if (expose !== undefined) out["ExposedPorts"] = merged(own(config, "ExposedPorts"), asSet(expose.map(portOf)));
  if (volumes !== undefined) out["Volumes"] = merged(own(config, "Volumes"), asSet(volumes));
  if (healthcheck !== undefined) out["Healthcheck"] = healthcheckOf(healthcheck);
  return out;
}

function wordsOf(value: string | readonly string[]): string[] {
  return typeof value === "string" ? shellWords(value) : [...value];
}

function textsOf(value: JsonValue | undefined): string[] {
  return Array.isArray(value) ? value.filter((entry) => typeof entry === "string") : [];
}

/** The variables of an image, `NAME=VALUE`, with those of the settings in place of others. */
export function withVariables(before: readonly string[], { env = {} }: ImageSettings): string[] {
  const kept = before.filter((entry) => !Object.hasOwn(env, entry.slice(0, entry.indexOf("="))));
  return [...kept, ...Object.entries(env).map(([name, value]) => `${name}=${value}`)];
}

function merged(before: JsonValue | undefined, more: JsonObject): JsonObject {
  return { ...(isObject(before) ? before : {}), ...more };
}

// Sets are objects with empty values (OCI image 1.1, "Config").
function asSet(names: readonly string[]): JsonObject {
  return Object.fromEntries(names.map((name) => [name, {}]));
}

function portOf(port: string): string {
  const [number = "", protocol = "tcp"] = port.split("/");
  if (Number(number) > 65_535)
    throw new StaveError("USAGE", `the port ${printable(port)} is not valid, expected at most 65535`);
  return `${number}/${protocol}`;
}

function healthcheckOf(check: NonNullable<ImageSettings["healthcheck"]>): JsonObject {
  if (check === "none") return { Test: ["NONE"] };
  const { test, interval, timeout, startPeriod, startInterval, retries } = check;
  const out: Record<string, JsonValue> = { Test: ["CMD", ...wordsOf(test)] };
  const times = { Interval: interval, Timeout: timeout, StartPeriod: startPeriod, StartInterval: startInterval };
  for (const [key, time] of Object.entries(times)) if (time !== undefined) out[key] = nanoseconds(time);
  return retries === undefined ? out : { ...out, Retries: retries };
}

const UNITS: Readonly<Record<string, number>> = { ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

function nanoseconds(time: string): number {
  return [...time.matchAll(/(\d+)(ms|s|m|h)/g)].reduce(
    (sum, [, count, unit]) => sum + Number(count) * (UNITS[unit ?? ""] ?? 0),
    0,
  );
}
