// The text output of a push: a line per finished spec, tables at the end, a plan.
import type {
  PlannedJoin,
  PushedSpec,
  PushedView,
  PushPlanReport,
  PushReport,
  SpecOutcome,
} from "../../ops/push/report.ts";
import { printable } from "../../printable/printable.ts";
import { type Column, count, formatBytes, formatDuration, shortDigest, table } from "./formatting.ts";

const OUTCOMES: Record<SpecOutcome, string> = {
  pushed: "pushed",
  repaired: "repaired",
  completed: "completed",
  present: "already there",
  "not installed": "not installed",
  "other shard": "other shards'",
  failed: "failed",
};

/** The line for a finished spec, for a terminal or a log; undefined if nothing was done for it. */
export function specLine(spec: PushedSpec, isTerminal: boolean): string | undefined {
  const { outcome, layer, manifest, milliseconds = 0, missing = [], skipped = [] } = spec;
  const name = printable(`${spec.name}@${spec.version}/${spec.hash.slice(0, 7)}`);
  // The reason is printed once, at the end.
  if (outcome === "failed") return `failed ${name}`;
  if (manifest === undefined) return undefined;
  const parts = [`${OUTCOMES[outcome]} ${name} ${isTerminal ? shortDigest(manifest) : manifest}`];
  if (layer) {
    const rate = milliseconds > 0 ? `, ${formatBytes((layer.size / milliseconds) * 1000)}/s` : "";
    const how = { pushed: rate, mounted: ", mounted", present: ", layer already there" };
    parts.push(`(${formatBytes(layer.size)}${how[layer.outcome]})`);
  }
  if (missing.length > 0)
    parts.push(
      `without ${missing
        .slice(0, 3)
        .map((name) => printable(name))
        .join(", ")}${missing.length > 3 ? ", …" : ""}`,
    );
  if (skipped.length > 0) {
    const [first] = skipped;
    const more = skipped.length > 1 ? ` and ${skipped.length - 1} more` : "";
    parts.push(`left out: the ${first?.kind} ${printable(first?.path ?? "")}${more}`);
  }
  return parts.join(" ");
}

const COLUMNS: Column[] = [
  { heading: "OUTCOME" },
  { heading: "SPECS", right: true },
  { heading: "PACKED", right: true },
  { heading: "LAYERS", right: true },
];

// Counts specs by outcome, with packed bytes and layer sizes.
function outcomeRows(report: PushReport): string[][] {
  const size = (bytes: number): string => (bytes > 0 ? formatBytes(bytes) : "");
  const groups = Map.groupBy(report.specs, ({ outcome }) => outcome);
  const rows = Object.entries(OUTCOMES).flatMap(([outcome, heading]): string[][] => {
    const specs = groups.get(outcome as SpecOutcome) ?? [];
    if (specs.length === 0) return [];
    const sum = (of: (layer: NonNullable<PushedSpec["layer"]>) => number): number =>
      specs.reduce((total, { layer }) => total + (layer ? of(layer) : 0), 0);
    return [[heading, String(specs.length), size(sum((l) => l.archiveSize)), size(sum((l) => l.size))]];
  });
  return rows;
}

function viewLine({ path, specs, links, conflicts, missing }: PushedView): string {
  const parts = [`${count(links, "link")} to ${count(specs.length, "package")}`];
  if (conflicts.length > 0) parts.push(`${count(conflicts.length, "file")} hidden by others of the same path`);
  if (missing.length > 0)
    parts.push(`without ${missing.map((name) => printable(name)).join(", ")}: not installed here`);
  return `view ${printable(path)}: ${parts.join("; ")}`;
}

function estargzLine({ bytes, plainBytes }: NonNullable<PushReport["images"][number]["estargz"]>): string {
  const more = plainBytes === 0 ? 0 : (100 * (bytes - plainBytes)) / plainBytes;
  const change = `${more < 0 ? "−" : "+"}${Math.abs(more).toFixed(1)} %`;
  return `eStargz: ${formatBytes(bytes)} (${change}), stored beside the ${formatBytes(plainBytes)} of the specs' own layers`;
}

/** The summary of a push, for stdout. */
export function pushSummary(report: PushReport, reference: (tag: string) => string): string {
  const { totals, milliseconds, environment, restricted, leftOut, index } = report;
  const lines: string[] = [];
  if (report.specs.length > 0) lines.push(table(COLUMNS, outcomeRows(report)).trimEnd());
  const { blobs, packedBytes, sentBytes } = totals;
  const counts =
    sentBytes + packedBytes === 0
      ? ["nothing to send"]
      : [`${formatBytes(sentBytes)} sent`, `${formatBytes(packedBytes)} packed`];
  if (blobs.mounted > 0) counts.push(`${count(blobs.mounted, "layer")} mounted`);
  if (blobs.present > 0) counts.push(`${count(blobs.present, "layer")} already there`);
  lines.push(`${counts.join(", ")}, in ${formatDuration(milliseconds)}`);
  if (leftOut.length > 0)
    lines.push(`${count(leftOut.length, "build dependency", "build dependencies")} not installed, left out`);
  if (restricted.length > 0)
    lines.push(
      `may not be passed on, left out (--private pushes them): ${restricted.map((name) => printable(name)).join(", ")}`,
    );
  const isMade =
    report.images.some(({ isNew }) => isNew) || report.specs.some(({ manifest }) => manifest !== undefined);
  if (environment && isMade)
    lines.push(
      environment.from === "spack"
        ? `environment variables: from Spack ${environment.version}`
        : "environment variables: from the install tree and the recipes in it",
    );
  if (index) lines.push(`index: ${index.isWritten ? "written" : "up to date"}, ${count(index.specs, "spec")}`);
  for (const { tag, manifest, layers, size, isNew, missing, estargz } of report.images) {
    if (estargz) lines.push(estargzLine(estargz));
    const state = isNew ? "" : ", unchanged";
    const lack = missing.length > 0 ? `, without ${missing.map((name) => printable(name)).join(", ")}` : "";
    lines.push(`${reference(tag)} ${manifest} (${count(layers, "layer")}, ${formatBytes(size)}${state}${lack})`);
  }
  for (const view of report.views) lines.push(viewLine(view));
  for (const { image, digest, images } of report.indexes)
    lines.push(`${printable(image)} ${digest} (${images.map(({ platform }) => printable(platform)).join(", ")})`);
  return lines.join("\n");
}

const ACTIONS = {
  pack: "pack",
  complete: "complete",
  keep: "keep",
  "not installed": "not installed",
  "other shard": "other shards'",
} as const;

/** A plan, for stdout. */
export function planText(plan: PushPlanReport, width: number | undefined): string {
  const size = (bytes: number | undefined): string => (bytes === undefined ? "" : formatBytes(bytes));
  const columns: Column[] = [
    { heading: "ACTION" },
    { heading: "SPEC" },
    { heading: "FILES", right: true },
    { heading: "BYTES", right: true },
  ];
  const rows = plan.specs.map(({ action, isRepair, name, version, hash, files, bytes, missing }) => [
    `${ACTIONS[action]}${isRepair ? " (broken)" : ""}`,
    `${name}@${version}/${hash.slice(0, 7)}${missing.length > 0 ? ` without ${missing.join(", ")}` : ""}`,
    files === undefined ? "" : String(files),
    size(bytes),
  ]);
  const { totals } = plan;
  const about = totals.isEstimate ? "about " : "";
  const lines = rows.length > 0 ? [table(columns, rows, width).trimEnd()] : [];
  for (const { architecture, layers, size: bytes, missing, mayMount } of plan.base) {
    const some = missing < layers ? `${missing} of them ` : "";
    const what = missing === 0 ? "already there" : `${some}to be ${mayMount ? "mounted" : "copied"}`;
    lines.push(`base image for ${architecture}: ${count(layers, "layer")}, ${formatBytes(bytes)}, ${what}`);
  }
  for (const { tag, layers, missing, joined } of plan.images) {
    const lack = missing.length > 0 ? `, without ${missing.map((name) => printable(name)).join(", ")}` : "";
    lines.push(`image ${printable(tag)}: ${count(layers, "layer")}${joinedText(joined)}${lack}`);
  }
  const joined = plan.images[0]?.joined ?? [];
  if (joined.length > 0) lines.push("", joinedTable(joined, width), "");
  if (plan.restricted.length > 0)
    lines.push(`may not be passed on, left out: ${plan.restricted.map((name) => printable(name)).join(", ")}`);
  const requests = totals.requests > 0 ? `, at least ${count(totals.requests, "request")}` : "";
  lines.push(
    `${count(totals.packSpecs, "spec")} to pack: ${count(totals.packFiles, "file")}, ${formatBytes(totals.packBytes)}; ` +
      `to send ${about}${formatBytes(totals.sendBytes)}${totals.mounts > 0 ? `, ${count(totals.mounts, "mount")}` : ""}${requests}`,
  );
  return lines.join("\n");
}

function joinedText(joined: readonly PlannedJoin[]): string {
  if (joined.length === 0) return "";
  const specs = joined.reduce((sum, layer) => sum + layer.specs.length, 0);
  const changed = joined.filter(({ isKept }) => !isKept);
  const bytes = changed.reduce((sum, { size }) => sum + size, 0);
  const sent = changed.length === 0 ? "all unchanged" : `${changed.length} to send, about ${formatBytes(bytes)}`;
  return `, ${joined.length} of them with ${specs} specs together (${sent})`;
}

function joinedTable(joined: readonly PlannedJoin[], width: number | undefined): string {
  const columns: Column[] = [
    { heading: "LAYER" },
    { heading: "SPECS", right: true },
    { heading: "BYTES", right: true },
    { heading: "OF" },
  ];
  const rows = joined.map(({ specs, size, isKept }) => [
    isKept ? "unchanged" : "to send",
    String(specs.length),
    formatBytes(size),
    specs.map((name) => printable(name)).join(" "),
  ]);
  return table(columns, rows, width).trimEnd();
}

/** How many failures the Markdown lists. */
const MOST_ROWS = 500;

/** The summary as Markdown, for the job summary of a workflow. */
export function pushMarkdown(report: PushReport, reference: (tag: string) => string): string {
  const cell = (text: string): string => printable(text).replaceAll("|", "\\|");
  const lines = [
    "### stave push",
    "",
    `To \`${cell(report.destination)}\` in ${formatDuration(report.milliseconds)}.`,
    "",
  ];
  lines.push("| outcome | specs | packed | layers |", "| --- | ---: | ---: | ---: |");
  for (const row of outcomeRows(report)) lines.push(`| ${row.map(cell).join(" | ")} |`);
  if (report.images.length > 0) lines.push("", "| image | digest | layers | size |", "| --- | --- | ---: | ---: |");
  for (const { tag, manifest, layers, size } of report.images)
    lines.push(`| \`${cell(reference(tag))}\` | \`${manifest}\` | ${layers} | ${formatBytes(size)} |`);
  const shown = report.failures.slice(0, MOST_ROWS).map(({ message, code }) => `- ${cell(message)} \`${code}\``);
  if (shown.length > 0) lines.push("", ...shown);
  if (report.failures.length > MOST_ROWS) lines.push(`- and ${report.failures.length - MOST_ROWS} more`);
  return `${lines.join("\n")}\n\n`;
}
