// Proves that an import of the built library loads no more than it needs, in files and bytes, because times differ
// between machines.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, test } from "node:test";

const dist = resolve(import.meta.dirname, "../../dist");
const work = mkdtempSync("/tmp/");
after(() => rmSync(work, { recursive: true, force: true }));

interface Loaded {
  readonly url: string;
  readonly bytes: number;
}

/** The files that a program loads; `library` is in its scope. */
function loaded(file: string, program = ""): Loaded[] {
  const text = `
    import { registerHooks } from "node:module";
    import { statSync } from "node:fs";
    const all = [];
    registerHooks({ load(url, context, next) {
      if (url.startsWith("file:")) all.push({ url, bytes: statSync(new URL(url)).size });
      return next(url, context);
    } });
    const library = await import(${JSON.stringify(join(dist, file))});
    ${program}
    console.log(JSON.stringify(all));`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", text], {
    cwd: work,
    encoding: "utf8",
    env: { HOME: work },
  });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

// Up to a tenth more than they load today; a dependency that is loaded too early costs far more.
const MOST = [
  { part: "stave", file: "lib/index.js", files: 5, kilobytes: 15 },
  { part: "stave/oci", file: "lib/exports/oci.js", files: 33, kilobytes: 460 },
  { part: "stave/cache", file: "lib/exports/cache.js", files: 45, kilobytes: 580 },
  { part: "stave/spack", file: "lib/exports/spack.js", files: 24, kilobytes: 470 },
  { part: "stave/serve", file: "lib/exports/serve.js", files: 25, kilobytes: 385 },
];
for (const { part, file, files, kilobytes } of MOST)
  test(`an import of ${part} loads at most ${files} files of ${kilobytes} kB`, () => {
    const all = loaded(file);
    const sum = all.reduce((before, { bytes }) => before + bytes, 0);
    assert.ok(all.length <= files, `${all.length} files`);
    assert.ok(sum <= kilobytes * 1000, `${sum} bytes`);
    assert.deepEqual(
      all.filter(({ url }) => !url.includes("/dist/")),
      [],
    );
  });

const COPIES = [
  { name: "between directories loads no HTTP client", from: "oci-layout:./none", code: "NOT_FOUND", loads: false },
  { name: "from a registry loads it with the first request", from: "127.0.0.1:1/a", code: "NETWORK", loads: true },
];
for (const { name, from, code, loads } of COPIES)
  test(`a copy ${name}`, () => {
    const all = loaded(
      "lib/index.js",
      `const error = await library.copy("${from}", "oci-layout:./other", { retries: 0 }).catch((thrown) => thrown);
       if (error.code !== "${code}") throw error;`,
    );
    assert.equal(
      all.some(({ url }) => url.includes("/undici")),
      loads,
    );
  });

// Each file costs a third of a millisecond, and a package that is loaded at the start up to a tenth of a second.
test("the command loads at most 4 files of 180 kB before it knows what to do", () => {
  const text = `
    import { registerHooks } from "node:module";
    import { statSync } from "node:fs";
    const sizes = [];
    registerHooks({ load(url, context, next) {
      if (url.startsWith("file:")) sizes.push(statSync(new URL(url)).size);
      return next(url, context);
    } });
    process.on("exit", () => console.error(JSON.stringify(sizes)));
    process.argv = ["node", "stave", "--version"];
    await import(${JSON.stringify(join(dist, "stave.js"))});`;
  const { stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", text], { cwd: work, encoding: "utf8" });
  const sizes: number[] = JSON.parse(stderr);
  const sum = sizes.reduce((before, size) => before + size, 0);
  assert.ok(sizes.length > 0 && sizes.length <= 4 && sum <= 180_000, `${sizes.length} files, ${sum} bytes`);
});
