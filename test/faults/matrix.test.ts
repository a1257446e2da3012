// Proves that every verb that talks to a registry survives every network fault: each run ends in time with the right
// code, publishes nothing, and prints no secret. A fault that a verb does not meet changes nothing.
import assert from "node:assert/strict";
import { once } from "node:events";
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { after, before, describe, test } from "node:test";
import type { Context } from "../../lib/cli/machine/context.ts";
import type { VerbFactory } from "../../lib/cli/verbs/verb.ts";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { systemClock } from "../../lib/util/time.ts";
import { connect } from "../support/client.ts";
import { golden } from "../support/golden.ts";
import { goldenStore } from "../support/push.ts";
import { type Fault, type Rule, startRegistry, type TestRegistry } from "../support/registry.ts";
import { temporaryFolder } from "../support/tree.ts";

const SECRET = "s3cr3t-of-the-matrix";
const login = { kind: "basic", username: "me", password: SECRET } as const;
const ENCODED = Buffer.from(`me:${SECRET}`).toString("base64");
/** Far more than any run takes on a busy machine; a run that is still active then hangs. */
const DEADLINE = 120_000;

const plain = `oci-layout:${golden("spack-1.2/plain.oci")}`;
const TAG = "hull-1.10.1-uwlohrquwwehihrnbieawl7jsmu7l2ww.spack";

/** The places that one run uses; it has them to itself. */
interface Place {
  /** A repository with a cache, and an empty one. */
  full: string;
  empty: string;
  host: string;
  folder: string;
}

interface Verb {
  name: string;
  args: (place: Place) => string[];
  input?: string;
  /** True if the result is published, which must hold after a success only. */
  published?: (place: Place) => boolean | Promise<boolean>;
}

const { sysroot } = await goldenStore();
const isIn = async (registry: string, repository: string, tag: string) => {
  const client = connect(registry, repository, { login });
  try {
    return (await client.target.headManifest(tag)) !== undefined;
  } finally {
    await client.close();
  }
};
let registry: TestRegistry;
let runs = 0;
const slug = ({ name }: Pick<Verb, "name">) => name.replace(/\W/g, "-");
const index = (repository: string) => join(registry.directory, repository, "index.json");
/** Gives a verb a cache of its own. */
function refill(verb: Pick<Verb, "name">): void {
  cpSync(golden("spack-1.2/plain.oci"), join(registry.directory, "full", slug(verb)), { recursive: true });
}
const isAsBefore = (full: string) =>
  readFileSync(index(repositoryOf(full)), "utf8") ===
  readFileSync(join(golden("spack-1.2/plain.oci"), "index.json"), "utf8");

const verbs: Verb[] = [
  { name: "tags", args: ({ full }) => ["tags", full] },
  { name: "inspect", args: ({ full }) => ["inspect", `${full}:${TAG}`] },
  { name: "list", args: ({ full }) => ["list", full, "-a"] },
  { name: "check", args: ({ full }) => ["check", "-e", golden("spack-1.2"), "-m", full] },
  { name: "diff", args: ({ full }) => ["diff", full, plain] },
  { name: "why-miss", args: ({ full }) => ["why-miss", "hull", "-e", golden("spack-1.2"), "-m", full] },
  {
    name: "prune",
    args: ({ full, folder }) => {
      writeFileSync(join(folder, "keep"), "/uwlohrquwwehihrnbieawl7jsmu7l2ww\n");
      return ["prune", full, "-k", join(folder, "keep"), "--grace", "0s", "--yes"];
    },
    // If the index was not written, nothing may be removed.
    published: ({ full }) => !isAsBefore(full),
  },
  { name: "index", args: ({ full }) => ["index", full], published: ({ full }) => !isAsBefore(full) },
  {
    name: "download",
    args: ({ full, folder }) => ["download", "hull@1.10", "-p", folder, "-m", full],
    published: ({ folder }) => readdirSync(folder).some((name) => /^hull.*\.(?:spack|json)$/.test(name)),
  },
  {
    name: "install",
    args: ({ full, folder }) => ["install", full, "--store", join(folder, "s"), "--otherarch", "zlib-ish"],
    published: ({ folder }) =>
      existsSync(join(folder, "s/.spack-db/index.json")) &&
      /zlib-ish/.test(readFileSync(join(folder, "s/.spack-db/index.json"), "utf8")),
  },
  {
    name: "copy from",
    args: ({ full, folder }) => ["copy", `${full}:${TAG}`, `oci-layout:${folder}:copied`],
    published: async ({ folder }) => {
      if (!existsSync(join(folder, "oci-layout"))) return false;
      const target = await LayoutTarget.open(folder, { clock: systemClock });
      return (await target.headManifest("copied")) !== undefined;
    },
  },
  {
    name: "copy to",
    args: ({ empty }) => ["copy", `${plain}:${TAG}`, `${empty}:copied`],
    published: ({ empty }) => isIn(registry.host, repositoryOf(empty), "copied"),
  },
  {
    name: "push",
    args: ({ empty }) => [
      ...["push", "--sysroot", sysroot, "--store", "/opt/harbor/store", empty],
      ...["rigging", "-t", "app"],
    ],
    published: ({ empty }) => isIn(registry.host, repositoryOf(empty), "app"),
  },
  {
    name: "login",
    args: ({ host, folder }) => ["login", host, "-u", "me", "--password-stdin", "--authfile", join(folder, "auth")],
    input: `${SECRET}\n`,
    published: ({ folder }) => existsSync(join(folder, "auth")),
  },
];

const repositoryOf = (location: string) => location.split("/").slice(3).join("/");

interface FaultRow {
  name: string;
  /** The fault of the registry; undefined if the network path has one. */
  rule?: Omit<Rule, "path"> & { path?: RegExp };
  /** The network path to the registry, if that has the fault. */
  way?: { env: Record<string, string>; host: string };
  /** The possible codes. */
  codes: RegExp;
  /** The verbs that can meet it; default all. */
  only?: string[];
  /** It passes by itself. */
  passes?: boolean;
  /** Short responses and those without a body get through. */
  slow?: boolean;
}

const TIMEOUT = /\[TIMEOUT\]/;
const WRITERS = ["copy to", "push", "prune"];
const READERS = ["inspect", "list", "check", "download", "install", "copy from"];
const rows: FaultRow[] = [
  { name: "hang after accept", rule: { fault: "hang" }, codes: TIMEOUT },
  {
    name: "stall in the body",
    rule: { method: "GET", path: /manifests|blobs|tags/, fault: "stall" },
    codes: TIMEOUT,
    slow: true,
  },
  {
    name: "drip",
    rule: { method: "GET", path: /manifests|blobs|tags/, fault: { drip: 40 } },
    codes: TIMEOUT,
    slow: true,
  },
  { name: "captive portal", rule: { fault: "portal" }, codes: /\[REGISTRY_ERROR\]/ },
  {
    name: "captive portal for writes",
    rule: { method: "PUT", fault: "portal" },
    codes: /web page[^\n]*\[REGISTRY_ERROR\]/,
    only: WRITERS,
  },
  {
    name: "200 to everything that is written",
    rule: { method: "PUT", fault: "yes man" },
    codes: /\[REGISTRY_ERROR\]/,
    only: WRITERS,
  },
  {
    name: "endless large pages",
    rule: { path: /tags\/list/, fault: { endlessPages: 5_000_000 } },
    codes: /has more than 67108864 bytes \[TOO_LARGE\]/,
    // 64 MB are read and parsed, whichever verb asks.
    only: ["tags"],
  },
  {
    name: "endless small pages",
    rule: { path: /tags\/list/, fault: { endlessPages: 100 } },
    codes: /more than 100 pages with almost nothing new \[REGISTRY_ERROR\]/,
  },
  {
    name: "echo of secrets",
    rule: { fault: "echo" },
    codes: /\[DENIED\]/,
  },
  {
    name: "one flipped bit",
    rule: { method: "GET", path: /blobs/, times: 1, fault: "wrong content" },
    codes: /^/,
    passes: true,
    only: READERS,
  },
  {
    name: "flipped bits",
    rule: { method: "GET", path: /blobs/, fault: "wrong content" },
    codes: /\[DIGEST_MISMATCH\]/,
    only: READERS,
  },
  { name: "reset", rule: { fault: "reset" }, codes: /\[NETWORK\]/ },
  {
    name: "reset once",
    rule: { method: "GET", times: 1, fault: "reset" },
    codes: /^/,
    passes: true,
    only: ["tags", "inspect"],
  },
];

const servers: { server: Server; sockets: Set<Socket> }[] = [];
async function listen(server: Server): Promise<string> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => void sockets.add(socket.on("error", () => {})));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  servers.push({ server, sockets });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const muteProxy = await listen(createServer((socket) => void socket.resume()));
const refusing = createHttpServer();
refusing.on("connect", (_request, socket) => socket.end("HTTP/1.1 407 Who are you\r\n\r\n"));
const refusingProxy = await listen(refusing);
const behind = (proxy: string) => ({
  env: { HTTPS_PROXY: `http://me:${SECRET}@${proxy}`, NO_PROXY: "" },
  host: "registry.example",
});
rows.push(
  { name: "a proxy that never answers", way: behind(muteProxy), codes: /the proxy http:.*\[TIMEOUT\]/s },
  { name: "a proxy that wants a password", way: behind(refusingProxy), codes: /the proxy http:.*\[CREDENTIALS_/s },
  { name: "nothing listens", way: { env: {}, host: "127.0.0.1:1" }, codes: /\[NETWORK\]/ },
);

before(async () => {
  const directory = temporaryFolder();
  registry = await startRegistry({ login, directory });
  for (const verb of verbs) refill(verb);
});

after(async () => {
  for (const { server, sockets } of servers) {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
  await registry.close();
});

/** Runs a verb in this process, as the command does; fails if it is still running at the deadline. */
async function run([name = "", ...args]: string[], input: string, env: Record<string, string>) {
  let output = "";
  const collect = () =>
    new Writable({
      write(chunk, _encoding, done) {
        output += String(chunk);
        done();
      },
    });
  const context: Context = {
    env,
    cwd: env["HOME"] ?? "/",
    home: env["HOME"] ?? "/",
    stdin: Readable.from([Buffer.from(input)], { objectMode: false }),
    stdout: collect(),
    stderr: collect(),
    clock: systemClock,
    signal: new AbortController().signal,
    arch: "x64",
    uid: process.getuid?.(),
  };
  const state = {
    context,
    words: [name, ...args],
    allVerbs: () => Promise.resolve([]),
    exitCode: -1,
    output: undefined,
  };
  const { verb } = (await import(`../../lib/cli/verbs/${name}.ts`)) as { verb: VerbFactory };
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`still running: ${name} ${args.join(" ")}\n${output}`)), DEADLINE);
  });
  await Promise.race([verb(state).exitOverride().parseAsync(args, { from: "user" }), late]);
  clearTimeout(timer);
  return { status: state.exitCode, output };
}

/** The rule for a fault in one verb's requests, if the registry has it; calls `count` each time it occurs. */
function ruleOf(row: FaultRow, verb: Verb, { full, empty }: Place, count: () => void): Rule[] {
  if (row.rule === undefined) return [];
  const { path = /./, fault, ...rest } = row.rule;
  const here =
    verb.name === "login" && row.rule.path === undefined
      ? "^/v2/$"
      : `^/v2/(?:${repositoryOf(full)}|${repositoryOf(empty)})/.*(?:${path.source})`;
  const counted = {
    ...rest,
    path: new RegExp(here),
    get fault(): Fault {
      count();
      return fault;
    },
  };
  return [counted];
}

for (const row of rows)
  describe(row.name, { concurrency: verbs.length }, () => {
    for (const verb of verbs.filter(({ name }) => row.only?.includes(name) ?? true))
      test(verb.name, async () => {
        const folder = temporaryFolder();
        const host = row.way?.host ?? registry.host;
        const at = `${host === "registry.example" ? "oci" : "oci+http"}://${host}`;
        const place: Place = { full: `${at}/full/${slug(verb)}`, empty: `${at}/empty/r${++runs}`, host, folder };
        let met = 0;
        const rules = ruleOf(row, verb, place, () => met++);
        registry.rules.push(...rules);
        const cache = temporaryFolder();
        const trace = join(cache, "trace.jsonl");
        // Short only if the fault is about time: a busy machine is slow, too.
        const isShort = row.codes === TIMEOUT || row.way !== undefined;
        const times = isShort ? ["--timeout", "1", "--connect-timeout", "1"] : ["--timeout", "60"];
        const flags = [...times, "--retries", "1", "--min-rate", "2000"];
        const env = {
          PATH: process.env["PATH"] ?? "",
          HOME: cache,
          XDG_CACHE_HOME: cache,
          SPACK_ROOT: "",
          STAVE_REGISTRY: host,
          STAVE_USERNAME: "me",
          STAVE_PASSWORD: SECRET,
          ...row.way?.env,
        };
        const args = [...verb.args(place), ...flags, "--trace", trace];
        const { status, output } = await run(args, verb.input ?? "", env);
        for (const rule of rules) registry.rules.splice(registry.rules.indexOf(rule), 1);
        const all = output + (existsSync(trace) ? readFileSync(trace, "utf8") : "");
        for (const secret of [SECRET, ENCODED]) assert.ok(!all.includes(secret), `a secret is printed:\n${all}`);
        const isPublished = (await verb.published?.(place)) ?? false;
        if (!isAsBefore(`${at}/full/${slug(verb)}`.replace(host, registry.host))) refill(verb);
        if ((row.way === undefined && met === 0 && !isShort) || row.passes) {
          assert.ok(status === 0 || status === 1, `met ${met}, status ${status}: ${output}`);
          return;
        }
        // The body of a 404 may be incomplete, and what was fetched is verified: a success is real.
        if (row.slow && status <= 1 && (verb.published === undefined || isPublished || verb.name === "index")) return;
        assert.ok(status !== 0 && status !== 70 && status !== -1, `status ${status}:\n${output}`);
        assert.match(output, row.codes);
        assert.equal(isPublished, false, `published all the same:\n${output}`);
      });
  });
