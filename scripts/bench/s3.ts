// Benchmarks a bucket: one spec with a large archive is copied there and back by `stave sync`, beside the AWS SDK,
// which npm installs for the run, and the AWS command, each with the same bytes in one object.
import { execFile, execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { MirrorCache } from "../../lib/cache/mirror/mirror-cache.ts";
import { FolderObjects } from "../../lib/objects/folder-objects.ts";
import { type Digest, digestOf, hexOf } from "../../lib/oci/digest.ts";
import { specDocument } from "../../lib/spack/spec/spec-writer.ts";
import { readDatabase } from "../../lib/spack/store/database.ts";
import { isObject } from "../../lib/spack/text/json.ts";
import { bytesSource } from "../../lib/util/stream.ts";
import { systemClock } from "../../lib/util/time.ts";
import { makeDatabase } from "../make-database.ts";
import { findProgram } from "../peers.ts";
import { type Candidate, measure } from "./measure.ts";
import { startS3Store } from "./s3-store.ts";
import { commandTable, type Table } from "./table.ts";

const BYTES = 400e6;
const ROUNDS = 5;
const SDK = ["@aws-sdk/client-s3", "@aws-sdk/lib-storage"];
const KEYS = { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "secret", AWS_REGION: "us-east-1" };

/** Creates a mirror with one spec, copies it to a bucket and back, and returns the tables. */
export async function benchS3(scratch: string, stave: string, scale: number): Promise<Table[]> {
  const folder = join(scratch, "mirror");
  const archive = await writeMirror(folder, Math.round(BYTES * scale));
  const server = await startS3Store(join(scratch, "bucket"));
  const sdk = installSdk(join(scratch, "sdk"));
  const aws = findProgram("aws");
  const env = { HOME: scratch, XDG_CACHE_HOME: join(scratch, "cache"), SPACK_ROOT: "", SPACK_ENV: "", ...KEYS };
  const flags = ["--no-env", "-u", "-q"];
  const key = (round: number): string => `peers/${round}/${hexOf(archive.digest)}`;
  const [bucket, back] = ["s3://bench/up", join(scratch, "down")];
  const ownEnv = { ...env, S3_ENDPOINT_URL: server.url };
  const own = (...args: string[]): string[] => [process.execPath, stave, "sync", ...args, ...flags];
  const fresh = async (): Promise<void> => rmSync(join(scratch, "bucket", "bench"), { recursive: true, force: true });
  const empty = async (): Promise<void> => {
    rmSync(back, { recursive: true, force: true });
    mkdirSync(back);
  };
  const program = (how: string, round: number, file: string): string[] => [
    ...[process.execPath, resolve(import.meta.dirname, "s3-sdk.ts"), sdk ?? "", server.url],
    ...[how, "bench", key(round), file],
  ];
  const copy = (from: string, to: string): string[] => [
    ...[aws ?? "", "s3", "cp", "--only-show-errors", "--endpoint-url", server.url, from, to],
  ];
  const remote = (round: number): string => `s3://bench/${key(round)}`;
  const got = join(back, "archive");
  const ups: Candidate[] = [
    { name: "stave sync", env: ownEnv, command: () => own(`file://${folder}`, bucket), prepare: fresh },
  ];
  const downs: Candidate[] = [
    { name: "stave sync", env: ownEnv, command: () => own(bucket, `file://${back}`), prepare: empty },
  ];
  if (sdk !== undefined) {
    const names = { upload: "AWS SDK, parts of 16 MiB, 4 at once", put: "AWS SDK, one PUT" };
    for (const [how, name] of Object.entries(names))
      ups.push({ name, env, command: (round) => program(how, round, archive.path), prepare: fresh });
    downs.push({ name: "AWS SDK", env, command: () => program("download", 1, got), prepare: empty });
  }
  if (aws !== undefined) {
    ups.push({ name: "aws s3 cp", env, command: (round) => copy(archive.path, remote(round)), prepare: fresh });
    downs.push({ name: "aws s3 cp", env, command: () => copy(remote(1), got), prepare: empty });
  }
  try {
    const what = `${(archive.size / 1e6).toFixed(0)} MB`;
    const up = await measure(ups, ROUNDS, 0);
    await fresh();
    // This process is the server, so it must not wait for the command in the foreground.
    const [node = "", ...args] = own(`file://${folder}`, bucket);
    await promisify(execFile)(node, args, { env: { ...process.env, ...ownEnv } });
    const object = join(scratch, "bucket", "bench", key(1));
    mkdirSync(dirname(object), { recursive: true });
    copyFileSync(archive.path, object);
    const down = await measure(downs, ROUNDS, 0);
    return [
      commandTable(`${what} to a bucket`, up, { bases: ["stave sync"] }),
      commandTable(`${what} from a bucket, verified`, down, { bases: ["stave sync"] }),
    ];
  } finally {
    server.close();
  }
}

// Nothing reads the content of the archive.
async function writeMirror(folder: string, size: number): Promise<{ path: string; digest: Digest; size: number }> {
  mkdirSync(folder);
  const text = makeDatabase({ installs: 1, seed: 1, root: "/opt/store", stack: 1 });
  const { graph } = readDatabase({ name: "made", bytes: Buffer.from(text, "latin1") });
  const [node] = [...graph.nodes()].filter(({ external }) => external === undefined);
  if (node === undefined) throw new Error("no spec was made");
  const objects = new FolderObjects(folder, folder, systemClock);
  const cache = new MirrorCache({ objects, signatures: undefined, isWritten: true });
  const bytes = randomBytes(size);
  const archive = { mediaType: "application/x", digest: digestOf(bytes), size };
  await cache.blobs.pushBlob(archive, bytesSource(bytes));
  const document = specDocument(node, graph);
  await cache.putSpec({ node, document: isObject(document) ? document : {}, archive });
  const hex = hexOf(archive.digest);
  return { ...archive, path: join(folder, "blobs/sha256", hex.slice(0, 2), hex) };
}

function installSdk(folder: string): string | undefined {
  const args = ["install", "--prefix", folder, "--no-save", "--no-fund", "--no-audit", "--loglevel=error", ...SDK];
  try {
    mkdirSync(folder);
    execFileSync("npm", args, { stdio: "ignore" });
    return folder;
  } catch {
    console.log(`left out: the AWS SDK, because npm could not install ${SDK.join(" and ")}`);
    return undefined;
  }
}
