// Pushes a Spack environment, also as one image: node push-environment.mjs oci://ghcr.io/org/cache ./env app
import { push } from "stave";

const [cache, environment, tag] = process.argv.slice(2);
const report = await push(cache, { environment, tags: [tag], updateIndex: true });
for (const { name, version, outcome } of report.specs) console.log(`${outcome} ${name}@${version}`);
for (const { message } of report.failures) console.error(message);
process.exitCode = report.failures.length > 0 ? 1 : 0;
