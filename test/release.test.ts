// Proves that a release has the same bytes each time and says what is in it, and that install.sh installs only what has
// the right checksum.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { Ajv } from "ajv";
import { findProgram } from "../scripts/peers.ts";
import { changesOf, releaseAddress, sha256Of, writeRelease } from "../scripts/release.ts";
import type { Ran } from "./support/cli.ts";
import { makeAuthority } from "./support/tls.ts";
import { temporaryFolder } from "./support/tree.ts";

const root = new URL("..", import.meta.url).pathname;
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const work = temporaryFolder();
const program = join(work, "program");
writeFileSync(program, '#!/bin/sh\necho "stave 9.9"\n', { mode: 0o755 });
writeFileSync(join(work, "package.tgz"), "a package");
const packages = ["undici", "zod", "@koromix/koffi-linux-x64"];

function release(name: string): string {
  const folder = join(work, name);
  writeRelease(folder, {
    executables: (["x64", "arm64"] as const).map((architecture) => ({
      architecture,
      path: program,
      packages,
      licenses: "licenses of packages\n",
    })),
    npmPackage: join(work, "package.tgz"),
    nodeLicense: "license of Node\n",
    date: 1_700_000_000,
  });
  return folder;
}
const made = release("release");
const name = `stave-${version}-linux-x64`;

test("a release has the same bytes each time, and a checksum of each file", () => {
  const sums = readFileSync(join(made, "SHA256SUMS"), "utf8");
  assert.equal(readFileSync(join(release("again"), "SHA256SUMS"), "utf8"), sums);
  const lines = sums.trim().split("\n");
  assert.deepEqual(
    lines.map((line) => line.slice(66)),
    readdirSync(made).filter((file) => file !== "SHA256SUMS"),
  );
  for (const line of lines) assert.equal(sha256Of(join(made, line.slice(66))), line.slice(0, 64));
  assert.ok(lines.length >= 8);
});

test("an archive has the program and its licenses, of nobody and of one time", () => {
  const listed = execFileSync("tar", ["-tvzf", join(made, `${name}.tar.gz`)], { encoding: "utf8", env: { TZ: "UTC" } });
  const lines = listed.trim().split("\n");
  assert.ok(lines.some((line) => line.startsWith("-rwxr-xr-x") && line.endsWith(`${name}/stave`)));
  assert.ok(lines.some((line) => line.endsWith(`${name}/THIRD-PARTY-LICENSES.txt`)));
  for (const line of lines) assert.match(line, / 0\/0 +\d+ 1980-01-01 00:00 /);
});

test("the bill of materials is valid and names what is inside", () => {
  const text = readFileSync(join(made, `stave-${version}.cdx.json`), "utf8");
  const folder = join(root, "node_modules/@cyclonedx/cyclonedx-library/res/schema");
  const schema = (file: string): object => JSON.parse(readFileSync(join(folder, file), "utf8"));
  const ajv = new Ajv({ strict: false, validateFormats: false });
  for (const file of ["spdx.SNAPSHOT", "jsf-0.82.SNAPSHOT", "cryptography-defs.SNAPSHOT"])
    ajv.addSchema(schema(`${file}.schema.json`), `http://cyclonedx.org/schema/${file}.schema.json`);
  const document: unknown = JSON.parse(text);
  const validate = ajv.compile(schema("bom-1.6.SNAPSHOT.schema.json"));
  assert.ok(validate(document), JSON.stringify(validate.errors));
  const { components }: { components: { name: string }[] } = JSON.parse(text);
  assert.deepEqual(
    components.map((component) => component.name),
    ["node", "@koromix/koffi-linux-x64", "undici", "zod"],
  );
});

test("the changes of a version are those below its heading", () => {
  assert.equal(changesOf("1.0", "# Changes\n\n## 1.0.1\n\n- b\n\n## 1.0 (2026)\n\n- a\n\n## 0.9\n\n- c\n"), "- a\n");
  assert.throws(() => changesOf("2", "# Changes\n"), /no changes of 2/);
  assert.equal(releaseAddress({ version: "1" }), "");
  const repository = { url: "git+https://host/owner/name.git" };
  assert.equal(releaseAddress({ version: "1", repository }), "https://host/owner/name/releases/download/v1");
});

// What the server sends in place of a file of the release.
type Answer = Buffer | "cut" | undefined;
let instead: Record<string, Answer> = {};
const server = createServer(({ url = "" }, response) => {
  const file = url.slice(url.lastIndexOf("/") + 1);
  const answer = file in instead ? instead[file] : readFileSync(join(made, file));
  if (answer === undefined) response.writeHead(404).end("not here");
  else if (answer === "cut") {
    const bytes = readFileSync(join(made, file));
    response.writeHead(200, { "content-length": bytes.length });
    response.write(bytes.subarray(0, bytes.length / 2), () => response.destroy());
  } else response.end(answer);
});
await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
after(() => server.close());
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;

const TOOLS = [
  "sh",
  "cat",
  "chmod",
  "cp",
  "cut",
  "gzip",
  "mkdir",
  "mktemp",
  "mv",
  "rm",
  "sha256sum",
  "tar",
  "uname",
  "env",
];

/** A folder with some programs only, and others in place of them. */
function path(tools: readonly string[], scripts: Record<string, string> = {}): string {
  const folder = temporaryFolder();
  for (const tool of tools) symlinkSync(findProgram(tool) ?? "/nowhere", join(folder, tool));
  for (const [tool, text] of Object.entries(scripts))
    writeFileSync(join(folder, tool), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  return folder;
}

/** Runs install.sh; asynchronously, because the server is in this process. */
function install(args: string[], env: Record<string, string>): Promise<Ran> {
  const shell = findProgram("dash") ?? "/bin/sh";
  const child = spawn(shell, [join(root, "install.sh"), ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
  const ran = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk) => {
    ran.stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    ran.stderr += chunk;
  });
  return new Promise((resolve) => child.once("close", (status) => resolve({ status, ...ran })));
}

for (const [with_, ...tools] of [
  ["curl and xz", "curl", "xz"],
  ["curl and gzip", "curl"],
  ["wget", "wget"],
] as const)
  test(`install.sh installs with ${with_}`, {
    skip: tools.some((tool) => findProgram(tool) === undefined) && `missing: ${tools.join(", ")}`,
  }, async () => {
    instead = {};
    const home = temporaryFolder();
    const env = { HOME: home, TMPDIR: temporaryFolder(), PATH: path([...TOOLS, ...tools]) };
    const ran = await install(["--url", url], env);
    assert.equal(ran.status, 0, ran.stderr);
    assert.match(ran.stdout, /^installed stave 9\.9 as .*\.local\/bin\/stave$/m);
    assert.match(ran.stdout, /export PATH=/);
    assert.equal(readFileSync(join(home, ".local/bin/stave"), "utf8"), readFileSync(program, "utf8"));
    assert.deepEqual(readdirSync(env.TMPDIR), []);
    assert.deepEqual(readdirSync(join(home, ".local/bin")), ["stave"]);
  });

const sums = readFileSync(join(made, "SHA256SUMS"), "utf8");
const archive = `${name}.tar.gz`;
const damaged = Buffer.from(readFileSync(join(made, archive)));
damaged[damaged.length >> 1] = (damaged[damaged.length >> 1] ?? 0) ^ 1;
const without = (text: string): Buffer =>
  Buffer.from(
    sums
      .split("\n")
      .filter((line) => !line.includes(text))
      .join("\n"),
  );

interface Refusal {
  readonly name: string;
  readonly instead?: Record<string, Answer>;
  readonly args?: string[];
  readonly env?: Record<string, string>;
  readonly scripts?: Record<string, string>;
  readonly says: RegExp;
}

const REFUSALS: Refusal[] = [
  { name: "a damaged archive", instead: { [archive]: damaged }, says: /has the checksum [0-9a-f]{64}, expected/ },
  { name: "a short archive", instead: { [archive]: damaged.subarray(0, 300) }, says: /has the checksum/ },
  { name: "a download that is cut off", instead: { [archive]: "cut" }, says: /cannot download .*tar\.gz/ },
  { name: "an archive that is missing", instead: { [archive]: undefined }, says: /cannot download/ },
  {
    name: "no checksum of the archive",
    instead: { SHA256SUMS: without("linux-x64") },
    says: /no checksum of an archive/,
  },
  {
    name: "checksums without an end",
    instead: { SHA256SUMS: Buffer.concat([Buffer.alloc(2 * 1024 * 1024, "a line\n"), Buffer.from(sums)]) },
    says: /cannot download .*SHA256SUMS/,
  },
  { name: "no checksums", instead: { SHA256SUMS: undefined }, says: /cannot download .*SHA256SUMS/ },
  { name: "a web page in place of the checksums", instead: { SHA256SUMS: Buffer.from("<html>") }, says: /no checksum/ },
  {
    name: "a name that leads elsewhere",
    instead: { SHA256SUMS: Buffer.from(`${"0".repeat(64)}  ../stave-1-linux-x64.tar.gz\n`) },
    says: /no checksum/,
  },
  {
    name: "another checksum",
    instead: { SHA256SUMS: Buffer.from(`${"0".repeat(64)}  ${archive}\n`) },
    says: /expected 0{64}/,
  },
  { name: "no address", args: [], says: /no address of a release is given[\s\S]*--url https/ },
  { name: "no home", env: { HOME: "" }, says: /HOME is not set[\s\S]*--to DIR/ },
  { name: "an unknown argument", args: ["--url", url, "--frob"], says: /unknown argument --frob/ },
  { name: "another system", scripts: { uname: "echo Darwin" }, says: /no single file for Darwin[\s\S]*npm install/ },
  {
    name: "another processor",
    scripts: { uname: 'if [ "$1" = -s ]; then echo Linux; else echo riscv64; fi' },
    says: /no single file for riscv64/,
  },
  { name: "a file in place of the folder", args: ["--url", url, "--to", program], says: /cannot (create|write to)/ },
];
for (const { name: what, instead: answers = {}, args = ["--url", url], env = {}, scripts = {}, says } of REFUSALS)
  test(`install.sh refuses: ${what}`, async () => {
    instead = answers;
    const home = temporaryFolder();
    const bin = join(home, ".local/bin");
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, "stave"), "an older one");
    const temporary = temporaryFolder();
    const tools = [...TOOLS, "curl"].filter((tool) => !(tool in scripts));
    const ran = await install(args, { HOME: home, TMPDIR: temporary, PATH: path(tools, scripts), ...env });
    assert.equal(ran.status, 1, ran.stdout + ran.stderr);
    assert.match(ran.stderr, says);
    assert.equal(readFileSync(join(bin, "stave"), "utf8"), "an older one");
    assert.deepEqual(readdirSync(bin), ["stave"]);
    assert.deepEqual(readdirSync(temporary), []);
  });

/** A server with TLS that has a release below /v1, and redirects what is below /http and /https. */
async function tlsServer(): Promise<{ at: string; trust: Record<string, string>; close: () => void }> {
  const authority = makeAuthority();
  const tls = createTlsServer(authority.issue("server").pem, ({ url: asked = "" }, response) => {
    const file = asked.split("/").at(-1) ?? "";
    const to = { http: url, https: `${at}/v1` }[asked.split("/")[1] ?? ""];
    if (to !== undefined) response.writeHead(302, { location: `${to}/${file}` }).end();
    else response.end(readFileSync(join(made, file)));
  });
  await new Promise<void>((done) => tls.listen(0, "127.0.0.1", done));
  const at = `https://127.0.0.1:${(tls.address() as AddressInfo).port}`;
  const settings = join(authority.folder, "wgetrc");
  writeFileSync(settings, `ca_certificate = ${authority.certificate}\n`);
  const close = (): void => {
    tls.close();
    authority.remove();
  };
  return { at, trust: { CURL_CA_BUNDLE: authority.certificate, WGETRC: settings }, close };
}

for (const tool of ["curl", "wget"])
  test(`install.sh stays with https: ${tool}`, {
    skip: findProgram(tool) === undefined && `${tool} is missing`,
  }, async () => {
    instead = {};
    const { at, trust, close } = await tlsServer();
    try {
      for (const [folder, status] of [
        ["v1", 0],
        ["https", 0],
        ["http", 1],
      ] as const) {
        const home = temporaryFolder();
        const env = { ...trust, HOME: home, TMPDIR: temporaryFolder(), PATH: path([...TOOLS, tool]) };
        const ran = await install(["--url", `${at}/${folder}`], env);
        assert.equal(ran.status, status, ran.stderr);
        if (status !== 0) assert.match(ran.stderr, /cannot download https:.*SHA256SUMS[\s\S]*redirect to http is not/);
        assert.deepEqual(readdirSync(home), status === 0 ? [".local"] : []);
        assert.deepEqual(readdirSync(env.TMPDIR), []);
      }
    } finally {
      close();
    }
  });

test("install.sh refuses a wget that follows redirects to http", async () => {
  const scripts = { wget: 'echo "wget: unrecognized option: $1" >&2; exit 1' };
  const env = { HOME: temporaryFolder(), TMPDIR: temporaryFolder(), PATH: path(TOOLS, scripts) };
  const ran = await install(["--url", "https://127.0.0.1:1/v1"], env);
  assert.equal(ran.status, 1);
  assert.match(ran.stderr, /this wget may follow a redirect from https to http[\s\S]*install curl or GNU wget/);
});

test("install.sh prints its usage", async () => {
  const help = await install(["--help"], { PATH: path(TOOLS) });
  assert.equal(help.status, 0);
  assert.match(help.stdout, /--to DIR/);
});

test("shellcheck has nothing to say of install.sh", {
  skip: findProgram("shellcheck") === undefined && "shellcheck is missing",
}, () => {
  execFileSync("shellcheck", ["--shell=sh", join(root, "install.sh")], { stdio: "pipe" });
});
