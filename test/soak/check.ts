// The invariants that must hold whenever no command runs, whatever happened before.
import { createHash } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { runStave } from "./command.ts";
import { allBelow, type Cache, fingerprint, type World } from "./world.ts";

const descriptor = z.looseObject({ digest: z.string(), size: z.number() });
const manifestSchema = z.looseObject({ config: descriptor, layers: z.array(descriptor) });
const installsSchema = z.looseObject({
  database: z.looseObject({
    installs: z.record(z.string(), z.looseObject({ path: z.string().nullish(), installed: z.boolean() })),
  }),
});
const digestOf = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** The invariants of a cache: every tag's image is complete, and all content matches its digest. */
async function checkCache(cache: Cache): Promise<string[]> {
  const problems: string[] = [];
  const wrong = (what: string): void => void problems.push(`${cache.name}: ${what}`);
  const { directory, url } = cache;
  const blobs = new Map<string, string | undefined>();
  const blob = async (digest: string): Promise<Buffer | undefined> => {
    if (directory !== undefined) {
      const file = join(directory, "blobs", digest.replace(":", "/"));
      return existsSync(file) ? readFileSync(file) : undefined;
    }
    const answer = await fetch(`${url}/blobs/${digest}`);
    return answer.ok ? Buffer.from(await answer.arrayBuffer()) : undefined;
  };
  const needs = async (tag: string, digest: string): Promise<void> => {
    if (!blobs.has(digest)) {
      const bytes = await blob(digest);
      blobs.set(digest, bytes && digestOf(bytes));
    }
    const found = blobs.get(digest);
    if (found === undefined) wrong(`${tag} needs ${digest}, which is not there`);
    else if (found !== digest) wrong(`the blob ${digest} of ${tag} has the content of ${found}`);
  };
  for await (const { tag, digest, bytes } of manifestsOf(cache)) {
    if (bytes === undefined) {
      wrong(`the manifest of ${tag} is not there`);
      continue;
    }
    if (digestOf(bytes) !== digest) wrong(`the manifest of ${tag} is not what its digest says`);
    const { config, layers } = manifestSchema.parse(JSON.parse(bytes.toString()));
    for (const each of [config, ...layers]) await needs(tag, each.digest);
  }
  if (directory !== undefined && existsSync(join(directory, "blobs/sha256")))
    for (const name of readdirSync(join(directory, "blobs/sha256")))
      if (digestOf(readFileSync(join(directory, "blobs/sha256", name))) !== `sha256:${name}`)
        wrong(`the blob ${name} has other content`);
  return problems;
}

async function* manifestsOf({
  directory,
  url,
}: Cache): AsyncIterable<{ tag: string; digest: string; bytes: Buffer | undefined }> {
  if (directory !== undefined) {
    if (!existsSync(join(directory, "index.json"))) return;
    const { manifests } = z
      .looseObject({ manifests: z.array(descriptor) })
      .parse(JSON.parse(readFileSync(join(directory, "index.json"), "utf8")));
    for (const { digest } of manifests) {
      const file = join(directory, "blobs", digest.replace(":", "/"));
      yield { tag: digest, digest, bytes: existsSync(file) ? readFileSync(file) : undefined };
    }
    return;
  }
  const list = await fetch(`${url}/tags/list`);
  if (list.status === 404) return;
  const { tags } = z.looseObject({ tags: z.array(z.string()).nullish() }).parse(await list.json());
  for (const tag of tags ?? []) {
    const answer = await fetch(`${url}/manifests/${tag}`, {
      headers: { accept: "application/vnd.oci.image.manifest.v1+json" },
    });
    const bytes = answer.ok ? Buffer.from(await answer.arrayBuffer()) : undefined;
    yield { tag, digest: answer.headers.get("docker-content-digest") ?? (bytes ? digestOf(bytes) : ""), bytes };
  }
}

// The prefixes in the database, by hash, without those of externals.
function prefixes({ store, root, disk }: World): Map<string, string> {
  const file = join(store, ".spack-db/index.json");
  if (!existsSync(file)) return new Map();
  const { installs } = installsSchema.parse(JSON.parse(readFileSync(file, "utf8"))).database;
  return new Map(
    Object.entries(installs)
      .filter(([, { installed, path }]) => installed && path?.startsWith(`${root}/`))
      .map(([hash, { path }]) => [hash, join(disk, path ?? "")]),
  );
}

// The database contains only existing prefixes.
function checkDatabase(world: World): string[] {
  return [...prefixes(world)]
    .filter(([, prefix]) => !existsSync(join(prefix, ".spack/spec.json")))
    .map(
      ([hash, prefix]) => `the database says that ${hash} is installed in ${prefix}, which is not there or not whole`,
    );
}

// Processes that still use the folder of the soak, by their working folder.
function leftProcesses({ work }: World): string[] {
  return readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
        return line.includes("dist/stave.js") && line.includes(work) ? [`process ${pid} is left: ${line}`] : [];
      } catch {
        return [];
      }
    });
}

/** The checks after a round; commands that ended in an unexpected way are problems, too. */
export async function checkAll(world: World, untouched: string, log: string): Promise<string[]> {
  const problems: string[] = [...leftProcesses(world), ...checkDatabase(world)];
  const must = async (args: string[], statuses: readonly number[] = [0]): Promise<void> => {
    const ended = await runStave(world, args, { log });
    problems.push(...ended.problems);
    if (ended.status === null || !statuses.includes(ended.status))
      problems.push(
        `${ended.line}: ended with ${ended.status} when nothing disturbed it: ${JSON.stringify(ended.report).slice(0, 1500)}`,
      );
  };
  const at = [...world.at, "-q"];
  if (existsSync(join(world.store, ".spack-db/index.json"))) await must(["verify", ...at]);
  for (const cache of world.caches) problems.push(...(await checkCache(cache)));
  // One undisturbed run repairs the leftovers, and everything works again.
  for (const cache of world.caches) {
    await must(["push", cache.location, ...world.specs, ...world.source, "--update-index", "-q"]);
    await must(["index", cache.location, "--check", "-q"]);
    await must(["install", cache.location, ...world.specs, ...at]);
    problems.push(...(await checkCache(cache)));
  }
  await must(["verify", ...at]);
  problems.push(...leftovers(world));
  await must(["uninstall", ...world.specs, "-y", "-R", ...at]);
  problems.push(...checkDatabase(world), ...leftovers(world), ...leftProcesses(world));
  if (fingerprint(world.untouched) !== untouched) problems.push(`something changed in ${world.untouched.join(" or ")}`);
  return problems;
}

// Files that only a running command may have; prefixes that the database lacks.
function leftovers(world: World): string[] {
  const { disk, store } = world;
  const known = new Set(prefixes(world).values());
  const problems: string[] = [];
  const platform = join(store, "linux-x86_64");
  if (existsSync(platform))
    for (const name of readdirSync(platform))
      if (!known.has(join(platform, name)))
        problems.push(`${join(platform, name)} is in the store and not in its database`);
  const registry = join(disk, "registry");
  for (const folder of [join(disk, "cache"), registry, join(store, ".spack-db")])
    if (existsSync(folder))
      for (const path of allBelow(folder)) {
        // A client that is killed between two requests leaves an open upload, which the registry keeps for an hour.
        if (folder === registry && path.includes("/.tmp/")) continue;
        if (/(?:^|[./-])te?mp(?:[./-]|$)/i.test(path.slice(folder.length)) && lstatSync(path).isFile())
          problems.push(`${path} was left behind`);
      }
  // Node's own cache of compiled scripts stays.
  for (const name of readdirSync(join(disk, "tmp")))
    if (name !== "node-compile-cache") problems.push(`${join(disk, "tmp", name)} was left behind`);
  return problems;
}
