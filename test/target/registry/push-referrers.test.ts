// Proves that referrers are listed on a registry without the referrers API: each list is looked at after its own time,
// nothing that others wrote is lost, and no registry can make it go on for ever.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { artifactManifest } from "../../../lib/oci/artifact.ts";
import type { Descriptor } from "../../../lib/oci/descriptor.ts";
import { digestOf } from "../../../lib/oci/digest.ts";
import { canonicalBytes, describe, emptyIndex } from "../../../lib/oci/manifest.ts";
import { OCI_INDEX, OCI_MANIFEST } from "../../../lib/oci/mediatype.ts";
import { referrersTag } from "../../../lib/oci/referrer.ts";
import type { ReferrerManifest } from "../../../lib/target/target.ts";
import type { Clock } from "../../../lib/util/time.ts";
import { connect, HandClock, jumpingClock } from "../../support/client.ts";
import { failsWith } from "../../support/errors.ts";

const closing: (() => unknown)[] = [];
after(() => {
  for (const close of closing.reverse()) close();
});

/** A registry without the referrers API and without conditions, of which the last writer wins. */
class PlainRegistry {
  readonly tags = new Map<string, Uint8Array>();
  readonly requests: string[] = [];
  /** Called before a request is handled; a response in place of the registry's own may be returned. */
  before: (
    request: string,
  ) => Promise<{ status: number; headers?: Record<string, string>; body?: Uint8Array } | undefined> = () =>
    Promise.resolve(undefined);

  async start(): Promise<string> {
    const server = createServer(async (request, response) => {
      const body: Buffer[] = [];
      for await (const chunk of request) body.push(chunk);
      const { method = "", url = "" } = request;
      const reference = url.replace(/^\/v2\/cache\//, "").replace(/\?.*/, "");
      this.requests.push(`${method} ${reference}`);
      const given = await this.before(`${method} ${reference}`);
      const { status, headers, body: sent } = given ?? this.#handle(method, reference, Buffer.concat(body));
      response.writeHead(status, { ...headers, "content-length": sent?.byteLength ?? 0 });
      response.end(method === "HEAD" ? undefined : sent);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closing.push(() => {
      server.closeAllConnections();
      server.close();
    });
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  #handle(method: string, reference: string, body: Buffer) {
    if (reference === "tags/list") {
      const bytes = Buffer.from(JSON.stringify({ name: "cache", tags: [...this.tags.keys()] }));
      return { status: 200, headers: { "content-type": "application/json" }, body: bytes };
    }
    const name = reference.replace(/^manifests\//, "");
    if (method === "PUT") {
      if (name.startsWith("sha256-")) this.tags.set(name, body);
      return { status: 201, headers: { "docker-content-digest": digestOf(body) } };
    }
    const there = this.tags.get(name);
    if (there === undefined) return { status: 404 };
    return {
      status: 200,
      headers: { "docker-content-digest": digestOf(there), "content-type": OCI_INDEX },
      body: there,
    };
  }

  /** The digests in a list. */
  listed(subject: Descriptor): string[] {
    const list = this.tags.get(referrersTag(subject.digest));
    return list === undefined
      ? []
      : JSON.parse(Buffer.from(list).toString()).manifests.map(({ digest }: Descriptor) => digest);
  }

  count(pattern: RegExp): number {
    return this.requests.filter((request) => pattern.test(request)).length;
  }
}

const subjectOf = (at: number): Descriptor => describe(Buffer.from(`image ${at}`), OCI_MANIFEST);
const referrerOf = (subject: Descriptor, artifactType = "a/b"): ReferrerManifest => ({
  bytes: canonicalBytes(artifactManifest({ artifactType, layers: [], subject, annotations: {} })),
  mediaType: OCI_MANIFEST,
});
const listPath = (subject: Descriptor): string => `manifests/${referrersTag(subject.digest)}`;
const digestsOf = (manifests: readonly ReferrerManifest[]): string[] => manifests.map(({ bytes }) => digestOf(bytes));

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await turn();
}

async function opened(
  clock: Clock,
): Promise<{ registry: PlainRegistry; target: ReturnType<typeof connect>["target"] }> {
  const registry = new PlainRegistry();
  const { target, close } = connect(await registry.start(), "cache", { clock });
  closing.push(close);
  return { registry, target };
}

test("each list is looked at after its own time, while others are still being written", async () => {
  const clock = new HandClock();
  const { registry, target } = await opened(clock);
  const [first, last] = [subjectOf(1), subjectOf(2)];
  const held = Promise.withResolvers<undefined>();
  registry.before = (request) => (request === `PUT ${listPath(last)}` ? held.promise : Promise.resolve(undefined));
  const looks = (subject: Descriptor): number => registry.count(new RegExp(`^HEAD ${listPath(subject)}$`));
  const pushing = target.pushReferrers([referrerOf(first), referrerOf(last)]);
  await until(() => clock.sleeping === 1);
  clock.advance(999);
  await turn();
  assert.deepEqual([looks(first), clock.sleeping], [0, 1], "not before its time");
  clock.advance(1);
  await until(() => looks(first) === 1);
  held.resolve(undefined);
  await until(() => clock.sleeping === 1);
  // Its write took a second, so that those of others may take two.
  clock.advance(1999);
  await turn();
  assert.deepEqual([looks(last), clock.sleeping], [0, 1], "the last one has a time of its own");
  clock.advance(1);
  await pushing;
  assert.deepEqual([looks(first), looks(last)], [1, 1]);
  assert.deepEqual(
    [registry.listed(first), registry.listed(last)],
    [first, last].map((s) => digestsOf([referrerOf(s)])),
  );
});

test("several referrers of one image take one list", async () => {
  const { registry, target } = await opened(jumpingClock());
  const subject = subjectOf(1);
  const referrers = ["a/b", "c/d", "e/f"].map((type) => referrerOf(subject, type));
  await target.pushReferrers(referrers);
  assert.deepEqual(registry.listed(subject).sort(), digestsOf(referrers).sort());
  assert.equal(registry.count(/PUT manifests\/sha256-/), 1);
  await target.pushReferrers([...referrers, referrerOf(subject, "g/h")]);
  assert.equal(registry.listed(subject).length, 4);
});

test("a listing that is old when it ends is not relied on", async () => {
  const clock = new HandClock();
  const { registry, target } = await opened(clock);
  const subjects = [subjectOf(1), subjectOf(2)];
  const others = subjects.map((subject) => ({ ...subject, digest: digestOf(Buffer.from(`other ${subject.digest}`)) }));
  registry.before = async (request) => {
    if (request !== "GET tags/list") return undefined;
    // While the tags are listed, somebody else attaches to both images.
    for (const [at, subject] of subjects.entries())
      registry.tags.set(
        referrersTag(subject.digest),
        canonicalBytes({ ...emptyIndex(), manifests: [others[at] ?? subject] }),
      );
    clock.advance(301);
    return { status: 200, body: Buffer.from('{"tags":[]}') };
  };
  const pushing = target.pushReferrers(subjects.map((subject) => referrerOf(subject)));
  let isDone = false;
  void pushing.finally(() => (isDone = true));
  await until(() => {
    if (clock.sleeping > 0 && registry.count(/^PUT manifests\/sha256-/) === 2) clock.advance(1000);
    return isDone;
  });
  await pushing;
  for (const [at, subject] of subjects.entries())
    assert.deepEqual(registry.listed(subject), [others[at]?.digest, ...digestsOf([referrerOf(subject)])]);
  assert.equal(registry.count(/tags\/list/), 1, "a slow listing is not repeated");
  assert.equal(registry.count(/^PUT manifests\/sha256-/), 2);
});

test("what is overwritten within its time is listed again", async () => {
  const clock = new HandClock();
  const { registry, target } = await opened(clock);
  const subject = subjectOf(1);
  const other = { ...subject, digest: digestOf(Buffer.from("other")) };
  const pushing = target.pushReferrers([referrerOf(subject)]);
  await until(() => clock.sleeping === 1);
  registry.tags.set(referrersTag(subject.digest), canonicalBytes({ ...emptyIndex(), manifests: [other] }));
  clock.advance(1000);
  await until(() => clock.sleeping === 1 && registry.count(/^HEAD/) === 1);
  clock.advance(250);
  await until(() => clock.sleeping === 1);
  clock.advance(1000);
  await pushing;
  assert.deepEqual(registry.listed(subject), [other.digest, ...digestsOf([referrerOf(subject)])]);
});

for (const count of [1, 5])
  test(`a registry that never keeps a list is given up, with ${count}`, { timeout: 60_000 }, async () => {
    const { registry, target } = await opened(jumpingClock());
    const subjects = Array.from({ length: count }, (_, at) => subjectOf(at));
    registry.before = async () => {
      registry.tags.clear();
      return undefined;
    };
    await failsWith("CONFLICT", target.pushReferrers(subjects.map((subject) => referrerOf(subject))));
    // The manifest, the tag, and a list of tags; then a look, a read and a write in each round.
    const most = subjects.length * (3 + 3 * 22);
    assert.ok(registry.requests.length <= most, `${registry.requests.length} requests, at most ${most}`);
  });

test("the last list that cannot be looked at ends the wait", { timeout: 60_000 }, async () => {
  const { registry, target } = await opened(jumpingClock());
  registry.before = (request) => Promise.resolve(request.startsWith("HEAD ") ? { status: 403 } : undefined);
  await failsWith("DENIED", target.pushReferrers([referrerOf(subjectOf(0))]));
});

test("the first failure ends the writing and the waiting of all others", async () => {
  const clock = new HandClock();
  const { registry, target } = await opened(clock);
  const subjects = Array.from({ length: 100 }, (_, at) => subjectOf(at));
  registry.before = (request) =>
    Promise.resolve(request === `PUT ${listPath(subjectOf(50))}` ? { status: 403 } : undefined);
  // The clock stands still: whoever still waited for a list would wait for ever.
  await failsWith("DENIED", target.pushReferrers(subjects.map((subject) => referrerOf(subject))));
  assert.equal(registry.count(/^HEAD /), 0);
});
