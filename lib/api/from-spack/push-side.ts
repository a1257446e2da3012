// What a push takes from Spack's files: which Spack to ask, its directory, the variables and views of images.
import { posix } from "node:path";
import { StaveError } from "../../errors.ts";
import type { StripTool } from "../../image/archive/strip.ts";
import { type ImageSettings, mergeSettings } from "../../image/image-settings.ts";
import { readSettings } from "../../image/settings-file.ts";
import type { ImageView, PushOptions } from "../../ops/push/options.ts";
import { printable } from "../../printable/printable.ts";
import type { View } from "../../spack/config/spack-yaml.ts";
import { parseUserVariable } from "../../spack/environment/run-environment.ts";
import { ALL_IN_ONE, viewSpecs } from "../../spack/environment/view-specs.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import type { Store } from "../../spack/store/store.ts";
import { standardLabels } from "../machine/image-labels.ts";
import { stripProgram } from "../machine/programs.ts";
import type { Surroundings } from "../machine/surroundings.ts";
import type { SpackFiles } from "./spack-files.ts";

/** The caller's settings. */
export interface PushSide {
  readonly variables?: readonly string[] | undefined;
  readonly spackEnv?: boolean | undefined;
  readonly spackPrefix?: string | undefined;
}

/**
 * The options of a push that follow from Spack's files and the caller's settings. Throws USAGE for an invalid variable.
 */
export function spackSide(
  files: SpackFiles,
  { variables = [], spackEnv, spackPrefix }: PushSide,
): Pick<PushOptions, "spackPrefix" | "environment" | "spack"> {
  const { inspections } = files.discovery;
  return {
    spackPrefix: spackPrefix ?? files.spackPrefix,
    environment: {
      // An empty table in the configuration is intentional.
      inspections: inspections.length === 0 ? "none" : inspections,
      spackEnv,
      user: variables.map(parseUserVariable),
    },
    spack: files.spackToAsk(),
  };
}

/**
 * The settings of a tagged image: those that were given, before those of the section `stave` of `spack.yaml`; undefined
 * without any. Throws CONFIG_INVALID for a section that is not valid.
 */
export function imageSettings(
  files: SpackFiles,
  tags: readonly string[],
  given: ImageSettings | undefined,
): ImageSettings | undefined {
  const section = tags.length === 0 ? undefined : files.discovery.environment?.contents?.stave;
  return section === undefined ? given : mergeSettings(readSettings(section, "stave"), given ?? {});
}

/** What an environment and its surroundings say about a tagged image. */
export interface ImageDescription {
  readonly labels: Readonly<Record<string, string>>;
  readonly systemPackages: readonly string[];
  /** The program that removes debug sections. */
  readonly stripProgram?: StripTool | undefined;
}

/**
 * The labels of a tagged image, the packages of the system that it should have, and what may strip it.
 * `standardLabels: false` leaves out those of git, the CI job and SOURCE_DATE_EPOCH. Throws USAGE for an invalid
 * SOURCE_DATE_EPOCH.
 */
export async function imageDescription(
  files: SpackFiles,
  around: Surroundings,
  image: { readonly tags: readonly string[]; readonly standardLabels?: boolean | undefined },
): Promise<ImageDescription> {
  const { environment } = files.discovery;
  if (image.tags.length === 0) return { labels: {}, systemPackages: [] };
  const folder = environment?.manifest === undefined ? undefined : environment.folder;
  const standard = image.standardLabels === false ? {} : await standardLabels(around, folder);
  const { container } = environment ?? {};
  const labels = { ...standard, ...container?.labels };
  return { labels, systemPackages: container?.packages ?? [], stripProgram: stripProgram(around) };
}

/** The base image that `spack.yaml` names for a tagged image, and a warning about what of the section has no effect. */
export function containerBase(
  files: SpackFiles,
  tags: readonly string[],
): { readonly base: string | undefined; readonly warning: string | undefined } {
  const container = tags.length === 0 ? undefined : files.discovery.environment?.container;
  const { base, ignored = [] } = container ?? {};
  if (ignored.length === 0) return { base, warning: undefined };
  const names = ignored.map((key) => `container:${key}`).join(", ");
  const have = ignored.length === 1 ? "has" : "have";
  return { base, warning: `${names} of spack.yaml ${have} no effect: no Dockerfile is written` };
}

/** The specs of a tagged image, the store that has them, and its tags. */
export interface ImageSpecs {
  readonly tags: readonly string[];
  readonly store: Store;
  readonly roots: readonly SpecNode[];
}

/**
 * The views of a tagged image. A path makes one view there, by the rules of the environment's view if it has one;
 * `false` makes none. By default they are those that `spack.yaml` declares, unless they are below the environment's own
 * folder.
 * Throws USAGE for a path that is not absolute, and what matching queries throws.
 */
export function imageViews(
  files: SpackFiles,
  { store, roots, tags }: ImageSpecs,
  view: string | false | undefined,
): ImageView[] {
  if (tags.length === 0 && view)
    throw new StaveError("USAGE", "there is no image that the view could be in: those of specs have none", {
      hint: "add `tags`",
    });
  if (tags.length === 0 || view === false) return [];
  const { environment } = files.discovery;
  const declared = environment?.contents === undefined ? [] : environment.views;
  const satisfies = files.satisfier(store.database.graph);
  const of = (rules: Pick<View, "link" | "select" | "exclude" | "projections">, path: string): ImageView => ({
    path,
    specs: viewSpecs(rules, roots, satisfies),
  });
  if (view === undefined) {
    const folder = environment?.folder ?? "";
    return declared.filter(({ root }) => !`${root}/`.startsWith(`${folder}/`)).map((one) => of(one, one.root));
  }
  const path = posix.normalize(view).replace(/(?<=.)\/$/, "");
  if (!path.startsWith("/") || path === "/" || /[\0\n]/.test(path))
    throw new StaveError("USAGE", `the view ${printable(view)} is not valid, expected an absolute path below /`, {
      hint: "for example /opt/view",
    });
  return [of(declared.length === 1 ? (declared[0] ?? ALL_IN_ONE) : ALL_IN_ONE, path)];
}
