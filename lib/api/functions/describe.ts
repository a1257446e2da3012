// `sbomOfImage` and `sbomOfSpecs`: bills of materials of an image and of installed specs.
import { hostArchitecture, parsePlatform } from "../../oci/platform.ts";
import { parseLocation } from "../../oci/reference.ts";
import { imageSbom } from "../../ops/image/sbom.ts";
import { storeSbom } from "../../ops/store/sbom.ts";
import { SBOM_FORMATS, type SbomFormat, type SbomSubject } from "../../sbom/bill.ts";
import { type SbomReport, sbomReport } from "../../sbom/report.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { sourceDate } from "../../util/source-date.ts";
import { chosenRoots } from "../from-spack/spack-specs.ts";
import { VERSION } from "../machine/stave-version.ts";
import { referenceOf } from "../places/connection.ts";
import { checkOptions, checkText } from "./check-options.ts";
import { COMMON, type CommonOptions, connect, surroundingsOf } from "./common.ts";
import { openingOf, SPACK, type SpackOptions } from "./open-cache.ts";

/** How to describe an image. */
export interface ImageSbomOptions extends CommonOptions {
  /** Default: `spdx`. */
  readonly format?: SbomFormat | undefined;
  /** The platform to choose from an index, for example `linux/arm64`. Default: this machine's. */
  readonly platform?: string | undefined;
}

/** Which specs to describe, and how. */
export interface SpecsSbomOptions extends CommonOptions, SpackOptions {
  /** Default: `spdx`. */
  readonly format?: SbomFormat | undefined;
  /** Installed specs: one query each, or `/hash`. Default: the roots of the environment. */
  readonly specs?: readonly string[] | undefined;
  /** The root of the store. Default: `$STAVE_STORE`, otherwise from Spack's configuration. */
  readonly store?: string | undefined;
}

/** Describes an image: `HOST/REPO:TAG` or `oci-layout:DIR:TAG`. Reads its layers. */
export async function sbomOfImage(image: string, options: ImageSbomOptions = {}): Promise<SbomReport> {
  checkText("sbomOfImage: the image", image);
  checkOptions("sbomOfImage", options, { ...COMMON, format: [...SBOM_FORMATS], platform: "string" });
  const { format = "spdx", platform = `linux/${hostArchitecture(process.arch)}`, signal, onProgress } = options;
  signal?.throwIfAborted();
  const around = surroundingsOf(options);
  const location = parseLocation(image);
  const connection = await connect(options, { around, places: [location] });
  try {
    const target = await connection.read(location);
    const sbom = await imageSbom(target, await referenceOf(location, target, signal), {
      platform: parsePlatform(platform),
      created: sourceDate(around.env) ?? around.clock.now(),
      tool: VERSION,
      progress: onProgress,
      signal,
    });
    return sbomReport(sbom, format);
  } finally {
    await connection.close();
  }
}

/** Describes installed specs; by default the roots of the environment. */
export async function sbomOfSpecs(options: SpecsSbomOptions = {}): Promise<SbomReport> {
  checkOptions("sbomOfSpecs", options, {
    ...{ ...COMMON, ...SPACK, format: [...SBOM_FORMATS], specs: "strings", store: "string" },
  });
  const { format = "spdx", specs = [], signal } = options;
  signal?.throwIfAborted();
  const opening = openingOf(options, options.store);
  const files = opening.files();
  const store = await files.store();
  const roots = await chosenRoots(files, store, specs);
  const created = sourceDate(opening.around.env);
  return sbomReport(storeSbom({ store, roots, subject: specsSubject(roots), created, tool: VERSION }), format);
}

/** The name of specs in a bill of materials. */
export function specsSubject(roots: readonly SpecNode[]): SbomSubject {
  const [first] = roots;
  const isOne = roots.length === 1 && first !== undefined;
  return { name: isOne ? `${first.name}-${first.version}-${first.hash}` : "environment" };
}
