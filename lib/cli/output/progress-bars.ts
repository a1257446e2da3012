// Shows progress as bars on a terminal: a total above a bar for each item in progress.
import cliProgress from "cli-progress";
import { printable } from "../../printable/printable.ts";
import type { ProgressEvent, ProgressSink } from "../../util/progress.ts";
import type { Context } from "../machine/context.ts";
import type { ProgressDisplay } from "./display.ts";
import { formatBytes, formatDuration } from "./formatting.ts";
import type { Output } from "./output.ts";
import { lines } from "./progress-lines.ts";

// cli-progress clears only the current line, which would leave parts of the bars behind longer text.
const CLEAR_BELOW = "\u001b[0J";

/** One item in progress. */
interface Item {
  bar: cliProgress.SingleBar;
  value: number;
  size: number;
}

/** The content of one line of progress. */
export interface BarLine {
  readonly label: string;
  readonly value: number;
  readonly total: number;
  /** The completed share, from 0 to 1. */
  readonly share: number;
  /** The rate and the remaining time. */
  readonly tail: string;
}

/** `999.9 MB of 999.9 MB` and `999.9 MB/s, 59 min 59 s left`. */
const DONE_WIDTH = 20;
const TAIL_WIDTH = 28;

/**
 * Formats one line of progress for a terminal: if space is scarce, first the bar gets shorter, then the label, never
 * the tail.
 */
export function barLine({ label, value, total, share, tail }: BarLine, columns: number): string {
  const room = columns - 1 - DONE_WIDTH - TAIL_WIDTH - 3;
  const labelWidth = Math.min(22, Math.max(6, room - 11));
  const barWidth = Math.min(30, room - labelWidth);
  const full = Math.round(barWidth * Math.min(1, share));
  const bar = barWidth < 4 ? "" : `${"█".repeat(full)}${"░".repeat(barWidth - full)} `;
  const done = `${formatBytes(value)} of ${formatBytes(total)}`.padEnd(DONE_WIDTH);
  return `${printable(label).slice(0, labelWidth).padEnd(labelWidth)} ${bar}${done} ${tail}`.slice(0, columns - 1);
}

/** The size of all items, as if those of unknown size were like the others. */
export function estimatedSize(
  { size, items }: { readonly size: number; readonly items: number },
  unsized: number,
): number {
  const sized = items - unsized;
  return sized === 0 ? size : (size / sized) * items;
}

/** The total of all started items, with rate and remaining time, above a bar for each item in progress. */
export class Bars implements ProgressDisplay {
  readonly #context: Context;
  readonly #output: Output;
  readonly #total = { value: 0, size: 0, done: 0, items: 0 };
  readonly #active = new Map<string, Item>();
  /** Announced items whose size is not known yet. */
  readonly #unsized = new Set<string>();
  readonly #tell: ProgressSink;
  #started = 0;
  // Created when the first item starts, so that quick verbs draw nothing.
  #shown: { multi: cliProgress.MultiBar; summary: cliProgress.SingleBar } | undefined;

  constructor(context: Context, output: Output) {
    this.#context = context;
    this.#output = output;
    this.#tell = lines(output, false);
  }

  readonly sink = (event: ProgressEvent): void => {
    const total = this.#total;
    switch (event.type) {
      case "queued":
        if (event.size === undefined) this.#unsized.add(event.id);
        total.size += event.size ?? 0;
        total.items++;
        break;
      case "start": {
        const { size = 0, label } = event;
        const { multi } = this.#show();
        if (this.#unsized.delete(event.id)) total.size += size;
        this.#active.set(event.id, { bar: multi.create(Math.max(1, size), 0, { label }), value: 0, size });
        break;
      }
      case "bytes":
        this.#add(event.count, event.id);
        break;
      case "done":
        this.#finish(event.id);
        break;
      default:
        this.#tell(event);
    }
    this.#refresh();
  };

  stop(): void {
    if (this.#shown === undefined) return;
    const { multi } = this.#shown;
    this.#shown = undefined;
    this.#active.clear();
    this.#output.line = undefined;
    // Write lines that were printed since the last drawing.
    multi.update();
    multi.stop();
  }

  #show(): { multi: cliProgress.MultiBar; summary: cliProgress.SingleBar } {
    if (this.#shown === undefined) {
      const multi = new cliProgress.MultiBar(this.#style(), cliProgress.Presets.shades_classic);
      this.#shown = { multi, summary: multi.create(1, 0, { label: "in all" }) };
      this.#started = this.#context.clock.now();
      this.#output.line = (text) => multi.log(`${CLEAR_BELOW}${text}\n`);
    }
    return this.#shown;
  }

  #style(): cliProgress.Options {
    const { stderr } = this.#context;
    return {
      stream: stderr as NodeJS.WriteStream,
      hideCursor: true,
      clearOnComplete: true,
      stopOnComplete: false,
      fps: 8,
      // Printed lines may be longer than the screen is wide; the bars are cut to fit.
      linewrap: true,
      format: (_options, params, payload) => {
        const { value, total, progress } = params;
        const { label, tail = "" } = payload as { label: string; tail?: string };
        return barLine({ label, tail, value, total, share: progress }, stderr.columns ?? 80);
      },
    };
  }

  #add(bytes: number, id: string): void {
    const item = this.#active.get(id);
    if (item === undefined) return;
    item.value += bytes;
    this.#total.value += bytes;
    item.bar.update(item.value);
  }

  #finish(id: string): void {
    const item = this.#active.get(id);
    // It ended before its size was known.
    if (this.#unsized.delete(id)) this.#total.done++;
    // Manifests are neither queued nor shown.
    if (item === undefined) return;
    this.#total.value += item.size - item.value;
    this.#total.done++;
    this.#shown?.multi.remove(item.bar);
    this.#active.delete(id);
  }

  #refresh(): void {
    if (this.#shown === undefined) return;
    const { value, done, items } = this.#total;
    const size = estimatedSize(this.#total, this.#unsized.size);
    const seconds = Math.max(0.001, (this.#context.clock.now() - this.#started) / 1000);
    const rate = value / seconds;
    const left = rate > 0 && size > value ? ((size - value) / rate) * 1000 : 0;
    const tail = `${formatBytes(rate)}/s${left > 0 ? `, ${formatDuration(left)} left` : ""}`;
    this.#shown.summary.setTotal(Math.max(1, size));
    this.#shown.summary.update(value, { label: `${done} of ${items} done`, tail });
  }
}
