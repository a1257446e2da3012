// Proves that no secret and no terminal escape sequence gets into the output, even if a registry echoes whatever it
// receives.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { digestOf } from "../../lib/oci/digest.ts";
import { OCI_INDEX, OCI_MANIFEST } from "../../lib/oci/mediatype.ts";
import { stave } from "../support/cli.ts";
import { goldenStore } from "../support/push.ts";
import { startRegistry } from "../support/registry.ts";
import { temporaryFolder } from "../support/tree.ts";

const PASSWORD = 'p"ss w/rd+é%3D';
const TOKEN = "eyJhbGciOiJub25lIn0.dG9rZW4tb2YtdGhlLXRlc3Q.c2ln";
const REFRESH = "refresh-0123456789";
const SIGNATURE = "0f".repeat(32);
const REALM_KEY = "realm-key-secret";
const LINK_VALUE = "link-value-secret";

const basicOf = (password: string): string => Buffer.from(`me:${password}`).toString("base64");

/** A password in every encoding in which it may be sent. */
const encodings = (password: string): string[] => [
  password,
  JSON.stringify(password).slice(1, -1),
  Buffer.from(password).toString("latin1"),
  encodeURIComponent(password),
  encodeURIComponent(password).replace(/%../g, (part) => part.toLowerCase()),
  new URLSearchParams({ a: password }).toString().slice(2),
  Buffer.from(password).toString("base64"),
  basicOf(password),
  basicOf(password).replace(/=+$/, ""),
  encodeURIComponent(basicOf(password)),
];
/** What is echoed: the secrets sent to the registry so far. */
let secrets: string[] = [];
const EVIL =
  "\u001b[2J\u001b]0;title\u0007\u009b31m\u202ereversed\u2066\u200b\u00ad\u2028\u061c\u180e\ufeff\ufe0f\u{e0041}\r\u0000\u007f";
const INVISIBLE = /[[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{DI}]--\n]/v;

// All known secrets, once in each encoding, as text for one or several lines.
const echo = (): string => `${secrets.join(" ")} ${EVIL}\nerror: forged line\n::error::forged`;
// As bytes of UTF-8; the signature is not known yet when headers are traced.
const echoedHeader = (): string =>
  [...secrets.filter((secret) => secret !== SIGNATURE), "\u009b31m\u00ad"]
    .map((text) => Buffer.from(text).toString("latin1"))
    .join(" ");

let base = "";
/** The response once the token is right. */
let answer: (request: IncomingMessage, response: ServerResponse) => void = refuse;

function refuse(_request: IncomingMessage, response: ServerResponse): void {
  const entry = { code: `DENIED ${secrets.at(-1)}`, message: echo(), detail: { [echo()]: [echo()] } };
  response.writeHead(403, {
    "docker-echo": echoedHeader(),
    server: echoedHeader(),
    etag: echoedHeader(),
    location: `/elsewhere?a=${LINK_VALUE}&b=${TOKEN}`,
    link: `</v2/org/app/tags/list?last=${LINK_VALUE}>; rel="next"`,
  });
  response.end(JSON.stringify({ errors: [entry] }));
}

const config = () => ({
  architecture: "amd64",
  os: "linux",
  rootfs: { type: "layers", diff_ids: [] },
  config: { Env: [`A=${echo()}`], Labels: { [`label ${echo()}`]: echo() }, Cmd: [echo()], User: TOKEN },
  history: [{ created_by: echo() }],
});

/** An image in which every text is an echo, reached through a signed URL. */
function image(request: IncomingMessage, response: ServerResponse): void {
  const body = Buffer.from(JSON.stringify(config()));
  const { pathname, searchParams } = new URL(request.url ?? "", base);
  if (pathname.endsWith("/tags/list")) {
    const isFirst = !searchParams.has("last");
    const link = { link: `</v2/org/app/tags/list?n=1&last=${LINK_VALUE}>; rel="next"` };
    response.writeHead(200, isFirst ? link : {});
    return void response.end(JSON.stringify({ tags: [isFirst ? "one" : "two"] }));
  }
  if (pathname.includes("/blobs/")) {
    if (pathname.startsWith("/v2/"))
      return void response.writeHead(307, { location: `/signed/blobs/x?X-Amz-Signature=${SIGNATURE}` }).end();
    return void response.writeHead(200, { "content-length": body.length }).end(body);
  }
  if (pathname.includes("/referrers/")) {
    const referrer = {
      mediaType: OCI_MANIFEST,
      digest: digestOf("a signature"),
      size: 1,
      artifactType: `application/${TOKEN}${EVIL}`,
      annotations: { [`key ${echo()}`]: echo() },
    };
    return void response.end(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [referrer] }));
  }
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      artifactType: `application/${EVIL}${TOKEN}`,
      config: {
        mediaType: "application/vnd.oci.image.config.v1+json",
        digest: digestOf(body),
        size: body.length,
        annotations: { key: echo() },
        platform: { os: EVIL, architecture: `${REFRESH}\u001b\u202e` },
      },
      layers: [],
      annotations: { [`key ${echo()}`]: echo(), "org.opencontainers.image.title": basicOf(PASSWORD) },
    }),
  );
  response.writeHead(200, {
    "content-type": OCI_MANIFEST,
    "content-length": manifest.length,
    "docker-content-digest": digestOf(manifest),
    "docker-echo": echoedHeader(),
  });
  response.end(manifest);
}

const server = createServer((request, response) => {
  const { authorization } = request.headers;
  if (request.url?.startsWith("/token")) {
    if (authorization !== `Basic ${basicOf(PASSWORD)}`) return refuse(request, response);
    return response.end(JSON.stringify({ token: TOKEN, refresh_token: REFRESH, expires_in: 300 }));
  }
  if (request.url?.startsWith("/v2/") && authorization !== `Bearer ${TOKEN}`) {
    const realm = `${base}/token?api_key=${REALM_KEY}&other=${encodeURIComponent(PASSWORD)}`;
    const parameters = `realm="${realm}",service="x",scope="repository:org/app:pull"`;
    return response.writeHead(401, { "www-authenticate": `Bearer ${parameters}` }).end();
  }
  return answer(request, response);
});

before(async () => {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => server.close());

const folder = temporaryFolder();

function assertClean(text: string, where: string): void {
  for (const secret of [...secrets, LINK_VALUE]) assert.ok(!text.includes(secret), `${where} shows ${secret}: ${text}`);
  // No part of a secret remains beside its mask, not even the end of its base64.
  assert.doesNotMatch(text, /\*\*\*(?:=|%3d)/i, where);
  const found = INVISIBLE.exec(text);
  assert.equal(found, null, `${where} has U+${found?.[0].codePointAt(0)?.toString(16)}: ${JSON.stringify(text)}`);
  assert.doesNotMatch(text, /^(?:error: forged|::error::forged)/m, where);
}

const src = () => `oci+http://${new URL(base).host}/org/app:1`;
const cases: { name: string; answer: typeof answer; args: () => string[]; says: RegExp; password?: string }[] = [
  {
    name: "an error",
    answer: refuse,
    args: () => ["tags", src().replace(/:1$/, "")],
    says: /the registry says: DENIED/,
  },
  { name: "a page of tags", answer: image, args: () => ["tags", src().replace(/:1$/, "")], says: /one\n.*two/s },
  { name: "an image", answer: image, args: () => ["inspect", src()], says: /title|label/ },
  {
    name: "an error of a copy",
    answer: refuse,
    args: () => ["copy", src(), `oci-layout:${join(folder, "copy")}`],
    says: /the registry says: DENIED/,
  },
  {
    name: "an error of the token service",
    answer: refuse,
    args: () => ["inspect", src()],
    says: /did not accept the credentials|refused access/,
    password: `wrong${PASSWORD}`,
  },
];
for (const { name, answer: given, args, says, password = PASSWORD } of cases)
  test(`${name} that echoes secrets and control characters`, async () => {
    answer = given;
    secrets = [...encodings(password), REALM_KEY];
    if (password === PASSWORD) secrets.push(REFRESH, TOKEN);
    if (given === image) secrets.push(SIGNATURE);
    const trace = join(folder, `${name.replaceAll(" ", "-")}.jsonl`);
    const env = {
      STAVE_REGISTRY: new URL(base).host,
      STAVE_USERNAME: "me",
      STAVE_PASSWORD: password,
      GITHUB_ACTIONS: "true",
      // Logs of GitHub Actions would otherwise be coloured by stave's own escape sequences.
      NO_COLOR: "1",
      GITHUB_STEP_SUMMARY: join(folder, "summary.md"),
    };
    const ran = await stave([...args(), "-v", "--trace", trace, "--retries", "0", "--color", "never"], { env });
    assert.match(ran.stdout + ran.stderr, says);
    assertClean(ran.stdout, "stdout");
    assertClean(ran.stderr, "stderr");
    assert.ok(readFileSync(trace, "utf8").includes("/v2/"));
    assertClean(readFileSync(trace, "utf8"), "the trace");
    const json = await stave([...args(), "--json", "--retries", "0"], { env });
    assertClean(json.stdout, "JSON");
    assertClean(json.stderr, "stderr with --json");
    const document = JSON.parse(json.stdout);
    if (given === image && args()[0] === "inspect")
      assert.ok(JSON.stringify(document).includes(JSON.stringify(EVIL).slice(1, -1)), "data is kept");
    if (existsSync(env.GITHUB_STEP_SUMMARY)) assertClean(readFileSync(env.GITHUB_STEP_SUMMARY, "utf8"), "the summary");
  });

test("a push of which a part fails: the summary and the notes of a workflow run", async () => {
  const inner = await startRegistry();
  after(inner.close);
  answer = (request, response) => {
    if (request.method !== "PUT" || !/\/manifests\/(?:hull|rigging)-/.test(request.url ?? ""))
      return void inner.handle(request, response);
    request.resume();
    // An address that becomes part of the message.
    if (request.url?.includes("rigging"))
      return void response.writeHead(301, { location: `http://${REFRESH}.example/${TOKEN}` }).end();
    const errors = [{ code: "MANIFEST_INVALID", message: echo(), detail: echo() }];
    response.writeHead(400).end(JSON.stringify({ errors }));
  };
  secrets = [...encodings(PASSWORD), REALM_KEY, REFRESH, TOKEN];
  const { sysroot } = await goldenStore();
  const place = `oci+http://${new URL(base).host}/org/app`;
  const args = ["push", "--sysroot", sysroot, "--store", "/opt/harbor/store", place, "fleet", "-t", "app"];
  const work = temporaryFolder();
  const [summary, trace] = [join(work, "summary.md"), join(work, "trace.jsonl")];
  const env = {
    STAVE_REGISTRY: new URL(base).host,
    STAVE_USERNAME: "me",
    STAVE_PASSWORD: PASSWORD,
    GITHUB_ACTIONS: "true",
    NO_COLOR: "1",
    GITHUB_STEP_SUMMARY: summary,
    XDG_CACHE_HOME: work,
  };
  const more = ["-v", "--retries", "0", "--trace", trace];
  const ran = await stave([...args, ...more], { env });
  assert.equal(ran.status, 9, ran.stderr);
  assert.match(
    ran.stderr,
    /^::error::rigging@.* was not pushed: .* \(at http:\/\/\*\*\*\.example\/\*\*\*\) \[[A-Z_]+\]$/m,
  );
  assert.match(ran.stderr, /the registry says: MANIFEST_INVALID: \*\*\*/);
  assert.match(readFileSync(summary, "utf8"), /^- rigging@.* was not pushed: .* \(at http:\/\/\\?\*/m);
  const json = await stave([...args, ...more, "--json"], { env });
  const { errors }: { errors: { registry?: { message: string }[] }[] } = JSON.parse(json.stdout).error;
  assert.match(errors.find(({ registry }) => registry)?.registry?.[0]?.message ?? "", /^\*\*\* /);
  assertClean(ran.stdout, "stdout");
  assertClean(ran.stderr, "stderr");
  assertClean(json.stdout, "JSON");
  assertClean(json.stderr, "stderr with --json");
  assertClean(readFileSync(summary, "utf8"), "the summary");
  assertClean(readFileSync(trace, "utf8"), "the trace");
});

/** Proxies that fail in these ways, and repeat everything they received. */
const proxies: { name: string; answer: (head: string, body: string) => string; scheme: "oci" | "oci+http" }[] = [
  ...["407 Who", "403 No", "502 Bad"].flatMap((status) =>
    (["oci", "oci+http"] as const).map((scheme) => ({
      name: `${status.slice(0, 3)} to ${scheme}`,
      scheme,
      answer: (head: string, body: string) => `HTTP/1.1 ${status} ${head}\r\nvia: ${head}\r\n\r\n${body}`,
    })),
  ),
  { name: "nonsense", scheme: "oci", answer: (head) => `SSH-2.0-${head}\r\n\r\n` },
  { name: "nonsense to plain http", scheme: "oci+http", answer: (head) => `SSH-2.0-${head}\r\n\r\n` },
  {
    name: "a redirect",
    scheme: "oci+http",
    answer: (head) => `HTTP/1.1 307 No\r\nlocation: http://127.0.0.1:1/${encodeURIComponent(head)}\r\n\r\n`,
  },
  { name: "silence", scheme: "oci", answer: () => "" },
];
for (const { name, answer: of, scheme } of proxies)
  test(`a proxy with a password that answers with ${name}`, async () => {
    secrets = encodings(PASSWORD);
    const told = JSON.stringify({ errors: [{ code: "DENIED", message: secrets.join(" ") }] });
    const server = createTcpServer((socket) => {
      socket.on("error", () => {}).once("data", () => socket.end(of(`Basic ${basicOf(PASSWORD)}`, told)));
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const url = `http://me:${encodeURIComponent(PASSWORD)}@127.0.0.1:${(server.address() as AddressInfo).port}`;
    await failsCleanly(`${scheme}://registry.example/org/app`, url, /127\.0\.0\.1:[0-9]+/).finally(() =>
      server.close(),
    );
  });

for (const { name, url, says } of [
  { name: "refuses connections", url: (password: string) => `http://me:${password}@127.0.0.1:1`, says: /:1 refused/ },
  { name: "is of a strange kind", url: (password: string) => `ftp://me:${password}@h`, says: /not an http or https/ },
  {
    name: "has an address with a slip",
    url: (password: string) => `http://me:${password}@h:port`,
    says: /CONFIG_INVALID/,
  },
  { name: "has a broken escape", url: (password: string) => `http://me:${password}%zz@h`, says: /CONFIG_INVALID/ },
])
  test(`a proxy with a password that ${name}`, async () => {
    secrets = encodings(PASSWORD);
    await failsCleanly("oci://registry.example/org/app", url(encodeURIComponent(PASSWORD)), says);
  });

/** Lists tags through a proxy, which fails: neither output nor trace contains a secret. */
async function failsCleanly(place: string, proxy: string, says: RegExp): Promise<void> {
  const work = temporaryFolder();
  const [summary, trace] = [join(work, "summary.md"), join(work, "trace.jsonl")];
  const env = {
    HTTPS_PROXY: proxy,
    HTTP_PROXY: proxy,
    GITHUB_ACTIONS: "true",
    NO_COLOR: "1",
    GITHUB_STEP_SUMMARY: summary,
  };
  const args = ["tags", place, "-v", "--retries", "0", "--trace", trace];
  const ran = await stave(args, { env });
  assert.match(ran.stderr, says);
  assert.doesNotMatch(ran.stderr, /INTERNAL/);
  const json = await stave([...args, "--json"], { env });
  assert.equal(json.status, ran.status);
  assertClean(ran.stdout + ran.stderr, "the text");
  assertClean(json.stdout + json.stderr, "JSON");
  for (const file of [summary, trace]) if (existsSync(file)) assertClean(readFileSync(file, "utf8"), file);
}

test("colours made here stay, those from outside do not", async () => {
  answer = refuse;
  secrets = [...encodings(PASSWORD), TOKEN];
  const env = { STAVE_REGISTRY: new URL(base).host, STAVE_USERNAME: "me", STAVE_PASSWORD: PASSWORD };
  const ran = await stave(["tags", src().replace(/:1$/, ""), "--retries", "0", "--color", "always"], { env });
  const [red, bold, notBold, plain] = [31, 1, 22, 39].map((code) => `\u001b[${code}m`);
  assert.ok(ran.stderr.startsWith(`${red}${bold}error:${notBold}${plain} `), JSON.stringify(ran.stderr));
  assertClean(ran.stderr.replaceAll(/\p{Cc}\[[0-9]+m/gu, ""), "stderr");
});

test("a password in an address is not shown", async () => {
  for (const text of [
    "oci://me:pa55word@host.example/org/app",
    "me:pa55word@host.example/org/app",
    "ftp://me:pa@55word@h/x",
  ])
    for (const verb of [
      ["tags", text],
      ["login", text],
      ["tags", text, "--json"],
    ]) {
      const ran = await stave(verb);
      assert.equal(ran.status, 2, ran.stderr);
      assert.doesNotMatch(ran.stdout + ran.stderr, /55word/, verb.join(" "));
    }
});
