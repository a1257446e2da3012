// Surveys a prefix without reading file contents: its size, and a fingerprint that changes with every write. Like git's
// index, it uses sizes, inode numbers and change times.
import { createHash } from "node:crypto";
import { lstatSync, type Stats } from "node:fs";
import { type ByteString, fsPath } from "../../util/byte-string.ts";
import type { Relocatable } from "./build-info-writer.ts";
import { type PrefixLocation, walkPrefix, whilePacking } from "./prefix-walk.ts";

/** The survey of a prefix. */
export interface Survey {
  /** The number of regular files and their total bytes; each hard link counts. */
  readonly files: number;
  readonly bytes: number;
  /** Stays the same as long as the archive would: covers the files and what is known of the spec. */
  readonly fingerprint: string;
  /** The time of the last change, in milliseconds since the epoch. */
  readonly changed: number;
}

/** Surveys a prefix. Throws as walkPrefix does. */
export function surveyPrefix(job: Relocatable & PrefixLocation): Survey {
  const { root, prefix, spackPrefix, hashToPrefix, mentioned, legacy } = job;
  const hash = createHash("sha256").update(
    JSON.stringify([root, prefix, spackPrefix, hashToPrefix, mentioned, legacy]),
  );
  let [files, bytes, changed] = [0, 0, 0];
  for (const { type, name, path, target } of walkPrefix(job)) {
    if (type === "file") {
      const { size, ino, dev, mode, ctimeMs, mtimeMs } = statOf(path);
      files++;
      bytes += size;
      changed = Math.max(changed, ctimeMs);
      hash.update(`${name}\0${size} ${dev} ${ino} ${mode} ${ctimeMs} ${mtimeMs}\0`);
    } else hash.update(`${name}\0${type}\0${target}\0`);
  }
  return { files, bytes, fingerprint: hash.digest("hex"), changed };
}

function statOf(path: ByteString): Stats {
  try {
    return lstatSync(fsPath(path));
  } catch (cause) {
    throw whilePacking(cause, "read", path);
  }
}
