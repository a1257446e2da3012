// Creates the corpus of hostile archives: each has a few kilobytes, the same bytes each time, and an entry in a list
// that says what it tries. Links lead to a folder `canary` beside the store into which the archive is installed.
// usage: node scripts/make-hostile.ts [DIR]
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import type { ErrorCode } from "../lib/errors.ts";
import { END, pax, type RawHeader, rawMember } from "../test/support/hostile-tar.ts";
import { isMain } from "./is-main.ts";

/** One archive that must not be installed. */
export interface HostileArchive {
  readonly name: string;
  /** What it tries. */
  readonly tries: string;
  /** How an installation refuses it. */
  readonly code: ErrorCode;
  readonly members: () => Buffer[];
}

// From the folder of metadata of an unpacked archive (STORE/ARCH/.stave-…/s/p/.spack) to the canary.
const CANARY = "../../../../../../canary";
const P = "s/p";
const file = (name: string, content: string | Buffer = "", more: RawHeader = {}): Buffer =>
  rawMember({ name: `${P}/${name}`, ...more }, content);
const link = (name: string, target: string): Buffer => rawMember({ name: `${P}/${name}`, type: "2", linkName: target });
const hardLink = (name: string, target: string): Buffer =>
  rawMember({ name: `${P}/${name}`, type: "1", linkName: target });
const info = (fields = "", root = "/old/store"): Buffer =>
  file(".spack/binary_distribution", `{buildpath: ${root}, hash_to_prefix: {}${fields}}\n`);

/** The corpus, in the order of its list. */
export const HOSTILE: readonly HostileArchive[] = [
  {
    name: "times-link",
    tries: "a link in place of install_times.json, to overwrite what it leads to",
    code: "ARCHIVE_UNSAFE",
    members: () => [info(), link(".spack/install_times.json", `${CANARY}/victim`)],
  },
  {
    name: "times-dangling",
    tries: "a link in place of install_times.json, to make a file where it leads",
    code: "ARCHIVE_UNSAFE",
    members: () => [info(), link(".spack/install_times.json", `${CANARY}/new`)],
  },
  {
    name: "times-folder",
    tries: "a folder in place of install_times.json",
    code: "ARCHIVE_UNSAFE",
    members: () => [info(), file(".spack/install_times.json/", "", { type: "5" })],
  },
  {
    name: "spec-link",
    tries: "a link in place of spec.json, to have what it leads to printed",
    code: "ARCHIVE_UNSAFE",
    members: () => [info(), link(".spack/spec.json", `${CANARY}/victim`)],
  },
  {
    name: "spec-dangling",
    tries: "a link in place of spec.json, to make a file where it leads",
    code: "ARCHIVE_UNSAFE",
    members: () => [info(), link(".spack/spec.json", `${CANARY}/new`)],
  },
  {
    name: "manifest-link",
    tries: "a link in place of install_manifest.json, to overwrite what it leads to",
    code: "ARCHIVE_UNSAFE",
    members: () => [info(), link(".spack/install_manifest.json", `${CANARY}/victim`)],
  },
  {
    name: "info-link",
    tries: "a link in place of the build info",
    code: "ARCHIVE_UNSAFE",
    members: () => [file("x"), link(".spack/binary_distribution", `${CANARY}/victim`)],
  },
  {
    name: "metadata-link",
    tries: "a link in place of the folder of metadata",
    code: "ARCHIVE_UNSAFE",
    members: () => [link(".spack", "../../../../../canary"), info()],
  },
  {
    name: "folder-link",
    tries: "a file below a link to a folder",
    code: "ARCHIVE_UNSAFE",
    members: () => [info(), link("lib", "../../../../../canary"), file("lib/victim", "bad")],
  },
  {
    name: "hard-link",
    tries: "a hard link to a file outside",
    code: "ARCHIVE_UNSAFE",
    members: () => [info(), hardLink("bin", "../../../../canary/victim")],
  },
  {
    name: "dots",
    tries: "a name that leads up",
    code: "ARCHIVE_UNSAFE",
    members: () => [info(), file("../../../../../canary/new", "bad")],
  },
  {
    name: "absolute",
    tries: "an absolute name",
    code: "ARCHIVE_UNSAFE",
    members: () => [info(), rawMember({ name: "/tmp/stave-hostile" }, "bad")],
  },
  {
    name: "controls",
    tries: "a name that would change the title of a terminal",
    code: "ARCHIVE_UNSAFE",
    members: () => [info(), file("../\x1b]0;title\x07", "bad")],
  },
  { name: "fifo", tries: "a FIFO", code: "ARCHIVE_UNSAFE", members: () => [info(), file("fifo", "", { type: "6" })] },
  {
    name: "device",
    tries: "a block device",
    code: "ARCHIVE_UNSAFE",
    members: () => [info(), file("disk", "", { type: "4" })],
  },
  {
    name: "deep",
    tries: "folders within folders, each of which takes time to enter",
    code: "ARCHIVE_UNSAFE",
    members: () => [info(), pax({ path: `${P}/${"d/".repeat(1500)}f` }), file("f")],
  },
  {
    name: "lists-dots",
    tries: "a list of files to relocate that leads up",
    code: "CONTENT_INVALID",
    members: () => [info(`, relocate_textfiles: [${CANARY}/victim]`)],
  },
  {
    name: "lists-link",
    tries: "a list of files to relocate that leads through a link",
    code: "ARCHIVE_UNSAFE",
    members: () => [info(", relocate_textfiles: [out/victim]"), link("out", "../../../../../canary")],
  },
  {
    name: "lists-file-link",
    tries: "a list of files to relocate with a link in it",
    code: "RELOCATION_FAILED",
    members: () => [info(", relocate_textfiles: [out]"), link("out", "../../../../../canary/victim")],
  },
  {
    name: "other-spec",
    tries: "the spec file of something else",
    code: "SPEC_INVALID",
    members: () => [info(), file(".spack/spec.json", '{"spec": {"_meta": {"version": 5}, "nodes": []}}')],
  },
  {
    name: "growing",
    tries: "a text that relocation would make a hundred times longer",
    code: "RELOCATION_FAILED",
    members: () => [info(", relocate_textfiles: [text]", "/z"), file("text", Buffer.alloc(5_000_001, "/z "))],
  },
  {
    name: "many-values",
    tries: "a spec file of nothing but brackets, which take a hundred times as much memory",
    code: "TOO_LARGE",
    members: () => [info(), file(".spack/spec.json", `[${"[],".repeat(2_000_000)}[]]`)],
  },
  {
    name: "many-parts",
    tries: "a build info of nothing but brackets",
    code: "TOO_LARGE",
    members: () => [file(".spack/binary_distribution", `{a: [${"[],".repeat(1_000_000)}[]]}`)],
  },
];

/** The bytes of an archive. */
export function hostileArchive({ members }: HostileArchive): Buffer {
  return Buffer.concat([...members(), END]);
}

function list(): string {
  const rows = HOSTILE.map(({ name, tries, code }) => `| ${name} | ${tries} | ${code} |`);
  return `# Archives that must not be installed

Made by \`node scripts/make-hostile.ts\`; \`test/cli/hostile.test.ts\` gives each to the command.

| archive | tries | refused with |
| --- | --- | --- |
${rows.join("\n")}
`;
}

if (isMain(import.meta)) {
  const folder = resolve(process.argv[2] ?? "testdata/hostile");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const each of HOSTILE)
    writeFileSync(join(folder, `${each.name}.tar.gz`), gzipSync(hostileArchive(each), { level: 9 }));
  writeFileSync(join(folder, "README.md"), list());
}
