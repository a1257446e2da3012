// The main job on the embedded default, through the command line, saying what it does: an image goes from a directory
// to the embedded registry and back into another directory, and comes out the same.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { makeImage } from "./make-image.ts";

const root = new URL("..", import.meta.url).pathname;
const work = join(root, "demo-work");
const command = join(root, "dist/stave.js");
const shown = (text: string) => text.replaceAll(`${work}/`, `./${relative(process.cwd(), work)}/`);

/** Runs one command as a user would, showing it and what it says. */
function stave(...args: string[]): string {
  console.log(`\n$ stave ${shown(args.join(" "))}`);
  const { status, stdout } = spawnSync(process.execPath, [command, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    encoding: "utf8",
  });
  process.stdout.write(shown(stdout));
  if (status !== 0) throw new Error(`stave ${args[0]} ended with status ${status}`);
  return stdout;
}

/** The digest of the only image of a layout directory. */
function digestIn(directory: string): string {
  const index: { manifests: { digest: string }[] } = JSON.parse(readFileSync(join(directory, "index.json"), "utf8"));
  return index.manifests[0]?.digest ?? "none";
}

rmSync(work, { recursive: true, force: true });
const source = join(work, "image");
const served = join(work, "registry");
const back = join(work, "back");
makeImage(source, { layers: 6, size: 24e6, tag: "demo", seed: 7 });
console.log(`made an image of 6 layers and 24 MB in ${shown(source)}`);

console.log(`\n$ stave serve ${shown(served)} --listen 127.0.0.1:0`);
const server = spawn(process.execPath, [command, "serve", served, "--listen", "127.0.0.1:0", "--json"], {
  stdio: ["ignore", "pipe", "inherit"],
});
try {
  const [line] = await once(server.stdout, "data");
  const { report }: { report: { url: string } } = JSON.parse(String(line));
  const host = report.url.replace("http://", "");
  console.log(`the directory is a registry now, at ${host}`);

  stave("copy", `oci-layout:${source}:demo`, `${host}/fleet/app:demo`, "--quiet");
  stave("inspect", `${host}/fleet/app:demo`);
  stave("copy", `${host}/fleet/app:demo`, `${host}/fleet/mirror:demo`, "--quiet");
  stave("tags", `${host}/fleet/mirror`);
  stave("copy", `${host}/fleet/mirror:demo`, `oci-layout:${back}:demo`, "--quiet");
} finally {
  server.kill("SIGTERM");
}
await once(server, "exit");

const [before, after] = [digestIn(source), digestIn(back)];
if (before !== after) throw new Error(`the image changed on its way: ${before} became ${after}`);
console.log(
  `\nThe image went from a directory to a registry, was mounted into another repository without being sent again,`,
);
console.log(`and came back into a second directory with the same digest:\n  ${after}`);
console.log(`What was made is in ${shown(`${work}/`)} (remove it with \`make clean\`).`);
