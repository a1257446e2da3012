// What the benchmarks compare buckets with: the AWS SDK, from a folder in which npm installed it. Run by Node itself.
// usage: node s3-sdk.ts FOLDER ENDPOINT upload|put|download BUCKET KEY FILE
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";

const [folder = "", endpoint = "", how = "", bucket = "", key = "", file = ""] = process.argv.slice(2);
const load = createRequire(join(folder, "package.json"));
const { S3Client, GetObjectCommand, PutObjectCommand } = load("@aws-sdk/client-s3");
const client = new S3Client({
  ...{ endpoint, region: "us-east-1", forcePathStyle: true },
  credentials: { accessKeyId: "test", secretAccessKey: "secret" },
});
const object = { Bucket: bucket, Key: key };
if (how === "upload") {
  const { Upload } = load("@aws-sdk/lib-storage");
  const params = { ...object, Body: createReadStream(file) };
  await new Upload({ client, params, partSize: 16 * 1024 ** 2, queueSize: 4 }).done();
} else if (how === "put") {
  const ContentLength = statSync(file).size;
  await client.send(new PutObjectCommand({ ...object, Body: createReadStream(file), ContentLength }));
} else {
  const { Body } = await client.send(new GetObjectCommand(object));
  const hash = createHash("sha256");
  const hashing = new Transform({
    transform(chunk, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  await pipeline(Body, hashing, createWriteStream(file));
  if (hash.digest("hex") !== key.split("/").at(-1)) throw new Error("the object has another digest");
}
