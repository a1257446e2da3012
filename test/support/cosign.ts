// cosign, which no distribution packages: from $STAVE_COSIGN or the PATH.
import { test } from "node:test";
import { findProgram } from "../../scripts/peers.ts";

const cosign = process.env["STAVE_COSIGN"] ?? findProgram("cosign");
const INSTALL = "go install github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3";

/** Declares a test that needs cosign. */
export function cosignTest(name: string, work: (program: string) => Promise<void>): void {
  if (cosign === undefined)
    test(name, { skip: `cosign is missing: put it on the PATH or name it in $STAVE_COSIGN (${INSTALL})` }, () => {});
  else test(name, { timeout: 240_000 }, () => work(cosign));
}
