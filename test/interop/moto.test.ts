// Proves that mirrors in buckets work with moto, an S3 server that others wrote. It checks neither signatures nor
// checksums.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { freePort, untilUp } from "../../scripts/bench/server.ts";
import { MOTO, pipProgram } from "../../scripts/pip-program.ts";
import { type S3UnderTest, testS3 } from "../support/s3-conformance.ts";

const { path: moto, skip } = pipProgram(MOTO, process.env);

async function startMoto(): Promise<S3UnderTest> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const child = spawn(moto, ["-H", "127.0.0.1", "-p", String(port)], { stdio: "ignore" });
  const close = async (): Promise<void> => {
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  };
  await untilUp(port);
  const made = await fetch(`${url}/cache`, { method: "PUT" });
  if (made.status !== 200) throw new Error(`moto made no bucket: ${made.status}`);
  return { url, close };
}

testS3("moto", {
  start: startMoto,
  dialect: "s3",
  skip,
  leastPart: 5 * 1024 * 1024,
  manyKeys: 1003,
  hasCommands: true,
});
