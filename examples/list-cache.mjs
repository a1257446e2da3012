// Lists the specs of a build cache: node list-cache.mjs oci://ghcr.io/org/cache hdf5@1.14:
import { list } from "stave";

const [cache, ...specs] = process.argv.slice(2);
const report = await list(cache, { specs, anyArchitecture: true });
for (const { name, version, hash } of report.specs) console.log(`${name}@${version}/${hash.slice(0, 7)}`);
