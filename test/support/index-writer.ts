// One of several processes that push invented specs to a bucket and update its index after each. The parent says when.
// usage: tsx index-writer.ts ENDPOINT WRITER WRITERS ROUNDS
import { once } from "node:events";
import { updateIndex } from "../../lib/cache/index-update.ts";
import { MirrorCache } from "../../lib/cache/mirror/mirror-cache.ts";
import { createTransport } from "../../lib/http/transport.ts";
import { S3Objects } from "../../lib/objects/s3/s3-objects.ts";
import { digestOf } from "../../lib/oci/digest.ts";
import { specDocument } from "../../lib/spack/spec/spec-writer.ts";
import { readDatabase } from "../../lib/spack/store/database.ts";
import { isObject } from "../../lib/spack/text/json.ts";
import { bytesSource } from "../../lib/util/stream.ts";
import { systemClock as clock } from "../../lib/util/time.ts";
import { isMain } from "../../scripts/is-main.ts";
import { makeDatabase } from "../../scripts/make-database.ts";
import { S3_PAIR } from "./s3-server.ts";
import { temporaryFolder } from "./tree.ts";

/** The mirror that all write, seen by a process of its own. */
export function sharedMirror(endpoint: string): { readonly cache: MirrorCache; close(): Promise<void> } {
  const transport = createTransport({ clock });
  const place = {
    dialect: "s3",
    ...{ bucket: "cache", prefix: "shared", endpoint: new URL(endpoint), region: "us-east-1" },
    credentials: { pair: S3_PAIR, token: undefined, from: "the test" },
  } as const;
  const objects = new S3Objects({ place, name: "s3://cache/shared", transport, clock, scratch: temporaryFolder() });
  const cache = new MirrorCache({ objects, signatures: undefined, isWritten: true });
  return { cache, close: () => transport.close() };
}

if (isMain(import.meta)) {
  const [endpoint = "", writer, writers, rounds] = process.argv.slice(2);
  const [mine, all, count] = [Number(writer), Number(writers), Number(rounds)];
  const text = makeDatabase({ installs: all * count + 20, seed: 9, root: "/opt/store", stack: 12 });
  const { graph } = readDatabase({ name: "made", bytes: Buffer.from(text, "latin1") });
  const nodes = [...graph.nodes()].filter(({ external }) => external === undefined).slice(0, all * count);
  const { cache, close } = sharedMirror(endpoint);
  for (const node of nodes.filter((_, at) => at % all === mine)) {
    await once(process, "message");
    const bytes = Buffer.from(`the archive of ${node.hash}`);
    const archive = { mediaType: "application/x", digest: digestOf(bytes), size: bytes.length };
    await cache.blobs.pushBlob(archive, bytesSource(bytes));
    const document = specDocument(node, graph);
    await cache.putSpec({ node, document: isObject(document) ? document : {}, archive });
    await updateIndex(cache);
    process.send?.("done");
  }
  await close();
  process.disconnect();
}
