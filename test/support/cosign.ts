// cosign, which no distribution packages: from $STAVE_COSIGN or the PATH.
import { test } from "node:test";
import { COSIGN_INSTALL } from "../../scripts/cosign.ts";
import { findProgram } from "../../scripts/peers.ts";

const cosign = process.env["STAVE_COSIGN"] ?? findProgram("cosign");

const MISSING = `cosign is missing: put it on the PATH or name it in $STAVE_COSIGN (${COSIGN_INSTALL})`;

/** Declares a test that needs cosign. */
export function cosignTest(name: string, work: (program: string) => Promise<void>): void {
  if (cosign === undefined) test(name, { skip: process.env["STAVE_COSIGN_REASON"] ?? MISSING }, () => {});
  else test(name, { timeout: 240_000 }, () => work(cosign));
}
