// Compares what `stave check-run` says of a real environment over several base images with what happens when it is
// started there. Needs python3, gcc, patchelf and buildah.
// usage: tsx scripts/real-runs.ts [NAME=FOLDER…]      a FOLDER is a root file system, for example made by debootstrap
import { execFileSync, spawnSync } from "node:child_process";
import { globSync, mkdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { isMain } from "./is-main.ts";
import { GREETING, lackingForRealPython, makeFileBase, makeRealEnvironment } from "./real-python.ts";

const STAVE = resolve(import.meta.dirname, "../dist/stave.js");

/** What was said, and what happened. */
export interface RealRun {
  readonly image: string;
  readonly base: string;
  /** `starts`, or the code of the first error. */
  readonly verdict: string;
  /** `runs`, or the end of what was printed. */
  readonly outcome: string;
  readonly agrees: boolean;
  /** The size of the layers of specs, in bytes. */
  readonly size: number;
}

/** How podman and buildah are called. */
export interface Tools {
  readonly flags: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

const KINDS: Readonly<Record<string, readonly string[]>> = {
  whole: [],
  "slim, stripped": ["--slim", "--strip"],
};

/** Pushes, checks and starts the environment over each base; `folders` are root file systems, by name. */
export function realRuns(work: string, folders: Readonly<Record<string, string>>, tools: Tools): RealRun[] {
  const { root, spec, glibc } = makeRealEnvironment(join(work, "store"));
  const layout = (name: string): string => join(work, name.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-"));
  const bases: [string, Parameters<typeof makeFileBase>[2]][] = [
    ["this machine's glibc", { files: glibc }],
    ["glibc without libm", { files: glibc.filter((path) => !path.includes("/libm.")) }],
    ...globSync("/lib/ld-musl-*.so.1").map((path): (typeof bases)[number] => ["musl", { files: [path] }]),
    ...Object.entries(folders).map(([name, folder]): (typeof bases)[number] => [name, { folder }]),
  ];
  const runs: RealRun[] = [];
  for (const [base, content] of bases) {
    makeFileBase(layout(base), "base", content);
    for (const [image, flags] of Object.entries(KINDS)) {
      // A slim image has no chance where the whole one does not start.
      if (runs.some((run) => run.base === base && run.verdict !== "starts")) continue;
      const name = `oci-layout:${join(work, "images")}:${layout(`${base} ${image}`).split("/").at(-1)}`;
      const [, directory = "", tag = ""] = name.split(":");
      const over = ["--base-image", `oci-layout:${layout(base)}:base`, "--no-check-run", ...flags];
      const pushed = stave(work, ["push", "--store", root, `oci-layout:${directory}`, spec, "--tag", tag, ...over]);
      if (pushed.status !== 0) throw new Error(pushed.stderr);
      const checked = stave(work, ["check-run", name, "--json"]);
      const { report } = JSON.parse(checked.stdout);
      const [first] = report.verdicts[0].findings.filter(({ severity }: { severity: string }) => severity === "error");
      const outcome = started(name.replace("oci-layout:", "oci:"), tools);
      const agrees = (checked.status === 0) === (outcome === "runs") && (first === undefined) === (outcome === "runs");
      const sized = JSON.parse(stave(work, ["size", name, "--json"]).stdout).report;
      runs.push({ image, base, verdict: first?.code ?? "starts", outcome, agrees, size: sized.bytes });
    }
  }
  return runs;
}

function stave(work: string, args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  const env = { ...process.env, XDG_CACHE_HOME: join(work, "xdg"), SPACK_ROOT: "" };
  return spawnSync(process.execPath, [STAVE, ...args], { encoding: "utf8", env, maxBuffer: 1 << 28 });
}

// buildah copies the output itself, and on a busy machine sometimes ends before it has copied anything.
function started(image: string, { flags, env }: Tools): string {
  const options = { encoding: "utf8", env: { ...process.env, ...env } } as const;
  const container = execFileSync("buildah", [...flags, "from", "-q", image], options).trim();
  const args = [...flags, "run", "--isolation", "chroot", container, "--", "greet"];
  for (let tries = 1; ; tries++) {
    const { status, stdout, stderr } = spawnSync("buildah", args, options);
    if (GREETING.test(stdout)) return "runs";
    if (status === 0 && tries < 5) continue;
    const said =
      stderr
        .trim()
        .split("\n")
        .find((line) => !/^time=|exit status/.test(line)) ?? `status ${status}`;
    return said.replaceAll(/[^\s:`']*\//g, "").slice(0, 200);
  }
}

function main(args: readonly string[]): void {
  const lacking = lackingForRealPython();
  if (lacking !== undefined) throw new Error(lacking);
  const folders = Object.fromEntries(
    args.map((arg) => {
      const [, name, folder] = /^([^=]+)=(.+)$/.exec(arg) ?? [];
      if (name === undefined || folder === undefined) throw new Error(`${arg} is not NAME=FOLDER`);
      return [name, realpathSync(folder)];
    }),
  );
  // podman and buildah take the path of a layout for a name, which must be in lower case.
  const work = join(realpathSync(tmpdir()), `stave-real-${process.pid}`);
  mkdirSync(work);
  try {
    const config = join(work, "containers.conf");
    writeFileSync(config, '[containers]\ndefault_ulimits = ["nofile=1000:1000", "nproc=1000:1000"]\n');
    const policy = join(work, "home/.config/containers/policy.json");
    mkdirSync(join(policy, ".."), { recursive: true });
    writeFileSync(policy, '{"default":[{"type":"insecureAcceptAnything"}]}');
    const flags = ["--root", join(work, "storage"), "--runroot", join(work, "run"), "--storage-driver", "vfs"];
    const env = { CONTAINERS_CONF: config, HOME: join(work, "home"), TMPDIR: work, XDG_RUNTIME_DIR: work };
    const runs = realRuns(work, folders, { flags, env });
    console.log("| base | image | size | check-run | started | |\n| --- | --- | ---: | --- | --- | --- |");
    for (const { base, image, size, verdict, outcome, agrees } of runs)
      console.log(
        `| ${base} | ${image} | ${(size / 1e6).toFixed(1)} MB | ${verdict} | ${outcome} | ${agrees ? "agree" : "DIFFER"} |`,
      );
    if (runs.some(({ agrees }) => !agrees)) process.exitCode = 1;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

if (isMain(import.meta)) main(process.argv.slice(2));
