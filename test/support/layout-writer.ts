// A process that writes images into a layout directory; used by tests with several writers.
// usage: node layout-writer.ts DIR NAME COUNT
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { systemClock } from "../../lib/util/time.ts";
import { imageOf, pushImage } from "./content.ts";

const [directory = "", name = "", count = "0"] = process.argv.slice(2);
const layout = await LayoutTarget.open(directory, { clock: systemClock, create: true });
await Promise.all(
  Array.from({ length: Number(count) }, async (_, at) => {
    await pushImage(layout, imageOf(`${name}-${at}`, [500]), `${name}-${at}`);
    console.log(`${name}-${at}`);
  }),
);
