// Proves that SPDX's own validator accepts the bills of materials of both generations of Spack, and of specs with facts
// from recipes.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { sbomOfImage, sbomOfSpecs } from "../../lib/index.ts";
import { pipProgram, SPDX_TOOLS } from "../../scripts/pip-program.ts";
import { golden } from "../support/golden.ts";
import { run } from "../support/peers.ts";
import { goldenStore } from "../support/push.ts";
import { temporaryFolder } from "../support/tree.ts";

const { path, skip } = pipProgram(SPDX_TOOLS, process.env);
const work = temporaryFolder();
const common = { surroundings: { env: {}, home: work, cwd: work } } as const;

async function validate(text: string): Promise<void> {
  const file = join(work, "bill.spdx.json");
  writeFileSync(file, text);
  await run(path, ["-i", file]);
}

for (const generation of ["spack-1.2", "spack-0.23"] as const)
  test(`the bill of an image of ${generation}`, { skip, timeout: 120_000 }, async () => {
    const image = `oci-layout:${golden(`${generation}/plain.oci`)}:fleet-env`;
    const { document } = await sbomOfImage(image, { ...common, format: "spdx" });
    await validate(JSON.stringify(document));
    const broken = { ...document, spdxVersion: "SPDX-9.9" };
    await assert.rejects(validate(JSON.stringify(broken)));
  });

test("the bill of specs of a store, with what their recipes say", { skip, timeout: 120_000 }, async () => {
  const { sysroot, store } = await goldenStore();
  const { document } = await sbomOfSpecs({
    ...{ ...common, environment: false, sysroot, store: store.root },
    ...{ specs: ["fleet"], format: "spdx" },
  });
  await validate(JSON.stringify(document));
});
