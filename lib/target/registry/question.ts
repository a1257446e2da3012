// Finds out what a registry can do by asking it. Nothing is known of it beforehand: every answer here was just given.
import { randomBytes } from "node:crypto";
import { isStaveError, messageOf, type StaveError } from "../../errors.ts";
import { headerOf, saysHtml } from "../../http/response.ts";
import type { HttpResponse } from "../../http/types.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { canonicalBytes, describe } from "../../oci/manifest.ts";
import { ACCEPT_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "../../oci/mediatype.ts";
import { CONDITIONS_HEADER } from "../target.ts";
import type { Repository, RepositoryRequest } from "./repository.ts";
import { cancel, sessionOf } from "./upload-session.ts";

/** What a registry was asked. */
export type Ability =
  | "tags"
  | "catalog"
  | "referrers"
  | "If-Match"
  | "rate limit"
  | "single POST"
  | "chunked upload"
  | "mount"
  | "delete";

/** An answer. */
export interface AbilityAnswer {
  readonly ability: Ability;
  /** Undefined if it was not asked, or gave no answer. */
  readonly can: boolean | undefined;
  /** What the registry answered, in a few words. */
  readonly says: string;
  /** True if the registry refused for want of rights, so that nothing is known. */
  readonly isRefused: boolean;
}

/** What the first request found out. */
export interface FirstAnswer {
  /** The address that was asked. */
  readonly url: string;
  /** Milliseconds. */
  readonly took: number;
  readonly status: number;
  /** It spoke as a registry does. */
  readonly isRegistry: boolean;
  /** The registry's clock minus this machine's, in milliseconds; undefined if it sent no date. */
  readonly skew: number | undefined;
}

/** The answers to questions that write, and what they could not remove. */
export interface WrittenAnswers {
  readonly answers: AbilityAnswer[];
  /** What is left in the repository, as texts. */
  readonly left: string[];
}

interface Asking {
  readonly signal: AbortSignal | undefined;
}

/** Statuses of which each question makes its own sense. */
const ANY_STATUS = [
  ...[200, 201, 202, 204, 206, 301, 302, 307, 308, 400, 401, 403, 404, 405, 406, 409, 411, 412, 413, 415, 416],
  ...[428, 429, 501],
];
const ABSENT = `sha256:${"0".repeat(64)}`;
/** A question is small, and so is its answer. */
const ANSWER_LIMIT = 4 * 1024 * 1024;

/** Asks whether there is a registry at all. Throws the transport's errors. */
export async function askFirst(
  repository: Repository,
  { signal, now }: Asking & { readonly now: () => number },
): Promise<FirstAnswer> {
  const base = await repository.base(signal);
  const url = new URL("/v2/", base);
  const started = now();
  const { transport } = repository.options;
  // Without credentials: a registry that wants some answers 401.
  const request = { method: "GET", url, accept: ANY_STATUS, op: "reach", subject: url.host, retry: false } as const;
  const response = await transport.requestBytes({ ...request, signal }, ANSWER_LIMIT);
  const ended = now();
  const date = Date.parse(headerOf(response, "date") ?? "");
  const isChallenged = response.status === 401 && headerOf(response, "www-authenticate") !== undefined;
  const isNamed = headerOf(response, "docker-distribution-api-version") !== undefined;
  const isRegistry = !saysHtml(response) && (isChallenged || isNamed || response.status === 200);
  // The date has whole seconds, and was written somewhere between question and answer.
  const skew = Number.isNaN(date) ? undefined : Math.round(date + 500 - (started + ended) / 2);
  return { url: url.href, took: ended - started, status: response.status, isRegistry, skew };
}

/** Asks questions that only read. A question without an answer is one in the list. */
export async function askReading(repository: Repository, { signal }: Asking): Promise<AbilityAnswer[]> {
  const answers: AbilityAnswer[] = [];
  const limits: string[] = [];
  const ask = async (request: Question): Promise<Reply> => {
    const reply = await put(repository, { access: "pull", signal, ...request });
    for (const name of ["ratelimit-limit", "ratelimit-remaining", "x-ratelimit-limit", "x-ratelimit-remaining"]) {
      const value = reply.response && headerOf(reply.response, name);
      if (value !== undefined) limits.push(`${name}: ${value.slice(0, 60)}`);
    }
    return reply;
  };
  const tags = await ask({ method: "GET", url: "tags/list?n=1" });
  const [tag] = tagsIn(tags.response);
  answers.push(answer("tags", tags, { yes: [200], no: [404] }, tags.status === 404 ? "no such repository yet" : ""));
  const catalog = await ask({ method: "GET", url: new URL("/v2/_catalog?n=1", await repository.base(signal)) });
  answers.push(answer("catalog", catalog, { yes: [200], no: [401, 403, 404, 405, 501] }));
  const referrers = await ask({ method: "GET", url: `referrers/${ABSENT}`, headers: { accept: OCI_INDEX } });
  answers.push(answer("referrers", referrers, { yes: [200], no: [400, 404, 405, 501] }));
  if (tag !== undefined) {
    const head = await ask({ method: "HEAD", url: `manifests/${tag}`, headers: { accept: ACCEPT_MANIFEST } });
    if (head.response && headerOf(head.response, CONDITIONS_HEADER) !== undefined)
      answers.push({ ability: "If-Match", can: true, says: "announced", isRefused: false });
  }
  const isLimited = limits.length > 0;
  const says = isLimited ? [...new Set(limits)].join(", ") : "no header names one";
  answers.push({ ability: "rate limit", can: isLimited, says, isRefused: false });
  return answers;
}

/**
 * Asks questions that write: small blobs, and a manifest with a tag if it can be deleted again. Then removes what it
 * wrote, also when it is aborted. Throws the signal's reason.
 */
export async function askWriting(repository: Repository, { signal }: Asking): Promise<WrittenAnswers> {
  const made: Made = { answers: [], blobs: [], manifests: [] };
  let left: string[] = [];
  try {
    await writeAndAsk(repository, made, (request) => put(repository, { access: "push", signal, ...request }));
  } finally {
    left = await removed(repository, made);
  }
  return { answers: made.answers, left };
}

/** What was asked and written so far. */
interface Made {
  readonly answers: AbilityAnswer[];
  /** Only random ones, which nothing else can refer to: they are deleted. */
  readonly blobs: Descriptor[];
  readonly manifests: { readonly tag: string; readonly digest: string }[];
}

async function writeAndAsk(repository: Repository, { answers, blobs, manifests }: Made, ask: Ask): Promise<void> {
  const single = blob();
  const post = await ask({
    method: "POST",
    url: `blobs/uploads/?digest=${single.descriptor.digest}`,
    headers: { "content-type": "application/octet-stream", "content-length": String(single.bytes.length) },
    body: single.bytes,
  });
  if (post.status === 201) blobs.push(single.descriptor);
  else await dropped(repository, post.response);
  answers.push(answer("single POST", post, { yes: [201], no: [202, 400, 404, 405, 411, 501] }));

  const parts = blob();
  const chunked = await inChunks(repository, parts.bytes, parts.descriptor, ask);
  if (chunked.status === 201) blobs.push(parts.descriptor);
  answers.push(answer("chunked upload", chunked, { yes: [201], no: [400, 404, 405, 411, 413, 416, 501] }));

  const [layer] = blobs;
  if (layer !== undefined) {
    const name = encodeURIComponent(repository.options.repository);
    const mounted = await ask({
      method: "POST",
      url: `blobs/uploads/?mount=${layer.digest}&from=${name}`,
      headers: { "content-length": "0" },
    });
    if (mounted.status !== 201) await dropped(repository, mounted.response);
    answers.push(answer("mount", mounted, { yes: [201], no: [202, 400, 404, 405, 501] }));
  }

  const gone = await ask({ method: "DELETE", url: `manifests/${ABSENT}`, access: "delete" });
  answers.push(answer("delete", gone, { yes: [202, 404], no: [400, 405, 501] }));
  // A tag that could not be removed again is not made.
  if (layer === undefined || (gone.status !== 404 && gone.status !== 202)) return;
  // Not the empty config: other artifacts of the repository may need that one.
  const { bytes: content, descriptor: config } = blob("application/vnd.stave.doctor.config.v1+json");
  if (!(await isPushed(repository, content, config, ask))) return;
  blobs.push(config);
  const bytes = canonicalBytes({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType: "application/vnd.stave.doctor",
    config,
    layers: [layer],
  });
  const tag = `stave-doctor-${randomBytes(6).toString("hex")}`;
  const request = { method: "PUT", url: `manifests/${tag}`, body: bytes } as const;
  const headers = { "content-type": OCI_MANIFEST };
  manifests.push({ tag, digest: describe(bytes, OCI_MANIFEST).digest });
  const first = await ask({ ...request, headers });
  if (first.status !== 201) return;
  // No manifest has this one.
  const wrong = await ask({ ...request, headers: { ...headers, "if-match": `"${ABSENT}"` } });
  answers.push(answer("If-Match", wrong, { yes: [412], no: [200, 201, 202, 400, 405, 428, 501] }));
}

/** Removes what was written; returns what could not be removed. */
async function removed(repository: Repository, { blobs, manifests }: Made): Promise<string[]> {
  const left: string[] = [];
  const remove = (url: string): Promise<Reply> =>
    put(repository, { method: "DELETE", url, access: "delete", signal: AbortSignal.timeout(LONGEST_CLEANUP) }).catch(
      () => NO_REPLY,
    );
  for (const { tag, digest } of manifests) {
    const { status } = await remove(`manifests/${digest}`);
    if (status !== 202 && status !== 200 && status !== 404) left.push(`${repository.name}:${tag}`);
  }
  // The registry removes blobs that nothing refers to by itself, so those that stay are not worth a warning.
  for (const { digest } of blobs) await remove(`blobs/${digest}`);
  return left;
}

/** Milliseconds for removing one thing. */
const LONGEST_CLEANUP = 10_000;

type Question = Pick<RepositoryRequest, "method" | "url" | "headers" | "body"> & {
  access?: RepositoryRequest["access"];
};

type Ask = (request: Question) => Promise<Reply>;

interface Reply {
  readonly response: (HttpResponse & { bytes: Buffer }) | undefined;
  readonly status: number | undefined;
  readonly error: StaveError | undefined;
}

const NO_REPLY: Reply = { response: undefined, status: undefined, error: undefined };

// One question. A failure is an answer, too.
async function put(
  repository: Repository,
  request: Question & { access: RepositoryRequest["access"]; signal: AbortSignal | undefined },
): Promise<Reply> {
  try {
    const more = { accept: ANY_STATUS, op: "ask", subject: request.method, retry: false };
    const response = await repository.send({ ...more, ...request }, ANSWER_LIMIT);
    return { response, status: response.status, error: undefined };
  } catch (error) {
    request.signal?.throwIfAborted();
    if (!isStaveError(error)) throw error;
    return { response: undefined, status: error.status, error };
  }
}

function answer(
  ability: Ability,
  { status, error }: Reply,
  { yes, no }: { readonly yes: readonly number[]; readonly no: readonly number[] },
  more = "",
): AbilityAnswer {
  const isRefused = error !== undefined || ((status === 401 || status === 403) && !no.includes(status));
  const says = [error === undefined ? `answers ${status}` : messageOf(error), ...(more === "" ? [] : [more])].join(
    ", ",
  );
  const known = yes.includes(status ?? 0) ? true : undefined;
  return {
    ability,
    can: isRefused ? undefined : (known ?? (no.includes(status ?? 0) ? false : undefined)),
    says,
    isRefused,
  };
}

function tagsIn(response: Reply["response"]): string[] {
  if (response?.status !== 200) return [];
  const found = /"tags"\s*:\s*\[\s*"([A-Za-z0-9_][A-Za-z0-9._-]{0,127})"/.exec(response.bytes.toString("latin1"));
  return found?.[1] === undefined ? [] : [found[1]];
}

/** A small random blob, which no registry has. */
function blob(mediaType = "application/octet-stream"): { bytes: Buffer; descriptor: Descriptor } {
  const bytes = Buffer.from(`{"stave doctor":"${randomBytes(16).toString("hex")}"}\n`);
  return { bytes, descriptor: describe(bytes, mediaType) };
}

async function inChunks(repository: Repository, bytes: Buffer, { digest }: Descriptor, ask: Ask): Promise<Reply> {
  let reply = await ask({ method: "POST", url: "blobs/uploads/", headers: { "content-length": "0" } });
  const half = bytes.length >> 1;
  for (const [start, end] of [
    [0, half],
    [half, bytes.length],
  ] as const) {
    if (reply.response?.status !== 202) return reply;
    const { url } = await sessionOf(repository, reply.response);
    const length = String(end - start);
    const headers = { "content-type": "application/octet-stream", "content-length": length };
    const range = { ...headers, "content-range": `${start}-${end - 1}` };
    const next = await ask({ method: "PATCH", url, headers: range, body: bytes.subarray(start, end) });
    if (next.status !== 202 && next.status !== 204) {
      await dropped(repository, reply.response);
      return next;
    }
    reply = next;
  }
  return await committed(repository, reply, digest, ask);
}

async function isPushed(repository: Repository, bytes: Buffer, { digest }: Descriptor, ask: Ask): Promise<boolean> {
  const opened = await ask({ method: "POST", url: "blobs/uploads/", headers: { "content-length": "0" } });
  return (await committed(repository, opened, digest, ask, bytes)).status === 201;
}

async function committed(
  repository: Repository,
  opened: Reply,
  digest: string,
  ask: Ask,
  body: Buffer = Buffer.alloc(0),
): Promise<Reply> {
  const { response } = opened;
  if (response?.status !== 202 && response?.status !== 204) return opened;
  const { url } = await sessionOf(repository, response);
  url.searchParams.set("digest", digest);
  const headers = { "content-type": "application/octet-stream", "content-length": String(body.length) };
  return await ask({ method: "PUT", url, headers, body });
}

// The registry opened an upload that is not wanted.
async function dropped(repository: Repository, response: Reply["response"]): Promise<void> {
  if (response?.status === 202) await cancel(repository, await sessionOf(repository, response)).catch(() => {});
}
