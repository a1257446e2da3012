// Proves that the command refuses hostile archives and trees, as root and as another user: each with the right code, in
// time, and writing nothing outside the store, the caches and temporary folders.
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
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
import { makeTree, temporaryFolder } from "../support/tree.ts";

const root = new URL("../..", import.meta.url).pathname;
const command = join(root, "dist/stave.js");
if (!existsSync(command)) execFileSync(process.execPath, ["scripts/build.ts", "--bundle-only"], { cwd: root });

// A command that has not ended by then never would.
const DEADLINE = 240_000;
const NOBODY = 65534;
// Long, so that short prefixes grow.
const STORE = `store-${"x".repeat(60)}`;

test("the committed archives are those of the script", () => {
  for (const each of HOSTILE) {
    const packed = readFileSync(join(root, `testdata/hostile/${each.name}.tar.gz`));
    assert.ok(gunzipSync(packed).equals(hostileArchive(each)), each.name);
  }
});

interface Place {
  readonly folder: string;
  readonly cache: string;
  readonly store: string;
  /** By name of the archive. */
  readonly hashes: ReadonlyMap<string, string>;
  /** Of the user that commands run as. */
  readonly user: number;
}

/** A cache with the whole corpus, a canary beside the store, and all that a user has. */
async function makePlace(user: number): Promise<Place> {
  const folder = temporaryFolder();
  const cache = join(folder, "cache");
  mkdirSync(cache);
  const target = await LayoutTarget.open(cache, { clock: systemClock, create: true });
  const hashes = new Map<string, string>();
  for (const { name } of HOSTILE) {
    const packed = readFileSync(join(root, `testdata/hostile/${name}.tar.gz`));
    const spec = madeSpec(name, "1.0");
    await pushSpec(target, spec, { archive: { packed, diffId: digestOf(gunzipSync(packed)) } });
    hashes.set(name, spec.root.hash);
  }
  await updateIndex(new OciCache(target));
  await target.close();
  for (const name of ["home", "tmp", "canary", STORE]) mkdirSync(join(folder, name));
  writeFileSync(join(folder, "canary/victim"), "the secret of the canary");
  const place = { folder, cache, store: join(folder, STORE), hashes, user };
  own(place);
  return place;
}

function own({ folder, user }: Place): void {
  chownSync(folder, user, user);
  execFileSync("chown", ["-R", `${user}:${user}`, folder]);
}

interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(place: Place, args: readonly string[], before: readonly string[] = []): Promise<Ran> {
  const { folder, user } = place;
  const [program = "", ...rest] = [...before, process.execPath, command, ...args];
  const env = { PATH: process.env["PATH"] ?? "", HOME: join(folder, "home"), TMPDIR: join(folder, "tmp") };
  const child: ChildProcess = spawn(program, rest, {
    env,
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
    ...(user === process.getuid?.() ? {} : { uid: user, gid: user }),
  });
  let [stdout, stderr] = ["", ""];
  child.stdout?.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on("data", (chunk) => {
    stderr += chunk;
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), DEADLINE);
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  clearTimeout(timer);
  assert.notEqual(status, null, `the command did not end: ${args.join(" ")}\n${stderr}`);
  return { status, stdout, stderr };
}

/** Nothing left the places where it may be, nor was the secret printed. */
function checkOutside({ folder }: Place, ...ran: Ran[]): void {
  assert.deepEqual(readdirSync(join(folder, "canary")), ["victim"]);
  assert.equal(readFileSync(join(folder, "canary/victim"), "utf8"), "the secret of the canary");
  assert.equal(lstatSync(join(folder, "canary/victim")).nlink, 1);
  // Node keeps compiled code there.
  const temporary = readdirSync(join(folder, "tmp")).filter((name) => name !== "node-compile-cache");
  assert.deepEqual(temporary, []);
  assert.ok(!existsSync("/tmp/stave-hostile"));
  for (const { stdout, stderr } of ran) {
    assert.ok(!`${stdout}${stderr}`.includes("secret"), stderr);
    assert.ok(!`${stdout}${stderr}`.includes("\x1b]0;"), stderr);
  }
}

/** The store has neither prefixes nor what a run leaves behind. */
function checkStore({ store }: Place): void {
  const left = readdirSync(store).filter((name) => name.startsWith("linux"));
  for (const name of left) assert.deepEqual(readdirSync(join(store, name)), [], name);
}

const installAll = ({ cache, store, hashes }: Place): string[] => {
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

const me = process.getuid?.() ?? NOBODY;
const users = me === 0 ? [0, NOBODY] : [me];

for (const user of users)
  describe(user === 0 ? "as root" : "as an ordinary user", { skip: unusable(user) }, () => {
    test("install refuses every archive of the corpus, and leaves nothing", async () => {
      const place = await makePlace(user);
      const ran = await run(place, installAll(place));
      checkRefused(ran);
      checkOutside(place, ran);
      checkStore(place);
    });

    test("why-miss reads them all, and leaves nothing", async () => {
      const place = await makePlace(user);
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
        const place = await makePlace(user);
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
  const place = await makePlace(me);
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

function unusable(user: number): string | false {
  if (user === me) return false;
  try {
    execFileSync(process.execPath, [command, "--version"], { uid: user, gid: user, stdio: "pipe", cwd: "/" });
    return false;
  } catch {
    return "another user cannot run the command from here";
  }
}
