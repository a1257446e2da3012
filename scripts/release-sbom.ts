// The bill of materials of a release: the npm packages and the Node inside the executables, as CycloneDX 1.6 JSON.
import { createHash } from "node:crypto";

/** A package as package-lock.json describes it. */
interface LockedPackage {
  readonly version: string;
  readonly integrity?: string;
  readonly license?: string;
}

/** What the document is made from. */
export interface ReleaseSbomInput {
  readonly version: string;
  /** The license of stave. */
  readonly license: string;
  /** Seconds since the epoch. */
  readonly date: number;
  readonly nodeVersion: string;
  /** Names of bundled packages. */
  readonly packages: readonly string[];
  /** The text of package-lock.json. */
  readonly lock: string;
}

/** The document. The same input gives the same bytes. Throws if a package is not in package-lock.json. */
export function releaseSbom({ version, license, date, nodeVersion, packages, lock }: ReleaseSbomInput): string {
  const locked: { packages: Record<string, LockedPackage> } = JSON.parse(lock);
  const names = [...new Set(packages)].toSorted();
  const parts = names.map((path) => {
    const found = locked.packages[`node_modules/${path}`];
    if (found === undefined) throw new Error(`package-lock.json has no package ${path}`);
    // A package may be inside another's folder.
    return component(path.split("node_modules/").at(-1) ?? path, found);
  });
  const node = {
    type: "platform",
    "bom-ref": `node@${nodeVersion}`,
    name: "node",
    version: nodeVersion,
    licenses: [{ license: { id: "MIT" } }],
    purl: `pkg:generic/node@${nodeVersion}`,
  };
  const ref = `stave@${version}`;
  const components = [node, ...parts];
  const body = {
    version: 1,
    metadata: {
      timestamp: new Date(date * 1000).toISOString(),
      component: {
        type: "application",
        "bom-ref": ref,
        name: "stave",
        version,
        licenses: [{ license: { id: license } }],
        purl: `pkg:npm/stave@${version}`,
      },
    },
    components,
    dependencies: [{ ref, dependsOn: components.map((each) => each["bom-ref"]) }],
  };
  const serial = createHash("sha256").update(JSON.stringify(body)).digest("hex");
  const uuid = [serial.slice(0, 8), serial.slice(8, 12), `5${serial.slice(13, 16)}`, `a${serial.slice(17, 20)}`];
  return `${JSON.stringify(
    {
      $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
      bomFormat: "CycloneDX",
      specVersion: "1.6",
      serialNumber: `urn:uuid:${[...uuid, serial.slice(20, 32)].join("-")}`,
      ...body,
    },
    undefined,
    2,
  )}\n`;
}

function component(name: string, { version, integrity, license }: LockedPackage) {
  const [algorithm, digest] = integrity?.split(/-(.*)/) ?? [];
  return {
    type: "library",
    "bom-ref": `${name}@${version}`,
    name,
    version,
    ...(license === undefined ? {} : { licenses: [{ expression: license }] }),
    purl: `pkg:npm/${name.replace("@", "%40")}@${version}`,
    ...(algorithm === "sha512" && digest !== undefined
      ? { hashes: [{ alg: "SHA-512", content: Buffer.from(digest, "base64").toString("hex") }] }
      : {}),
  };
}
