// Shows what a push would do: node plan-push.mjs oci://ghcr.io/org/cache ./env
import { planPush } from "stave";

const [cache, environment] = process.argv.slice(2);
const { specs, totals } = await planPush(cache, { environment });
for (const { action, name, version } of specs) console.log(`${action} ${name}@${version}`);
console.log(`${totals.packSpecs} specs to pack, about ${totals.sendBytes} bytes to send`);
