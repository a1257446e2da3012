// Puts an image onto today's base image if its programs will start there: node rebase-image.mjs ghcr.io/org/app:1 debian:12-slim
import { checkRun, imageSize, rebase } from "stave";

const [image, base] = process.argv.slice(2);
const { verdicts } = await checkRun(image, { bases: [base] });
const findings = verdicts.flatMap((verdict) => verdict.findings);
for (const { severity, message } of findings) console.log(`${severity}: ${message}`);
if (verdicts.some(({ starts }) => starts)) {
  const { tag, to, isWritten } = await rebase(image, base);
  const { bytes, dispensable } = await imageSize(image);
  console.log(`${tag} ${isWritten ? "is now" : "was already"} ${to}, ${bytes} bytes, ${dispensable} of them not needed`);
} else process.exitCode = 1;
