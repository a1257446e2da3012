// A look at a prefix without reading its files: how much there is, and a fingerprint that changes whenever something in it
// was written. As git's index does, it goes by sizes, inode numbers and times of change.
import { createHash } from "node:crypto";
import { lstatSync, type Stats } from "node:fs";
import { type ByteString, fsPath } from "../../util/byte-string.ts";
import type { Relocatable } from "./build-info-writer.ts";
import { type PrefixLocation, walkPrefix, whilePacking } from "./prefix-walk.ts";

/** What a look at a prefix tells. */
export interface Survey {
  /** How many regular files there are, and their bytes; a hard link is counted each time. */
  readonly files: number;
  readonly bytes: number;
  /** The same as long as the archive would be: of the files and of what is known of the spec. */
  readonly fingerprint: string;
  /** When the last change was, in milliseconds since the epoch. */
  readonly changed: number;
}

/** Looks at a prefix. Throws as walkPrefix does. */
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
