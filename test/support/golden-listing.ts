// Lists trees as lines: the content of a folder, and of Spack's own installations of the golden caches.
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { golden } from "./golden.ts";

/** One line per entry of a tree, except lists that depend on who installed it and when. */
export function listing(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((name) => !/^\.spack\/install_(?:manifest|times)\.json$/.test(name))
    .sort()
    .map((name) => {
      const path = join(directory, name);
      const stats = lstatSync(path);
      if (stats.isSymbolicLink()) return `${name} -> ${readlinkSync(path)}`;
      const mode = (stats.mode & 0o7777).toString(8);
      if (stats.isDirectory()) return `${name}/ ${mode}`;
      return `${name} ${mode} ${stats.nlink} ${createHash("sha256").update(readFileSync(path)).digest("hex")}`;
    });
}

const listSchema = z.array(
  z.object({
    path: z.string(),
    mode: z.string(),
    type: z.enum(["dir", "file", "symlink"]),
    sha256: z.string().optional(),
    nlink: z.number().optional(),
    target: z.string().optional(),
  }),
);

/** Spack's own listing of a prefix in a golden installation; `name` is its path in the store. */
export function expectedListing(name: string, prefix: string): string[] {
  const all = listSchema.parse(JSON.parse(readFileSync(golden(`spack-1.2/${name}.json`), "utf8")));
  return all
    .filter(({ path }) => path.startsWith(`${prefix}/`))
    .map(({ path, mode, type, sha256, nlink, target }) => {
      const relative = path.slice(prefix.length + 1);
      if (type === "symlink") return `${relative} -> ${target}`;
      return type === "dir" ? `${relative}/ ${mode.slice(2)}` : `${relative} ${mode.slice(2)} ${nlink} ${sha256}`;
    })
    .filter((line) => !/^\.spack\/install_(?:manifest|times)\.json /.test(line))
    .sort();
}
