// Installs specs from a build cache: node install-specs.mjs oci://ghcr.io/org/cache /opt/software hdf5 zlib
import { install } from "stave";

const [cache, store, ...specs] = process.argv.slice(2);
const report = await install(cache, { store, specs, environment: false, anyArchitecture: true });
for (const { name, outcome, prefix } of report.specs) console.log(`${outcome} ${name} ${prefix}`);
for (const { message } of report.failures) console.error(message);
process.exitCode = report.failures.length > 0 ? 1 : 0;
