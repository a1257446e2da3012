// A process that pushes specs into a cache and updates its index after each, retrying on failure as a job would; used
// by tests with several writers. It runs one round per message, and replies when done.
// usage: fork("cache-writer.ts", [NAME, SEED, DIRECTORY
//  HOST, REPOSITORY?])
import { setTimeout } from "node:timers/promises";
import { updateIndex } from "../../lib/cache/index-update.ts";
import { OciCache } from "../../lib/cache/oci-cache.ts";
import { isStaveError } from "../../lib/errors.ts";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import type { Target } from "../../lib/target/target.ts";
import { systemClock } from "../../lib/util/time.ts";
import { dice } from "../../scripts/dice.ts";
import { madeSpec, pushSpec } from "./caches.ts";
import { connect } from "./client.ts";

const LONGEST_DELAY = 40;
const DELETED = 0.1;
const TRIES = 20;

async function again<T>(work: () => Promise<T>): Promise<T> {
  for (let left = TRIES; ; left--)
    try {
      return await work();
    } catch (error) {
      if (left === 0 || !isStaveError(error)) throw error;
    }
}

const [name = "", seed = "0", place = "", repository] = process.argv.slice(2);
const target: Target =
  repository === undefined
    ? await LayoutTarget.open(place, { clock: systemClock, create: true })
    : connect(place, repository, { retry: { attempts: 3 } }).target;
const random = dice(Number(seed));
const pushed: string[] = [];

async function round(at: number): Promise<void> {
  await setTimeout(random() * LONGEST_DELAY);
  const spec = madeSpec(`${name}-${at}`, "1.0", [madeSpec("shared", `${at}.0`)]);
  pushed.push(await again(() => pushSpec(target, spec)));
  // Occasionally delete an image while others list and read it.
  if (random() < DELETED) {
    const victim = pushed.shift() ?? "";
    await again(() => target.deleteManifest(victim)).catch(() => {});
  }
  await again(() => updateIndex(new OciCache(target)));
}

process.on("message", (at) => {
  round(Number(at)).then(
    () => process.send?.("done"),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.on("disconnect", () => process.exit(0));
