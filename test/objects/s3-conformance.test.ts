// The S3 server of these tests passes what other servers must pass, in both dialects.
import { testS3 } from "../support/s3-conformance.ts";
import { startS3 } from "../support/s3-server.ts";

for (const dialect of ["s3", "gs"] as const) {
  const start = async () => Object.assign(await startS3(), { dialect, page: 3 });
  testS3(`the ${dialect} server of the tests`, { start, dialect, manyKeys: 10 });
}
