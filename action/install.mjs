// Installs the single file of the release that this action belongs to. Its checksum is part of the action, so that the
// server of the release need not be trusted.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const MEGABYTE = 1024 * 1024;
/** More than any archive has. */
const LIMIT = 500 * MEGABYTE;
const TRIES = 3;
/** Milliseconds for one try. */
const LONGEST = 300_000;

const release = JSON.parse(readFileSync(new URL("release.json", import.meta.url), "utf8"));

/** Downloads and unpacks stave into a folder; returns the folder with the program. */
export async function installStave(folder, { url, arch, platform }, { version, url: address, sha256 } = release) {
  if (platform !== "linux") throw new Error(`there is no single file for ${platform}; use a runner with Linux`);
  const expected = sha256[arch];
  if (expected === undefined)
    throw new Error(
      `action/release.json has no checksum of stave for ${arch} at this commit: use the commit or tag of a release, ` +
        "which has it, or set the input executable",
    );
  const base = url || address;
  if (base === "") throw new Error("no address of a release is known: set the input url, or executable");
  const name = `stave-${version}-linux-${arch}`;
  const bytes = await download(`${base.replace(/\/+$/, "")}/${name}.tar.gz`);
  const actual = createHash("sha256").update(bytes).digest("hex");
  if (actual !== expected) throw new Error(`${name}.tar.gz has the checksum ${actual}, expected ${expected}`);
  const archive = join(folder, `${name}.tar.gz`);
  writeFileSync(archive, bytes);
  execFileSync("tar", ["-xzf", archive, "-C", folder]);
  return join(folder, name);
}

async function download(url) {
  for (let tried = 1; ; tried++) {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(LONGEST) });
      if (!response.ok) throw new Error(`it answers ${response.status}`);
      const chunks = [];
      let size = 0;
      for await (const chunk of response.body) {
        size += chunk.length;
        if (size > LIMIT) throw new Error(`it has more than ${LIMIT / MEGABYTE} MiB`);
        chunks.push(chunk);
      }
      return Buffer.concat(chunks);
    } catch (error) {
      const reason = error.cause?.message ?? error.message;
      if (tried === TRIES) throw new Error(`cannot download ${url}: ${reason}`);
      await sleep(1000 * tried);
    }
  }
}
