// The golden stores for the packer: each installed spec with its recorded prefix and its directory.
import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import type { ArchiveJob } from "../../lib/image/archive/archive.ts";
import { type Installation, relocatable } from "../../lib/image/archive/build-info-writer.ts";
import { readSpecFile, type SpecDocument } from "../../lib/spack/spec/spec-file.ts";
import { golden, unpackGolden } from "./golden.ts";

/** One installed spec. */
export interface GoldenSpec extends SpecDocument {
  readonly job: ArchiveJob;
}

const STORES = {
  "spack-1.2": { folder: "store", root: "/opt/harbor/store", spackPrefix: "/opt/harbor/spack", legacy: false },
  "spack-0.23": { folder: "store23", root: "/opt/harbor/store23", spackPrefix: "/opt/harbor/spack23", legacy: true },
} as const;

/** The specs of a golden store, by DAG hash. */
export async function goldenSpecs(generation: keyof typeof STORES): Promise<Map<string, GoldenSpec>> {
  const { folder, ...at } = STORES[generation];
  const disk = join(await unpackGolden(`${generation}/store`), folder);
  const found = globSync("**/.spack/spec.json", { cwd: disk }).map((file) => ({
    document: readSpecFile(readFileSync(join(disk, file)), file),
    relative: dirname(dirname(file)),
  }));
  const prefixes = new Map(found.map(({ document, relative }) => [document.root.hash, join(at.root, relative)]));
  // A spec that is not installed has its place in the default layout; only the root matters for archives.
  const installation: Installation = {
    ...at,
    prefixOf: ({ hash, name }) => prefixes.get(hash) ?? `${at.root}/${name}-${hash}`,
  };
  return new Map(
    found.map(({ document, relative }) => {
      const job = { ...relocatable(document.root, installation), directory: join(disk, relative) };
      return [document.root.hash, { ...document, job }];
    }),
  );
}

const indexSchema = z.object({
  manifests: z.array(z.object({ digest: z.string(), annotations: z.record(z.string(), z.string()) })),
});

/** The images of a golden layout, by tag: the texts of manifest and config. */
export function goldenImages(layout: string): Map<string, { manifest: string; config: string }> {
  const blob = (digest: string): string => readFileSync(golden(`${layout}/blobs/${digest.replace(":", "/")}`), "utf8");
  const { manifests } = indexSchema.parse(JSON.parse(readFileSync(golden(`${layout}/index.json`), "utf8")));
  return new Map(
    manifests.map(({ digest, annotations }) => {
      const manifest = blob(digest);
      const { config } = z.object({ config: z.object({ digest: z.string() }) }).parse(JSON.parse(manifest));
      return [annotations["org.opencontainers.image.ref.name"] ?? "", { manifest, config: blob(config.digest) }];
    }),
  );
}

const configSchema = z.object({ rootfs: z.object({ diff_ids: z.array(z.string()) }) });

/** The digest of the last archive in an image, by the text of its config. */
export function lastDiffId(config: string | undefined): string | undefined {
  return config === undefined ? undefined : configSchema.parse(JSON.parse(config)).rootfs.diff_ids.at(-1);
}
