// Fuzzes the headers that registries send.
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { z } from "zod";
import { parseChallenges } from "../../../lib/auth/challenge.ts";
import { Patience, parseRetryAfter } from "../../../lib/http/retry.ts";
import type { HttpRequest, HttpResponse, Transport } from "../../../lib/http/types.ts";
import { digestOf } from "../../../lib/oci/digest.ts";
import { bareMediaType } from "../../../lib/oci/mediatype.ts";
import { fetchBlob } from "../../../lib/target/registry/blobs.ts";
import { headManifest } from "../../../lib/target/registry/manifests.ts";
import { Repository } from "../../../lib/target/registry/repository.ts";
import { listTags, parseNextLink } from "../../../lib/target/registry/tags.ts";
import { openSession, status } from "../../../lib/target/registry/upload-session.ts";
import { jumpingClock } from "../../support/client.ts";
import { vector } from "../../support/vectors.ts";
import type { Family } from "../family.ts";
import { inputsOf } from "../seeds.ts";

const links = vector("link_next", z.array(z.tuple([z.string(), z.string().nullable()]))).map(([link]) => link);
const content = Buffer.from("some content of a blob");
const descriptor = { mediaType: "x/y", digest: digestOf(content), size: content.length };

type Answer = Partial<Omit<HttpResponse, "body">> & { bytes?: Buffer; breaks?: boolean };

// A repository whose registry gives these responses in turn, and then repeats the last one.
function repository(...answers: Answer[]): { repository: Repository; urls: URL[] } {
  const urls: URL[] = [];
  const next = (request: HttpRequest): HttpResponse & { bytes: Buffer } => {
    const { bytes = Buffer.alloc(0), breaks, ...rest } = answers[Math.min(urls.length, answers.length - 1)] ?? {};
    urls.push(request.url);
    async function* body() {
      yield bytes;
      if (breaks) throw Object.assign(new Error("reset"), { code: "ECONNRESET" });
    }
    return {
      status: request.accept[0] ?? 200,
      headers: {},
      url: request.url,
      ...rest,
      bytes,
      body: Readable.from(body(), { objectMode: false }),
    };
  };
  const clock = jumpingClock(0);
  const retry = { attempts: 2, milliseconds: 1000 };
  const transport: Transport = {
    request: async (request) => next(request),
    requestBytes: async (request) => next(request),
    retry,
    patience: () => new Patience(retry, clock),
    retryHooks: () => ({ clock, signal: undefined, pause: async () => {} }),
    maySendSecrets: () => false,
    isAuthentic: () => false,
    schemeFor: async () => "https",
    close: async () => {},
  };
  const options = {
    transport,
    authorizer: {} as never,
    clock,
    registry: "h.example",
    repository: "r",
  };
  return { repository: new Repository(options), urls };
}

const step = (at: Repository) => ({ patience: at.options.transport.patience() });
const text = (input: Buffer): string => input.toString("latin1");
const URLS = [
  "http://",
  "https://",
  "//",
  "/",
  "..",
  "?",
  "#",
  "@",
  ":",
  "user:pass@",
  "\\",
  "h.example",
  "[::1]",
  "%00",
  "javascript:",
  " ",
];

// The URL of the next request: over TLS or not at all, and never with a password that the registry chose.
function checkUrl(url: URL): void {
  assert.match(url.protocol, /^https:$/, url.href);
}

export const family: Family = {
  name: "headers",
  targets: [
    {
      name: "www-authenticate",
      seeds: inputsOf("www_authenticate"),
      words: ["Bearer ", "Basic ", "realm=", '"', "\\", ",", "=", " ", "scope=", "service=", "\t"],
      run: (input) => parseChallenges(text(input)),
    },
    {
      name: "link",
      seeds: links,
      words: ["<", ">", ";", "rel=", "next", '"', ",", "\\", "=", " ", "title="],
      run: (input) => parseNextLink(text(input)),
    },
    {
      name: "retry-after",
      seeds: ["5", "Fri, 31 Dec 1999 23:59:59 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "120 "],
      words: ["GMT", ",", ":", "1999", "-", "+", "e", "."],
      run: (input) => {
        const wait = parseRetryAfter(text(input), 0);
        assert.ok(wait === undefined || (Number.isFinite(wait) && wait >= 0), String(wait));
      },
    },
    {
      name: "content types",
      seeds: ["application/vnd.oci.image.manifest.v1+json; charset=utf-8", "a/b;c"],
      words: [";", "/", " ", "=", '"'],
      run: (input) => bareMediaType(text(input)),
    },
    {
      name: "locations of uploads",
      seeds: [
        "/v2/r/blobs/uploads/1?_state=x",
        "https://h.example/up/1",
        "http://h.example/up",
        "https://other/x",
        "../x",
      ],
      words: URLS,
      run: async (input) => {
        const { repository: at } = repository({
          headers: { location: text(input), "oci-chunk-min-length": text(input) },
        });
        const { url, chunk } = await openSession(at, step(at));
        checkUrl(url);
        assert.ok(chunk > 0 && chunk <= 128 << 20);
      },
    },
    {
      name: "ranges of uploads",
      seeds: ["0-0", "0-41", "bytes=0-7", "0-999999999999999"],
      words: ["bytes", "=", "-", "/", "*"],
      run: async (input) => {
        const { repository: at } = repository({
          headers: { location: "/x", range: text(input), "oci-chunk-min-length": text(input) },
        });
        const found = await status(at, await openSession(at, step(at)), step(at));
        assert.ok(Number.isSafeInteger(found?.offset) && (found?.offset ?? -1) >= 0);
      },
    },
    {
      name: "content ranges",
      seeds: [`bytes 4-${content.length - 1}/${content.length}`, "bytes 4-", "bytes */9"],
      words: ["bytes ", "-", "/", "*", "4"],
      run: async (input) => {
        const { repository: at } = repository(
          { bytes: content.subarray(0, 4), breaks: true },
          { status: 206, bytes: content.subarray(4), headers: { "content-range": text(input) } },
        );
        const pieces: Buffer[] = [];
        for await (const piece of await fetchBlob(at, descriptor)) pieces.push(piece);
        assert.ok(Buffer.concat(pieces).equals(content));
      },
    },
    {
      name: "tag lists",
      seeds: ['{"name":"r","tags":["a","b"]}', '{"tags":null}', '{"tags":["../x"]}'],
      words: ['"tags":', "[", "]", '"', ",", "null", "\\u001b", "\\n", "/"],
      run: async (input) => {
        const { repository: at, urls } = repository(
          { bytes: input, headers: { link: links[0] ?? "" } },
          { bytes: input },
        );
        for await (const tag of listTags(at)) assert.equal(typeof tag, "string");
        for (const url of urls) checkUrl(url);
      },
    },
    {
      name: "headers of manifests",
      seeds: [`${digestOf(content)}`, "sha256:x", "22"],
      words: ["sha256:", "a".repeat(64), ",", " ", "application/json"],
      run: async (input) => {
        const { repository: at } = repository({
          headers: {
            "docker-content-digest": text(input),
            "content-length": text(input),
            "content-type": text(input),
            etag: text(input),
          },
        });
        return await headManifest(at, "latest");
      },
    },
  ],
};
