// Proves that the command refuses hostile archives and trees, as root and as another user: each with the right code, in
// time, and writing nothing outside the store, the caches and temporary folders.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { updateIndex } from "../../lib/cache/index-update.ts";
import { OciCache } from "../../lib/cache/oci-cache.ts";
import { digestOf } from "../../lib/oci/digest.ts";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { systemClock } from "../../lib/util/time.ts";
import { HOSTILE, hostileArchive } from "../../scripts/make-hostile.ts";
import { findProgram } from "../../scripts/peers.ts";
import { madeSpec, pushSpec } from "../support/caches.ts";
import {
  asUser,
  checkOutside,
  makePlace,
  me,
  own,
  type Place,
  type Ran,
  run,
  unusable,
  users,
} from "../support/hostile-place.ts";
import { makeTree } from "../support/tree.ts";

const root = new URL("../..", import.meta.url).pathname;

test("the committed archives are those of the script", () => {
  for (const each of HOSTILE) {
    const packed = readFileSync(join(root, `testdata/hostile/${each.name}.tar.gz`));
    assert.ok(gunzipSync(packed).equals(hostileArchive(each)), each.name);
  }
});

interface Corpus extends Place {
  /** By name of the archive. */
  readonly hashes: ReadonlyMap<string, string>;
}

/** A place whose cache has the whole corpus. */
async function makeCorpus(user: number): Promise<Corpus> {
  const place = makePlace(user);
  const target = await LayoutTarget.open(place.cache, { clock: systemClock, create: true });
  const hashes = new Map<string, string>();
  for (const { name } of HOSTILE) {
    const packed = readFileSync(join(root, `testdata/hostile/${name}.tar.gz`));
    const spec = madeSpec(name, "1.0");
    await pushSpec(target, spec, { archive: { packed, diffId: digestOf(gunzipSync(packed)) } });
    hashes.set(name, spec.root.hash);
  }
  await updateIndex(new OciCache(target));
  await target.close();
  own(place);
  return { ...place, hashes };
}

/** The store has neither prefixes nor what a run leaves behind. */
function checkStore({ store }: Place): void {
  const left = readdirSync(store).filter((name) => name.startsWith("linux"));
  for (const name of left) assert.deepEqual(readdirSync(join(store, name)), [], name);
}

const installAll = ({ cache, store, hashes }: Corpus): string[] => {
  const where = ["--store", store, "--no-env", "--otherarch", "--unsigned", "--json"];
  return ["install", `oci-layout:${cache}`, ...where, ...Array.from(hashes.values(), (hash) => `/${hash}`)];
};

interface Report {
  readonly specs: readonly { readonly name: string; readonly outcome: string; readonly error?: { code: string } }[];
}

function checkRefused(ran: Ran): void {
  const { report }: { report: Report } = JSON.parse(ran.stdout);
  assert.deepEqual(
    Object.fromEntries(report.specs.map(({ name, outcome, error }) => [name, error?.code ?? outcome])),
    Object.fromEntries(HOSTILE.map(({ name, code }) => [name, code])),
    ran.stderr,
  );
}

for (const user of users)
  describe(asUser(user), { skip: unusable(user) }, () => {
    test("install refuses every archive of the corpus, and leaves nothing", async () => {
      const place = await makeCorpus(user);
      const ran = await run(place, installAll(place));
      checkRefused(ran);
      checkOutside(place, ran);
      checkStore(place);
    });

    test("download takes them as they are, and writes nothing but what it was asked for", async () => {
      const place = await makeCorpus(user);
      const to = join(place.folder, "home/to");
      for (const name of ["times-link", "absolute", "device"]) {
        const hash = place.hashes.get(name) ?? "";
        const ran = await run(place, ["download", `/${hash}`, "-p", to, "-m", `oci-layout:${place.cache}`, "--no-env"]);
        assert.equal(ran.status, 0, ran.stderr);
        const stem = `${name}-1.0-${hash}`;
        assert.deepEqual(readdirSync(to).toSorted(), [`${stem}.spack`, `${stem}.spec.json`]);
        rmSync(to, { recursive: true });
        // Links in the places of the files are replaced, and not followed.
        makeTree(
          to,
          [".spack", ".spack.part", ".spec.json", ".spec.json.part"].map((end) => ({
            type: "symlink",
            path: `${stem}${end}`,
            target: join(place.folder, "canary/victim"),
          })),
        );
        own(place);
        const again = await run(place, [
          "download",
          `/${hash}`,
          "-p",
          to,
          "-m",
          `oci-layout:${place.cache}`,
          "--no-env",
        ]);
        assert.equal(again.status, 0, again.stderr);
        assert.deepEqual(readdirSync(to).toSorted(), [`${stem}.spack`, `${stem}.spec.json`]);
        checkOutside(place, ran, again);
        rmSync(to, { recursive: true });
      }
    });

    test("why-miss reads them all, and leaves nothing", async () => {
      const place = await makeCorpus(user);
      for (const name of ["times-link", "spec-link", "lists-link", "growing", "many-values"]) {
        const hash = place.hashes.get(name);
        const where = ["--store", place.store, "--no-env", "--json"];
        const ran = await run(place, ["why-miss", `oci-layout:${place.cache}`, `/${hash}`, ...where]);
        JSON.parse(ran.stdout);
        checkOutside(place, ran);
      }
    });

    test("relocate changes nothing behind the links of a tree", async () => {
      for (const [name, target] of [
        ["link", "canary/victim"],
        ["dangling", "canary/new"],
        ["fifo", undefined],
      ] as const) {
        const place = makePlace(user);
        const tree = join(place.folder, "tree");
        makeTree(tree, [
          { type: "file", path: "bin/text", content: "/old/store/x\n" },
          { type: "symlink", path: "out", target: join(place.folder, "canary") },
          { type: "symlink", path: "bin/link", target: join(place.folder, "canary/victim") },
          { type: "dir", path: ".spack" },
        ]);
        const manifest = join(tree, ".spack/install_manifest.json");
        if (target === undefined) execFileSync("mkfifo", [manifest]);
        else symlinkSync(join(place.folder, target), manifest);
        own(place);
        const ran = await run(place, ["relocate", tree, "--from", "/old/store", "--to", "/new", "--json"]);
        assert.equal(JSON.parse(ran.stdout).error?.code, "ARCHIVE_UNSAFE", `${name}: ${ran.stdout}`);
        checkOutside(place, ran);
      }
    });
  });

test("under strace: nothing is opened for writing but the store, the caches and temporary files", {
  skip: cannotTrace(),
}, async () => {
  const place = await makeCorpus(me);
  const log = join(place.folder, "tmp/trace");
  const ran = await run(place, installAll(place), ["strace", "-f", "-y", "-o", log, "-e", "trace=%file"]);
  checkRefused(ran);
  const written = openedForWriting(readFileSync(log, "utf8"));
  rmSync(log);
  checkOutside(place, ran);
  assert.ok(written.some((path) => path.startsWith(`${place.store}/`)));
  const may = [place.store, place.cache, join(place.folder, "home"), join(place.folder, "tmp"), "/dev", "/proc"];
  assert.deepEqual(
    written.filter((path) => !may.some((folder) => path.startsWith(`${folder}/`))),
    [],
  );
});

// The paths of what was opened, as the system resolved them.
function openedForWriting(trace: string): string[] {
  const begun = new Map<string, string>();
  const paths = new Set<string>();
  for (const line of trace.split("\n")) {
    const process = line.split(" ", 1)[0] ?? "";
    if (line.endsWith("<unfinished ...>")) {
      begun.set(process, line);
      continue;
    }
    const whole = line.includes(" resumed>") ? `${begun.get(process) ?? ""}${line}` : line;
    const [, path] = /\) += +\d+<([^>]*)>$/.exec(whole) ?? [];
    if (path !== undefined && /\bO_(?:WRONLY|RDWR|CREAT|TRUNC)\b/.test(whole)) paths.add(path);
  }
  return [...paths];
}

function cannotTrace(): string | false {
  if (findProgram("strace") === undefined) return "there is no strace here";
  try {
    execFileSync("strace", ["-f", "-o", "/dev/null", "true"], { stdio: "pipe" });
    return false;
  } catch (error) {
    return `strace does not work here: ${error instanceof Error ? error.message.split("\n").at(-1) : error}`;
  }
}
