// Updates the index of a build cache within a minute: node update-index.mjs oci://ghcr.io/org/cache
import { isStaveError, updateIndex } from "stave";

const [cache] = process.argv.slice(2);
try {
  const { specs, added, isWritten } = await updateIndex(cache, {
    signal: AbortSignal.timeout(60_000),
    onProgress: (event) => {
      if (event.type === "warning") console.error(event.text);
    },
  });
  console.log(`${specs} specs, ${added.length} of them new, ${isWritten ? "written" : "up to date"}`);
} catch (error) {
  if (!isStaveError(error)) throw error;
  console.error(`${error.code}: ${error.message}${error.hint ? `\n${error.hint}` : ""}`);
  process.exitCode = error.exitCode;
}
