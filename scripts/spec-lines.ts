// Updates testdata/spec-lines.json: the command lines in it, with the specs that real Spack finds for each in the
// golden store.
// usage: SPACK_ROOT=DIR node scripts/spec-lines.ts
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { askSpecLines, type SpecLine } from "../test/support/spack.ts";

const file = join(import.meta.dirname, "../testdata/spec-lines.json");
const lines: SpecLine[] = JSON.parse(readFileSync(file, "utf8"));
const answers = await askSpecLines(lines.map(({ words }) => words));
writeFileSync(file, `[\n${answers.map((line) => `  ${JSON.stringify(line)}`).join(",\n")}\n]\n`);
