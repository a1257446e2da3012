// The report of `sbom`: the document, and the licenses of what it describes.
import type { JsonObject } from "../spack/text/json-value.ts";
import { type LicenseRow, licenseRows, type Sbom, type SbomFormat, type SbomSubject } from "./bill.ts";
import { cycloneDxDocument } from "./cyclonedx.ts";
import { spdxDocument } from "./spdx.ts";

/** The report of `sbom`. */
export interface SbomReport {
  readonly subject: SbomSubject;
  readonly licenses: readonly LicenseRow[];
  /** The document in the format that was asked for. */
  readonly document: JsonObject;
}

/** The document of a bill of materials in a format. */
export function sbomDocument(sbom: Sbom, format: SbomFormat): JsonObject {
  return format === "spdx" ? spdxDocument(sbom) : cycloneDxDocument(sbom);
}

/** Reports a bill of materials. */
export function sbomReport(sbom: Sbom, format: SbomFormat): SbomReport {
  return { subject: sbom.subject, licenses: licenseRows(sbom), document: sbomDocument(sbom, format) };
}
