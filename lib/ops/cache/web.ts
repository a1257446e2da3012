// `web`: writes a catalogue of a build cache to a folder, as pages that need no server of their own.
import { noIndex, orRegistry, type ReadCache } from "../../cache/cache.ts";
import { Catalogue } from "../../catalogue/catalogue.ts";
import type { CacheAddress } from "../../catalogue/catalogue-data.ts";
import { imageFactsReader } from "../../catalogue/image-facts-reader.ts";
import { assetFiles } from "../../catalogue/page-assets.ts";
import { startPage, tableCount, tablePage } from "../../catalogue/plain-pages.ts";
import { SiteFolder } from "../../catalogue/site-folder.ts";
import type { OperationOptions } from "../../target/target.ts";
import { noProgress, type ProgressSink } from "../../util/progress.ts";
import { type Clock, systemClock } from "../../util/time.ts";

/** The options of `web`. */
export interface WebOptions extends OperationOptions {
  /** The folder to write to. */
  readonly directory: string;
  /** The address of the cache that the pages tell their readers. */
  readonly address: CacheAddress;
  /** Also read what the images of all specs consist of. */
  readonly readsImages?: boolean | undefined;
  /** Only count, and write nothing. */
  readonly isDryRun?: boolean | undefined;
  readonly progress?: ProgressSink | undefined;
  /** Times the wait for another run. Default: the system's. */
  readonly clock?: Clock | undefined;
}

/** The report of `web`. */
export interface WebReport {
  readonly cache: string;
  readonly directory: string;
  /** The packages of these specs. */
  readonly packages: number;
  /** The specs that the cache has. */
  readonly specs: number;
  readonly files: number;
  readonly bytes: number;
  /** The number of files and folders of an earlier catalogue that were removed. */
  readonly removed: number;
  /** Records of the index that cannot be used. */
  readonly damaged: number;
  /** Nothing was written. */
  readonly isDryRun: boolean;
}

/**
 * Writes a catalogue; waits for another run that writes to the same folder. Throws NOT_FOUND for a cache without an
 * index, USAGE for a folder with other content, CONFLICT if the other run does not end, and what reading the index
 * throws.
 */
export async function writeCatalogue(cache: ReadCache, options: WebOptions): Promise<WebReport> {
  const { directory, address, readsImages, isDryRun = false, progress = noProgress, signal } = options;
  const { clock = systemClock } = options;
  await SiteFolder.check(directory);
  const index = await cache.readIndex({ signal });
  if (index === undefined) throw await orRegistry(cache, noIndex(cache), { signal });
  const readImages = readsImages ? imageFactsReader(cache, index, { signal }) : undefined;
  const catalogue = new Catalogue(index, { address, readImages });
  const { paths, files: assets } = await assetFiles();
  await using site = isDryRun ? undefined : await SiteFolder.open(directory, { clock, signal });
  const counts = { files: 0, bytes: 0 };
  const counted = (text: string): string => {
    counts.files++;
    counts.bytes += Buffer.byteLength(text);
    return text;
  };
  try {
    progress({ type: "start", id: "data", label: "catalogue", size: index.size });
    for await (const { path, text } of catalogue.files()) {
      signal?.throwIfAborted();
      await site?.writeData(path, counted(text));
      progress({ type: "bytes", id: "data", count: text.length });
    }
    const data = (await site?.nameData()) ?? "data";
    const kept = new Set([data]);
    const replace = async (path: string, text: string): Promise<void> => {
      kept.add(path);
      await site?.replace(path, counted(text));
    };
    for (const [path, text] of assets) await replace(path, text);
    const { packages } = catalogue;
    const name = addressName(address);
    for (let number = 1; number <= tableCount(packages.length); number++)
      await replace(`plain/${number}.html`, tablePage(name, packages, number, paths));
    await replace("index.html", startPage(name, paths));
    // Until here, readers use the documents of the last run.
    await replace("catalogue.json", JSON.stringify(catalogue.start(data)));
    const removed = (await site?.removeOthers(kept)) ?? 0;
    progress({ type: "done", id: "data", label: "catalogue", outcome: "copied", size: counts.bytes, isTold: true });
    return {
      ...{
        cache: cache.name,
        directory,
        packages: packages.filter(([, specs]) => specs > 0).length,
        specs: catalogue.specs,
        ...counts,
        removed,
      },
      ...{ damaged: index.problems.length, isDryRun },
    };
  } catch (error) {
    await site?.discard();
    throw error;
  }
}

/** The name of a cache in titles. */
export function addressName(address: CacheAddress): string {
  return address.kind === "served" ? address.repository : address.text;
}
