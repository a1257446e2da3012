// The manual pages of all verbs, by file name.
import { VERSION } from "../lib/api/machine/stave-version.ts";
import { manOverview, manPage } from "../lib/cli/output/man-text.ts";
import { EPILOGUE, SUMMARY, VERB_GROUPS, VERBS } from "../lib/cli/verb-table.ts";
import type { RunState } from "../lib/cli/verbs/verb.ts";
import { ERROR_CODES, StaveError } from "../lib/errors.ts";

/** Makes the pages. The same sources give the same texts. */
export async function manPages(): Promise<Map<string, string>> {
  const statuses = Map.groupBy(ERROR_CODES, (code) => new StaveError(code, "").exitCode);
  const inOrder = new Map([...statuses].toSorted(([a], [b]) => a - b));
  const overview = manOverview({
    summary: SUMMARY,
    version: VERSION,
    groups: VERB_GROUPS,
    epilogue: EPILOGUE,
    statuses: inOrder,
  });
  const pages = new Map([["stave.1", overview]]);
  for (const { name, aliases = [], load } of VERBS) {
    // A command is only described here, and never run.
    const command = (await load()).verb({} as RunState).aliases([...aliases]);
    pages.set(`stave-${name}.1`, manPage(command, VERSION));
  }
  return pages;
}
