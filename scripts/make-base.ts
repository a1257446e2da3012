// Creates a small base image from this machine's own shell and C library, over which the demo and tests run programs of
// a store if no registry with base images can be reached.
// usage: tsx scripts/make-base.ts DIR [TAG]
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { create } from "tar";
import type { Descriptor } from "../lib/oci/descriptor.ts";
import { digestOf, hexOf } from "../lib/oci/digest.ts";
import { canonicalBytes, describe } from "../lib/oci/manifest.ts";
import {
  DOCKER_CONFIG,
  DOCKER_LAYER_GZIP,
  DOCKER_MANIFEST,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER_GZIP,
  OCI_MANIFEST,
} from "../lib/oci/mediatype.ts";
import { goArchitecture } from "../lib/oci/platform.ts";
import { isMain } from "./is-main.ts";

const PROGRAMS = ["/bin/sh", "/usr/bin/env", "/bin/ls", "/bin/cat"];

export interface MakeBaseOptions {
  tag: string;
  /** Docker's media types instead of OCI's. */
  docker?: boolean;
  /** Claims another architecture, in Go's terms. */
  architecture?: string;
}

/** Writes a layout directory with one image of two layers and a history; needs `ldd`. */
export function makeBase(directory: string, { tag, docker = false, architecture }: MakeBaseOptions): Descriptor {
  const tars = [
    archiveOf(filesOf(PROGRAMS), ["tmp", "proc", "sys", "dev", "etc"]),
    archiveOf(new Map([["/etc/base-release", Buffer.from("a base image\n")]])),
  ];
  const config = {
    created: "2024-01-01T00:00:00Z",
    architecture: architecture ?? goArchitecture(execFileSync("uname", ["-m"], { encoding: "utf8" }).trim()),
    os: "linux",
    config: { Env: ["PATH=/usr/bin:/bin", "BASE=yes"], Cmd: ["/bin/sh"], WorkingDir: "/" },
    rootfs: { type: "layers", diff_ids: tars.map((tar) => digestOf(tar)) },
    history: [
      { created: "2024-01-01T00:00:00Z", created_by: "programs" },
      { created: "2024-01-01T00:00:00Z", created_by: "ENV BASE=yes", empty_layer: true },
      { created: "2024-01-01T00:00:00Z", created_by: "a file" },
    ],
  };
  return writeLayout(directory, { tag, docker, config, tars });
}

/** An image to write. */
export interface ImageParts {
  readonly tag: string;
  /** Docker's media types instead of OCI's. */
  readonly docker?: boolean;
  readonly config: object;
  /** The layers, uncompressed. */
  readonly tars: readonly Buffer[];
}

/** Writes a layout directory with one image. */
export function writeLayout(directory: string, { tag, docker = false, config, tars }: ImageParts): Descriptor {
  const blobs = join(directory, "blobs", "sha256");
  mkdirSync(blobs, { recursive: true });
  const write = (bytes: Uint8Array, mediaType: string): Descriptor => {
    const descriptor = describe(bytes, mediaType);
    writeFileSync(join(blobs, hexOf(descriptor.digest)), bytes);
    return descriptor;
  };
  const [manifestType, configType, layerType] = docker
    ? [DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER_GZIP]
    : [OCI_MANIFEST, OCI_CONFIG, OCI_LAYER_GZIP];
  const document = {
    schemaVersion: 2,
    mediaType: manifestType,
    config: write(canonicalBytes(config), configType),
    layers: tars.map((tar) => write(gzipSync(tar), layerType)),
  };
  const manifest = write(canonicalBytes(document), manifestType);
  const entry = { ...manifest, annotations: { "org.opencontainers.image.ref.name": tag } };
  writeFileSync(join(directory, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [entry] };
  writeFileSync(join(directory, "index.json"), canonicalBytes(index));
  return manifest;
}

/** Programs and all the libraries they load, by path. */
export function filesOf(programs: readonly string[]): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (const program of programs) {
    const listed = execFileSync("ldd", [realpathSync(program)], { encoding: "utf8" });
    for (const path of [program, ...(listed.match(/\/\S+/g) ?? [])]) files.set(path, readFileSync(path));
  }
  return files;
}

/** A tar of files by path, and of empty folders. */
export function archiveOf(files: ReadonlyMap<string, Buffer>, folders: readonly string[] = []): Buffer {
  const folder = mkdtempSync(join(tmpdir(), "stave-base-"));
  try {
    const root = join(folder, "root");
    for (const [path, bytes] of files) {
      mkdirSync(join(root, dirname(path)), { recursive: true });
      writeFileSync(join(root, path), bytes, { mode: 0o755 });
    }
    for (const name of folders) mkdirSync(join(root, name), { recursive: true });
    const file = join(folder, "layer.tar");
    const names = execFileSync("ls", [root], { encoding: "utf8" }).trim().split("\n");
    create({ cwd: root, file, portable: true, sync: true, mtime: new Date(0) }, names);
    return readFileSync(file);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (isMain(import.meta)) {
  const [directory = "base", tag = "base"] = process.argv.slice(2);
  console.log(makeBase(directory, { tag }).digest);
}
