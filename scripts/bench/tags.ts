// Tagging in a repository with few and with many tags: one PUT after the other over one connection, timed by the
// client.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { join } from "node:path";
import { freePort, registryKinds, Server } from "./server.ts";
import type { Row, Table } from "./table.ts";

const SIZES = [100, 2800, 50_000];
const PUTS = 500;
/** The first requests, which are not counted, because the server reads its list. */
const WARM_UP = 20;
const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
const NAME_ANNOTATION = "org.opencontainers.image.ref.name";

/** Measures tagging in each registry, and returns a table. Only `stave serve` gets many tags beforehand. */
export async function benchTags(scratch: string, stave: string, scale: number): Promise<Table[]> {
  const rows: Row[] = [];
  for (const kind of registryKinds()) {
    const server = new Server(kind, await freePort(), scratch, stave);
    try {
      for (const size of kind === "stave serve" ? SIZES : SIZES.slice(0, 1)) {
        const tags = Math.round(size * scale);
        const times = (await timesOf(server, kind === "stave serve" ? tags : 0)).sort((a, b) => a - b);
        const at = (part: number): number => (times[Math.floor(part * (times.length - 1))] ?? 0) / 1000;
        const name = kind === "stave serve" ? `${kind}, ${tags} tags before` : kind;
        rows.push({ name, cells: [at(0.5), at(0.95), at(1)], spread: [at(0), at(1)] });
      }
    } finally {
      await server.stop();
    }
  }
  const columns = ["median", "95 % of PUTs", "longest"].map((name) => ({ name, unit: "s" as const }));
  return [{ title: `${PUTS} tags set one after the other`, columns, rows }];
}

/** The duration of each PUT in milliseconds. */
async function timesOf(server: Server, tagsBefore: number): Promise<number[]> {
  await server.restart();
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const send = (
    method: string,
    path: string,
    type: string,
    body: Buffer,
  ): Promise<{ status: number; location: string }> =>
    new Promise((resolve, reject) => {
      const headers = { "content-type": type, "content-length": body.byteLength };
      const asked = request(`http://${server.host}${path}`, { method, headers, agent }, (response) => {
        response
          .resume()
          .on("end", () => resolve({ status: response.statusCode ?? 0, location: response.headers.location ?? "" }));
      });
      asked.on("error", reject).end(body);
    });
  const config = Buffer.from("{}");
  const digest = `sha256:${createHash("sha256").update(config).digest("hex")}`;
  const { location } = await send("POST", "/v2/tags/blobs/uploads/", "", Buffer.alloc(0));
  const { pathname, searchParams } = new URL(location, `http://${server.host}`);
  searchParams.set("digest", digest);
  await send("PUT", `${pathname}?${searchParams}`, "application/octet-stream", config);
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST_TYPE,
      config: { mediaType: "application/vnd.oci.empty.v1+json", digest, size: config.byteLength },
      layers: [],
    }),
  );
  const tag = async (name: string): Promise<number> => {
    const started = performance.now();
    const { status } = await send("PUT", `/v2/tags/manifests/${name}`, MANIFEST_TYPE, manifest);
    if (status !== 201) throw new Error(`PUT of a tag: ${status}`);
    return performance.now() - started;
  };
  await tag("first");
  if (tagsBefore > 0) fill(server.repository("tags"), tagsBefore);
  for (let at = 0; at < WARM_UP; at++) await tag(`warm-${at}`);
  const times: number[] = [];
  for (let at = 0; at < PUTS; at++) times.push(await tag(`new-${at}`));
  agent.destroy();
  return times;
}

/** Tags the first image many more times. */
function fill(folder: string, tags: number): void {
  const path = join(folder, "index.json");
  if (!existsSync(path)) throw new Error(`${path} is not there`);
  const index = JSON.parse(readFileSync(path, "utf8"));
  const [entry] = index.manifests;
  for (let at = 1; at < tags; at++)
    index.manifests.push({ ...entry, annotations: { ...entry.annotations, [NAME_ANNOTATION]: `tag-${at}` } });
  writeFileSync(`${path}.new`, JSON.stringify(index));
  renameSync(`${path}.new`, path);
}
