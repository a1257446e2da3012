// Platforms (OCI image-spec, "Image Index"): parses, formats and matches `os/architecture/variant`. No I/O.
import * as z from "zod";
import { StaveError } from "../errors.ts";

/** The schema of a platform in an index. */
export const platformSchema = z.looseObject({
  architecture: z.string().max(64),
  os: z.string().max(64),
  variant: z.string().max(64).optional(),
  "os.version": z.string().max(128).optional(),
});

/** An operating system and architecture, in Go's names. */
export interface Platform {
  os: string;
  architecture: string;
  variant?: string | undefined;
}

const PART = /^[A-Za-z0-9_.-]{1,64}$/;

/** Parses `linux/amd64` or `linux/arm64/v8`. Throws REFERENCE_INVALID. */
export function parsePlatform(text: string): Platform {
  const [os, architecture, variant, ...rest] = text.split("/");
  const parts = [os, architecture, variant].filter((p) => p !== undefined);
  if (os === undefined || architecture === undefined || rest.length > 0 || !parts.every((p) => PART.test(p)))
    throw new StaveError(
      "REFERENCE_INVALID",
      `invalid platform ${JSON.stringify(text)}: expected OS/ARCH or OS/ARCH/VARIANT`,
      {
        hint: "for example `platform: linux/arm64`",
      },
    );
  return variant === undefined ? { os, architecture } : { os, architecture, variant };
}

/** Formats a platform as `OS/ARCH` or `OS/ARCH/VARIANT`. */
export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant } = platform;
  return variant ? `${os}/${architecture}/${variant}` : `${os}/${architecture}`;
}

// Runtimes treat a missing arm64 variant as v8 and a missing arm variant as v7 (containerd, "platforms").
function normalVariant({ variant, architecture }: Platform): string {
  return variant || (DEFAULT_VARIANTS.get(architecture) ?? "");
}
const DEFAULT_VARIANTS: ReadonlyMap<string, string> = new Map([
  ["arm64", "v8"],
  ["arm", "v7"],
]);

/** True if an offered platform satisfies the wanted one; a wanted platform without variant accepts any variant. */
export function matchesPlatform(offered: Platform, wanted: Platform): boolean {
  if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) return false;
  return wanted.variant === undefined || normalVariant(offered) === normalVariant(wanted);
}

// Spack names a machine by its archspec family, OCI by GOARCH (Spack `oci/image.py`); all other names are equal.
const GOARCH: Record<string, string> = { x86_64: "amd64", aarch64: "arm64" };

// Node's names of architectures that differ from Go's.
const NODE_NAMES: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386", ppc64: "ppc64le" };

/** The Go name of Node's `process.arch`. */
export function hostArchitecture(arch: string): string {
  return NODE_NAMES[arch] ?? arch;
}

/** The Go name of an archspec family: `x86_64` is `amd64`, `aarch64` is `arm64`, others stay. */
export function goArchitecture(family: string): string {
  return GOARCH[family] ?? family;
}
