// Proves that what every verb prints with --json, and every error, is what its published JSON Schema says, and no more
// than that.
import assert from "node:assert/strict";
import { once } from "node:events";
import { cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { after, test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { hashSync } from "bcryptjs";
import { reportSchemas, type Schema } from "../../scripts/report-schemas.ts";
import { startStave, stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";
import { noGpg } from "../support/gpg.ts";
import { startServe } from "../support/serve.ts";

const schemas = reportSchemas();
const ajv = new Ajv2020({ strict: true, strictTypes: false, strictRequired: false, allErrors: true });
const validators = new Map([...schemas].map(([verb, schema]) => [verb, ajv.compile(closed(schema) as Schema)]));

/** The same schema, but objects have no other fields than it lists: what is printed must be documented. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== "object" || schema === null) return schema;
  const all = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, closed(value)]));
  return "properties" in schema && !("additionalProperties" in schema) && "type" in schema
    ? { ...all, additionalProperties: false }
    : all;
}

const seen = new Map<string, Set<string>>();
function check(verb: string, text: string): void {
  const document = JSON.parse(text);
  const validate = validators.get(verb);
  assert.ok(validate, `there is no schema for ${verb}`);
  const isValid: boolean = validate(document);
  assert.ok(isValid, `${JSON.stringify(validate.errors, undefined, 1)}\n${text.slice(0, 3000)}`);
  const kinds = seen.get(verb) ?? new Set();
  for (const kind of ["report", "error"]) if (kind in document) kinds.add(kind);
  seen.set(verb, kinds);
}

// A short path: the binaries of the cache are not padded.
const work = mkdtempSync("/tmp/");
const env = {
  SPACK_DISABLE_LOCAL_CONFIG: "1",
  XDG_CACHE_HOME: join(work, "remembered"),
  HOME: work,
  COSIGN_PASSWORD: "pw",
};
cpSync(golden("spack-1.2/plain.oci"), join(work, "cache"), { recursive: true });
cpSync(golden("spack-1.2/plain.oci"), join(work, "served"), { recursive: true });
const [image] = JSON.parse(readFileSync(join(work, "cache/index.json"), "utf8")).manifests.filter(
  (entry: { annotations: Record<string, string> }) =>
    entry.annotations["org.opencontainers.image.ref.name"] === "fleet-env",
);
const manifestPath = join(work, "cache/blobs", image.digest.replace(":", "/"));
const configDigest: string = JSON.parse(readFileSync(manifestPath, "utf8")).config.digest;
mkdirSync(join(work, "tree"));
mkdirSync(join(work, "environment"));
writeFileSync(join(work, "environment/spack.yaml"), "spack: {}\n");
writeFileSync(join(work, "tree/file"), "#!/old/place/bin/sh\n");
writeFileSync(join(work, "keep.txt"), "");
const guarded = await startServe({
  directory: join(work, "served"),
  users: `me:${hashSync("s3cret", 4)}`,
});
after(async () => {
  await guarded.close();
  rmSync(work, { recursive: true, force: true });
});

const CACHE = "oci-layout:./cache";
const IN_STORE = ["--store", join(work, "s"), "--no-env"];

// In this order, because they build on each other.
const RUNS: { args: string[]; status?: number[]; folder?: string }[] = [
  { args: ["list", CACHE, "-a"] },
  { args: ["list", CACHE, "-a", "--tags"] },
  { args: ["search", "hul", CACHE, "-a"] },
  { args: ["list", "oci-layout:./none"], status: [5] },
  { args: ["check-run", `${CACHE}:fleet-env`], status: [1] },
  { args: ["install", CACHE, "fleet", "-o", "--plan", ...IN_STORE] },
  { args: ["install", CACHE, "fleet", "-o", ...IN_STORE] },
  { args: ["install", CACHE, "hull", "-o", "--store", `${work}/a-longer-root`, "--no-env"], status: [7, 9] },
  { args: ["install", CACHE, "nope", "-o", ...IN_STORE], status: [7] },
  { args: ["run", CACHE, "fleet", "-o", "--plan", "--", "voyage"] },
  { args: ["shell", CACHE, "fleet", "-o", "--plan"] },
  { args: ["find", ...IN_STORE] },
  { args: ["env", "fleet", ...IN_STORE] },
  { args: ["module", "tcl", "fleet", "--output", "./modules", ...IN_STORE] },
  { args: ["spec", "fleet", ...IN_STORE] },
  { args: ["spec", "fleet", "hull", "rigging", ...IN_STORE], status: [0, 2] },
  { args: ["preview", "fleet", ...IN_STORE] },
  { args: ["name", "fleet", ...IN_STORE] },
  { args: ["verify", ...IN_STORE], status: [0, 1] },
  { args: ["view", "./view", "fleet", ...IN_STORE] },
  { args: ["save-specfile", "--root-spec", "fleet", "--specs", "hull", "--specfile-dir", "./specs", ...IN_STORE] },
  { args: ["push", "oci-layout:./pushed", "hull", "--plan", ...IN_STORE] },
  { args: ["push", "oci-layout:./pushed", "hull", "--tag", "app", "--update-index", ...IN_STORE] },
  { args: ["push", "oci-layout:./pushed", "nope", ...IN_STORE], status: [7] },
  { args: ["index", CACHE, "--check", "--no-env"], status: [0, 1] },
  { args: ["index", "oci-layout:./pushed", "--full", "--no-env"] },
  { args: ["check", "--all", "--deep", "-m", CACHE, "--no-env"], status: [0, 1] },
  { args: ["web", CACHE, "-o", "site", "--images"] },
  { args: ["web", CACHE, "-o", ".", "--dry-run"], status: [2] },
  { args: ["tags", CACHE] },
  { args: ["digest", `${CACHE}:fleet-env`] },
  { args: ["manifest", `${CACHE}:fleet-env`] },
  { args: ["blob", `${CACHE}:fleet-env`, configDigest, "-o", "config.json"] },
  { args: ["tag", "oci-layout:./pushed:app", "two"] },
  { args: ["attach", "oci-layout:./pushed:app", "keep.txt", "--artifact-type", "application/x.y"] },
  { args: ["referrers", "oci-layout:./pushed:app"] },
  { args: ["delete", "oci-layout:./pushed:two", "--yes"] },
  { args: ["copy", "oci-layout:./pushed:app", "oci-layout:./copy:app"] },
  { args: ["sync", "oci-layout:./cache", `file://${work}/mirror`, "-u"] },
  { args: ["migrate", `file://${work}/mirror`, "-u"] },
  { args: ["keys", `file://${work}/mirror`] },
  ...(noGpg ? [] : [{ args: ["gpg", "list"] }]),
  { args: ["inspect", "oci-layout:./copy:app"] },
  { args: ["check-run", "oci-layout:./copy:app"] },
  {
    args: ["rebase", "oci-layout:./copy:app", "--onto", "oci-layout:./pushed:app", "--tag", "on", "--dry-run"],
    status: [0, 2, 7],
  },
  { args: ["rebase", "oci-layout:./copy", "--onto", `${guarded.host}/x:y`, "--outdated"] },
  { args: ["export", "oci-layout:./copy:app", "-o", "app.tar"] },
  { args: ["size", "oci-layout:./copy:app"] },
  { args: ["sbom", "oci-layout:./copy:app"] },
  { args: ["sbom", "fleet", "--format", "cyclonedx", "--fail-on-unknown-license", ...IN_STORE], status: [1] },
  { args: ["image-index", "oci-layout:./copy:all", "oci-layout:./copy:app"] },
  { args: ["keygen", "./mine"] },
  { args: ["sign", "oci-layout:./copy:app", "--key", "mine.key"] },
  { args: ["verify", "oci-layout:./copy:app", "--key", "mine.pub"] },
  { args: ["verify", CACHE, "--key", "mine.pub"], status: [1] },
  { args: ["trust", "show"] },
  { args: ["trust", "add", `oci-layout:${work}/copy`, "--key", "mine.pub", "--trust", "./trust.json"] },
  { args: ["trust", "show", "--trust", "./trust.json"] },
  { args: ["trust", "explain", "oci-layout:./copy:app", "--trust", "./trust.json"] },
  { args: ["trust", "remove", `oci-layout:${work}/copy`, "--trust", "./trust.json"] },
  { args: ["diff", CACHE, "oci-layout:./pushed", "--no-env"], status: [0, 1] },
  { args: ["download", "hull", "-p", "./downloaded", "-m", CACHE, "--no-env"], status: [0, 1] },
  { args: ["download", "nope", "-p", "./downloaded", "-m", CACHE, "--no-env"], status: [1, 7] },
  { args: ["why-miss", "fleet", "-m", "oci-layout:./pushed", "--from", join(work, "s"), "--no-env"], status: [0, 1] },
  { args: ["prune", "oci-layout:./pushed", "--no-env"] },
  { args: ["prune", "oci-layout:./pushed", "-k", "keep.txt", "--grace", "0s"] },
  { args: ["prune", "oci-layout:./pushed", "-k", "keep.txt", "--grace", "0s", "--yes", "--undo-file", "./undo"] },
  { args: ["prune", "oci-layout:./pushed", "--undo", "./undo"] },
  { args: ["config", "--no-env"] },
  { args: ["init", "--cache", CACHE, "--yes"] },
  { args: ["init", "--ci", "github", "--dry-run"], folder: "environment" },
  { args: ["init", "--ci", "gitlab", "--cache", "oci://registry.example.com/org/cache"], folder: "environment" },
  { args: ["completion", "bash"] },
  { args: ["doctor", CACHE, "--no-env"] },
  { args: ["doctor", `${guarded.host}/org/cache`, "--no-env", "--write"], status: [0, 1] },
  { args: ["doctor", "--write"], status: [2] },
  { args: ["relocate", "./tree", "--from", "/old/place", "--to", "/new/place", "--dry-run"] },
  { args: ["relocate", "./tree", "--from", "/old/place", "--to", "/new/place"] },
  { args: ["login", guarded.host, "-u", "me", "-p", "wrong", "--authfile", "./auth.json"], status: [3] },
  { args: ["login", guarded.host, "-u", "me", "-p", "s3cret", "--authfile", "./auth.json"] },
  { args: ["logout", guarded.host, "--authfile", "./auth.json"], status: [0, 1, 3] },
  { args: ["gc", "--plan", "--grace", "0s"] },
  { args: ["gc", "--yes", "--grace", "0s", "--keep-runs", "0s", ...IN_STORE] },
  { args: ["uninstall", "fleet", "--dry-run", ...IN_STORE] },
  { args: ["uninstall", "fleet", "--yes", ...IN_STORE] },
];
for (const { args, status = [0], folder = "." } of RUNS)
  test(`stave ${args.filter((arg) => !arg.startsWith("/")).join(" ")}`, async () => {
    // What follows `--` belongs to another program.
    const end = args.includes("--") ? args.indexOf("--") : args.length;
    const ran = await stave(args.toSpliced(end, 0, "--json"), { cwd: join(work, folder), env });
    assert.ok(status.includes(ran.status ?? -1), `${ran.status}: ${ran.stderr}\n${ran.stdout.slice(0, 1000)}`);
    check(args[0] ?? "", ran.stdout);
  });

test("stave serve", async () => {
  const server = startStave(["serve", "./served", "--listen", "127.0.0.1:0", "--json"], { cwd: work, env });
  assert.ok(server.stdout);
  const [text] = (await once(server.stdout, "data")) as [Buffer];
  check("serve", String(text));
  server.kill("SIGTERM");
  await once(server, "exit");
});

test("an error without a verb", async () => {
  for (const args of [["--json"], ["pusch", "--json"]]) check("error", (await stave(args, { cwd: work, env })).stdout);
});

test("every verb has a schema, and printed a report", () => {
  const verbs = globSync("lib/cli/verbs/*.ts", { cwd: resolve(import.meta.dirname, "../..") }).map((file) =>
    basename(file, ".ts"),
  );
  assert.deepEqual([...schemas.keys()].sort(), [...verbs.filter((verb) => verb !== "verb"), "error"].sort());
  const reported = [...seen].filter(([, kinds]) => kinds.has("report")).map(([verb]) => verb);
  const silent = new Set(["error", ...(noGpg ? ["gpg"] : [])]);
  assert.deepEqual(reported.sort(), [...schemas.keys()].filter((verb) => !silent.has(verb)).sort());
});
