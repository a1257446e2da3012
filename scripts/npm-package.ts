// Packages of npm in versions that are pinned by their digests, also those for other architectures.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Fetches a package, `NAME@VERSION`, into a folder; returns its own. Throws if its content has another digest. */
export function npmPackage(name: string, integrity: string, into: string): string {
  const folder = join(into, name.replaceAll(/[@/]/g, "-"));
  if (existsSync(join(folder, "package"))) return join(folder, "package");
  mkdirSync(folder, { recursive: true });
  const output = execFileSync("npm", ["pack", "--json", "--loglevel=error", "--pack-destination", folder, name], {
    encoding: "utf8",
  });
  const [{ filename }] = JSON.parse(output);
  const digest = createHash("sha512")
    .update(readFileSync(join(folder, filename)))
    .digest("base64");
  if (`sha512-${digest}` !== integrity)
    throw new Error(`${name} has the digest sha512-${digest}, expected ${integrity}`);
  execFileSync("tar", ["-xzf", join(folder, filename), "-C", folder]);
  return join(folder, "package");
}
