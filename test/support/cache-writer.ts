// A process that pushes specs into a layout directory and brings its index up to date after each; run by the tests of
// several writers at once.
// usage: node cache-writer.ts DIR NAME COUNT
import { updateIndex } from "../../lib/cache/index-update.ts";
import { OciCache } from "../../lib/cache/oci-cache.ts";
import { LayoutTarget } from "../../lib/target/layout.ts";
import { systemClock } from "../../lib/util/time.ts";
import { madeSpec, pushSpec } from "./caches.ts";

const [directory = "", name = "", count = "0"] = process.argv.slice(2);
const layout = await LayoutTarget.open(directory, { clock: systemClock, create: true });
for (let at = 0; at < Number(count); at++) {
  await pushSpec(layout, madeSpec(`${name}-${at}`, "1.0"));
  await updateIndex(new OciCache(layout));
}
