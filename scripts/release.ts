// Makes the files of a release: the npm package, executables in archives, checksums, a bill of materials, the changes
// of the version, and the script that installs it.
// usage: tsx scripts/release.ts [FOLDER]
// The same sources give the same bytes: the time of the bill of materials is $SOURCE_DATE_EPOCH, or that of the commit,
// and files in archives have a fixed one. Also writes the checksums to action/release.json, to be committed.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { constants, gzipSync } from "node:zlib";
import { create } from "tar";
import { sourceDate } from "../lib/util/source-date.ts";
import { checkExecutables } from "./executable-check.ts";
import { isMain } from "./is-main.ts";
import { releaseSbom } from "./release-sbom.ts";
import {
  ARCHITECTURES,
  type Architecture,
  buildSingleFile,
  NODE_VERSION,
  nodeLicense,
  type SingleFile,
} from "./single-file.ts";

const root = new URL("..", import.meta.url).pathname;

/** An executable for one architecture. */
export interface Executable extends SingleFile {
  readonly architecture: Architecture;
  readonly path: string;
}

/** What a release consists of. */
export interface ReleaseInput {
  readonly executables: readonly Executable[];
  /** The file that `npm pack` made. */
  readonly npmPackage: string;
  /** The license of the Node in the executables. */
  readonly nodeLicense: string;
  /** Seconds since the epoch: the time of the bill of materials. */
  readonly date: number;
}

interface PackageFile {
  readonly version: string;
  readonly license: string;
  /** The one place for the address of this repository; absent as long as there is no public one. */
  readonly repository?: { readonly url: string };
}

/** Of all files in archives: their checksums are part of a commit, whose time is known later. */
const ARCHIVE_TIME = new Date("1980-01-01T00:00:00Z");

/** Where the files of a release are; empty if package.json names no repository. */
export function releaseAddress({ repository, version }: Pick<PackageFile, "repository" | "version">): string {
  if (repository === undefined) return "";
  return `${repository.url.replace(/^git\+/, "").replace(/\.git$/, "")}/releases/download/v${version}`;
}

/** The text of one version in CHANGELOG.md, without its heading. Throws if there is none. */
export function changesOf(version: string, changelog: string): string {
  const sections = changelog.split(/^## /m);
  const found = sections.find((section) => section.startsWith(`${version} `) || section.startsWith(`${version}\n`));
  if (found === undefined) throw new Error(`CHANGELOG.md has no changes of ${version}`);
  return `${found.slice(found.indexOf("\n")).trim()}\n`;
}

/** Writes the files of a release into a folder, which is emptied first. Returns their names. */
export function writeRelease(folder: string, { executables, npmPackage, nodeLicense, date }: ReleaseInput): string[] {
  const read = (name: string): string => readFileSync(join(root, name), "utf8");
  const metadata: PackageFile = JSON.parse(read("package.json"));
  const { version, license } = metadata;
  const lock = read("package-lock.json");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  copyFileSync(npmPackage, join(folder, `stave-${version}.tgz`));
  const work = mkdtempSync(join(tmpdir(), "stave-release-"));
  try {
    for (const { architecture, path, licenses } of executables) {
      const name = `stave-${version}-linux-${architecture}`;
      const inside = join(work, name);
      mkdirSync(inside);
      copyFileSync(path, join(inside, "stave"));
      chmodSync(join(inside, "stave"), 0o755);
      writeFileSync(join(inside, "LICENSE"), read("LICENSE"));
      const all = `${licenses}\n${"-".repeat(80)}\n\nnode ${NODE_VERSION}\n\n${nodeLicense}`;
      writeFileSync(join(inside, "THIRD-PARTY-LICENSES.txt"), all);
      for (const page of globSync("man/*.1", { cwd: root }).sort()) {
        mkdirSync(join(inside, "man"), { recursive: true });
        copyFileSync(join(root, page), join(inside, page));
      }
      writeArchives(work, name, folder);
    }
    const packages = executables.flatMap((each) => each.packages);
    const sbom = releaseSbom({ version, license, date, nodeVersion: NODE_VERSION, packages, lock });
    writeFileSync(join(folder, `stave-${version}.cdx.json`), sbom);
    writeFileSync(join(folder, "CHANGES.md"), changesOf(version, read("CHANGELOG.md")));
    const script = read("install.sh").replace("default_url=''", `default_url='${releaseAddress(metadata)}'`);
    writeFileSync(join(folder, "install.sh"), script, { mode: 0o755 });
    const address = releaseAddress(metadata);
    if (address !== "") writeFileSync(join(folder, "package.py"), spackRecipe(folder, address));
    const names = readdirSync(folder).sort();
    const sums = names.map((name) => `${sha256Of(join(folder, name))}  ${name}\n`).join("");
    writeFileSync(join(folder, "SHA256SUMS"), sums);
    return [...names, "SHA256SUMS"];
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** What the action knows of a release: the checksums of the archives that it downloads. */
export function actionRelease(folder: string): string {
  const metadata: PackageFile = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const { version } = metadata;
  const sums = ARCHITECTURES.map((arch) => [arch, sha256Of(join(folder, `stave-${version}-linux-${arch}.tar.gz`))]);
  const release = { version, url: releaseAddress(metadata), sha256: Object.fromEntries(sums) };
  return `${JSON.stringify(release, undefined, 2)}\n`;
}

/** What Python calls the machines. */
const MACHINES = { x64: "x86_64", arm64: "aarch64" } as const;

/** The recipe for Spack, with the archives of a release that will be at an address. */
export function spackRecipe(folder: string, address: string): string {
  const { version }: PackageFile = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const archives = ARCHITECTURES.map((arch) => {
    const name = `stave-${version}-linux-${arch}.tar.gz`;
    const [url, digest] = [`${address}/${name}`, sha256Of(join(folder, name))].map((text) => JSON.stringify(text));
    return `        "${MACHINES[arch]}": (\n            ${url},\n            ${digest},\n        ),\n`;
  });
  const text = `_releases = {\n    "${version}": {\n${archives.join("")}    },\n}`;
  return readFileSync(join(root, "packaging/spack/package/package.py"), "utf8").replace("_releases = {}", text);
}

/** The digest of a file, in hexadecimal digits. */
export function sha256Of(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

function writeArchives(cwd: string, name: string, folder: string): void {
  const file = join(cwd, `${name}.tar`);
  // Without entries for folders, which get no time.
  const paths = globSync(`${name}/**/*`, { cwd }).filter((each) => statSync(join(cwd, each)).isFile());
  create({ cwd, file, portable: true, sync: true, noDirRecurse: true, mtime: ARCHIVE_TIME }, paths.toSorted());
  const tar = readFileSync(file);
  writeFileSync(join(folder, `${name}.tar.gz`), gzipSync(tar, { level: constants.Z_BEST_COMPRESSION }));
  // One thread: with several, the bytes depend on their number.
  const xz = execFileSync("xz", ["-6", "--threads=1", "--stdout", file], { maxBuffer: tar.length + 1_000_000 });
  writeFileSync(join(folder, `${name}.tar.xz`), xz);
  rmSync(file);
}

/** The time of a release: $SOURCE_DATE_EPOCH, or that of the commit. In seconds. */
function releaseDate(): number {
  const given = sourceDate(process.env);
  if (given !== undefined) return given / 1000;
  return Number(execFileSync("git", ["log", "-1", "--format=%ct"], { cwd: root, encoding: "utf8" }).trim());
}

/** Builds all parts and writes the release. */
async function release(folder: string): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), "stave-release-"));
  try {
    const output = execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", work], {
      cwd: root,
      encoding: "utf8",
    });
    const [{ filename }] = JSON.parse(output);
    const executables: Executable[] = [];
    for (const architecture of ARCHITECTURES) {
      const path = join(work, architecture);
      executables.push({ architecture, path, ...(await buildSingleFile(architecture, path)) });
    }
    for (const reason of checkExecutables(executables)) {
      if (process.env["CI"] === "true") throw new Error(reason);
      process.stderr.write(`not checked: ${reason}\n`);
    }
    const node = nodeLicense(work);
    writeRelease(folder, { executables, npmPackage: join(work, filename), nodeLicense: node, date: releaseDate() });
    writeFileSync(join(root, "action/release.json"), actionRelease(folder));
    process.stdout.write(readFileSync(join(folder, "SHA256SUMS"), "utf8"));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

if (isMain(import.meta)) await release(resolve(process.argv[2] ?? "release"));
