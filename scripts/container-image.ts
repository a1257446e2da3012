// Makes a container image of stave: one layer with the executable, the libraries it loads (those of this machine), and
// this machine's certificate authorities.
// usage: tsx scripts/container-image.ts EXECUTABLE DIR [TAG]
import { existsSync, readFileSync } from "node:fs";
import type { Descriptor } from "../lib/oci/descriptor.ts";
import { digestOf } from "../lib/oci/digest.ts";
import { goArchitecture } from "../lib/oci/platform.ts";
import { sourceDate, timeText } from "../lib/util/source-date.ts";
import { isMain } from "./is-main.ts";
import { archiveOf, filesOf, writeLayout } from "./make-base.ts";

const root = new URL("..", import.meta.url).pathname;
const CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt";
const PROGRAM = "/usr/bin/stave";

/** Writes a layout directory with the image; needs `ldd`, and an executable for this machine. */
export function makeContainerImage(executable: string, directory: string, tag: string): Descriptor {
  const { version, license, description, repository } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
  const files = filesOf([executable]);
  files.delete(executable);
  files.set(PROGRAM, readFileSync(executable));
  if (existsSync(CERTIFICATES)) files.set(CERTIFICATES, readFileSync(CERTIFICATES));
  const tar = archiveOf(files, ["tmp", "root", "work"]);
  const config = {
    created: timeText(sourceDate(process.env) ?? 0),
    architecture: goArchitecture(process.arch === "x64" ? "x86_64" : "aarch64"),
    os: "linux",
    config: {
      Env: ["PATH=/usr/bin", "HOME=/root", `SSL_CERT_FILE=${CERTIFICATES}`],
      Entrypoint: [PROGRAM],
      Cmd: ["--help"],
      WorkingDir: "/work",
      Labels: {
        "org.opencontainers.image.title": "stave",
        "org.opencontainers.image.description": description,
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.licenses": license,
        ...(repository === undefined ? {} : { "org.opencontainers.image.source": repository.url }),
      },
    },
    rootfs: { type: "layers", diff_ids: [digestOf(tar)] },
    history: [{ created: timeText(sourceDate(process.env) ?? 0), created_by: `stave ${version}` }],
  };
  return writeLayout(directory, { tag, config, tars: [tar] });
}

if (isMain(import.meta)) {
  const [executable, directory, tag = "latest"] = process.argv.slice(2);
  if (executable === undefined || directory === undefined)
    throw new Error("usage: container-image.ts EXECUTABLE DIR [TAG]");
  console.log(makeContainerImage(executable, directory, tag).digest);
}
