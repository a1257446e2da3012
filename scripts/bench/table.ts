// The results of benchmarks as tables of numbers, and their form as Markdown.
import type { Figures } from "./measure.ts";

/** What the numbers of a column are; `s` are seconds. */
export type Unit = "s" | "bytes" | "count" | "ratio";

/** One line of a table. */
export interface Row {
  readonly name: string;
  /** One number for each column; undefined if it was not measured. */
  readonly cells: readonly (number | undefined)[];
  /** The least and the most of all rounds, for the first column. */
  readonly spread?: readonly [number, number];
}

/** The results of commands that were measured beside each other. */
export interface Table {
  readonly title: string;
  readonly columns: readonly { readonly name: string; readonly unit: Unit }[];
  readonly rows: readonly Row[];
}

/** What a registry received. */
export interface Received {
  readonly requests?: number | undefined;
  readonly sent?: number | undefined;
}

/** How to show measured commands. */
export interface CommandOptions {
  /** Beginnings of the names of commands to compare all others with, in wall time and CPU time. */
  readonly bases?: readonly string[];
  /** What the registry received from a command. */
  readonly received?: (name: string) => Received | undefined;
}

/** A table of commands: wall time with its spread, CPU time, memory, and how many times faster than the bases. */
export function commandTable(title: string, figures: readonly Figures[], options: CommandOptions = {}): Table {
  const { bases = [], received = () => undefined } = options;
  const found = bases.flatMap((start) => figures.find(({ name }) => name.startsWith(start)) ?? []);
  const [first] = figures;
  const compared = bases.length === 0 && first !== undefined ? [first] : found;
  return {
    title,
    columns: [
      { name: "wall", unit: "s" },
      { name: "CPU", unit: "s" },
      { name: "peak memory", unit: "bytes" },
      { name: "sent", unit: "bytes" },
      { name: "requests", unit: "count" },
      ...compared.flatMap(({ name }) => [
        { name: `as fast as ${name}`, unit: "ratio" as const },
        { name: "CPU", unit: "ratio" as const },
      ]),
    ],
    rows: figures.map(({ name, wall, cpu, memory, spread }) => {
      const { sent, requests } = received(name) ?? {};
      const ratios = compared.flatMap((base) => [base.wall / wall, cpu > 0 ? base.cpu / cpu : undefined]);
      return { name, cells: [wall, cpu, memory, sent, requests, ...ratios], spread };
    }),
  };
}

/** A table as Markdown; columns without a number are left out. */
export function markdown({ title, columns, rows }: Table): string {
  const shown = columns.flatMap((column, at) =>
    rows.some(({ cells }) => cells[at] !== undefined) ? [{ column, at }] : [],
  );
  const lines = rows.map(({ name, cells, spread }) => {
    const texts = shown.map(({ column, at }) => {
      const value = cells[at];
      const text = value === undefined ? "" : formatValue(value, column.unit);
      return at === 0 && spread && value !== undefined
        ? `${text} (${formatValue(spread[0], column.unit)} – ${formatValue(spread[1], column.unit)})`
        : text;
    });
    return `| ${[name, ...texts].join(" | ")} |`;
  });
  const head = `| | ${shown.map(({ column }) => column.name).join(" | ")} |`;
  return [`### ${title}`, "", head, `| --- |${" ---: |".repeat(shown.length)}`, ...lines, ""].join("\n");
}

/** A number with its unit, as short as is useful. */
export function formatValue(value: number, unit: Unit): string {
  if (unit === "s") return Math.abs(value) < 0.1 ? `${(value * 1000).toFixed(1)} ms` : `${value.toFixed(2)} s`;
  if (unit === "bytes") return value < 1e6 ? `${(value / 1e3).toFixed(0)} kB` : `${(value / 1e6).toFixed(1)} MB`;
  return unit === "count" ? String(Math.round(value)) : `${value.toFixed(2)}×`;
}
