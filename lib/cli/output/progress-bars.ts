// Shows progress as bars on a terminal: a total above a bar for each item in progress.
import cliProgress from "cli-progress";
import { printable } from "../../printable/printable.ts";
import type { ProgressEvent, ProgressSink } from "../../util/progress.ts";
import type { Context } from "../machine/context.ts";
import type { ProgressDisplay } from "./display.ts";
import { formatBytes, formatDuration } from "./formatting.ts";
import type { Output } from "./output.ts";
import { lines } from "./progress-lines.ts";
import { cutText, padText, textWidth } from "./text-width.ts";

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
  /** The label if there is little space. */
  readonly shortLabel?: string | undefined;
  readonly value: number;
  readonly total: number;
  /** The completed share, from 0 to 1. */
  readonly share: number;
  readonly rate?: string | undefined;
  /** The remaining time. */
  readonly left?: string | undefined;
}

// The widths of `12 of 3456 done`, `999.9 MB`, `999.9 MB of 999.9 MB`, `59 min 59 s left` and `999.9 MB/s, 59 min 59 s
// left`. They depend on the terminal only, so that the columns of all lines agree.
const LABEL = 15;
const WIDE_LABEL = 22;
const VALUE = 8;
const VALUE_AND_TOTAL = 20;
const LEFT = 16;
const RATE_AND_LEFT = 28;

/**
 * Formats one line of progress for a terminal. If space is scarce, first the bar gets shorter, then the label, then the
 * total and the rate are left out; no number is ever cut.
 */
export function barLine(line: BarLine, columns: number): string {
  const { label, shortLabel = label, value, total, share, rate, left } = line;
  const width = columns - 1;
  const [long, short] = [[rate, left].filter((text) => text !== undefined).join(", "), left ?? ""];
  const both = `${formatBytes(value)} of ${formatBytes(total)}`.padEnd(VALUE_AND_TOTAL);
  const only = formatBytes(value).padEnd(VALUE);
  const layouts = [
    { least: LABEL, room: width - VALUE_AND_TOTAL - RATE_AND_LEFT - 2, parts: [both, long] },
    { least: LABEL, room: width - VALUE - RATE_AND_LEFT - 2, parts: [only, long] },
    { least: 0, room: width - VALUE - LEFT - 2, parts: [only, short] },
  ];
  const fits = layouts.find(({ room, least }) => room >= Math.max(least, textWidth(shortLabel)));
  const { room, parts } = fits ?? { room: width - VALUE - 1, parts: [only] };
  const labelWidth = Math.max(0, Math.min(WIDE_LABEL, Math.max(LABEL, room - 12), room));
  const barWidth = Math.min(30, room - labelWidth - 1);
  const full = Math.round(barWidth * Math.min(1, share));
  const bar = barWidth < 4 ? [] : [`${"█".repeat(full)}${"░".repeat(barWidth - full)}`];
  const shown = cutText(printable(textWidth(label) > labelWidth ? shortLabel : label), labelWidth);
  return [padText(shown, labelWidth), ...bar, ...parts].join(" ").trimEnd().slice(0, width);
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
  /** The announced items that have not started, with their sizes. */
  readonly #queued = new Map<string, number | undefined>();
  readonly #tell: ProgressSink;
  /** How many of them have no size yet. */
  #unsized = 0;
  #started = 0;
  // Created when the first item starts, so that quick verbs draw nothing.
  #shown: { multi: cliProgress.MultiBar; summary: cliProgress.SingleBar } | undefined;

  constructor(context: Context, output: Output) {
    this.#context = context;
    this.#output = output;
    this.#tell = lines(output, false);
  }

  readonly sink = (event: ProgressEvent): void => {
    switch (event.type) {
      case "queued":
        this.#announce(event.id, event.size);
        break;
      case "start": {
        const { id, size = 0, label } = event;
        const { multi } = this.#show();
        // Damaged content is fetched again, from its start.
        this.#forget(id);
        if (!this.#queued.has(id)) this.#announce(id, size);
        if (this.#withdraw(id) === undefined) this.#total.size += size;
        this.#active.set(id, { bar: multi.create(Math.max(1, size), 0, { label }), value: 0, size });
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
        const texts = payload as Pick<BarLine, "label" | "shortLabel" | "rate" | "left">;
        return barLine({ ...texts, value, total, share: progress }, stderr.columns ?? 80);
      },
    };
  }

  #add(bytes: number, id: string): void {
    const item = this.#active.get(id);
    if (item === undefined) return;
    item.value += bytes;
    this.#total.value += bytes;
    // Its size was unknown, or told wrongly.
    const more = Math.max(0, item.value - item.size);
    item.size += more;
    this.#total.size += more;
    if (more > 0) item.bar.setTotal(item.size);
    item.bar.update(item.value);
  }

  #announce(id: string, size: number | undefined): void {
    this.#queued.set(id, size);
    if (size === undefined) this.#unsized++;
    this.#total.size += size ?? 0;
    this.#total.items++;
  }

  // Returns the announced size of an item that no longer waits.
  #withdraw(id: string): number | undefined {
    const size = this.#queued.get(id);
    if (this.#queued.delete(id) && size === undefined) this.#unsized--;
    return size;
  }

  // As if an item in progress had never been announced.
  #forget(id: string): void {
    const item = this.#active.get(id);
    if (item === undefined) return;
    this.#shown?.multi.remove(item.bar);
    this.#active.delete(id);
    this.#total.value -= item.value;
    this.#total.size -= item.size;
    this.#total.items--;
  }

  // Manifests are neither announced nor shown.
  #finish(id: string): void {
    const item = this.#active.get(id);
    if (item !== undefined) {
      this.#total.value += item.size - item.value;
      this.#total.done++;
      this.#shown?.multi.remove(item.bar);
      this.#active.delete(id);
    } else if (this.#queued.has(id)) {
      this.#total.value += this.#withdraw(id) ?? 0;
      this.#total.done++;
    }
  }

  #refresh(): void {
    if (this.#shown === undefined) return;
    const { value, done, items } = this.#total;
    const size = estimatedSize(this.#total, this.#unsized);
    const seconds = Math.max(0.001, (this.#context.clock.now() - this.#started) / 1000);
    const rate = value / seconds;
    const left = rate > 0 && size > value ? ((size - value) / rate) * 1000 : 0;
    this.#shown.summary.setTotal(Math.max(1, size));
    this.#shown.summary.update(value, {
      label: `${done} of ${items} done`,
      shortLabel: `${done}/${items}`,
      rate: `${formatBytes(rate)}/s`,
      left: left > 0 ? `${formatDuration(left)} left` : undefined,
    });
  }
}
