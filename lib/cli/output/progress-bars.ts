// Progress as bars on a terminal: the total of all that has started, above a bar for each thing under way.
import cliProgress from "cli-progress";
import { printable } from "../../printable/printable.ts";
import type { ProgressEvent, ProgressSink } from "../../util/progress.ts";
import type { Context } from "../machine/context.ts";
import type { ProgressDisplay } from "./display.ts";
import { formatBytes, formatDuration } from "./formatting.ts";
import type { Output } from "./output.ts";
import { lines } from "./progress-lines.ts";

// Only the line that is written to is cleared otherwise; what is longer would show the bars' remains behind its end.
const CLEAR_BELOW = "\u001b[0J";

/** One thing under way. */
interface Item {
  bar: cliProgress.SingleBar;
  value: number;
  size: number;
}

/** The total of all that has started, with rate and remaining time, above a bar for each thing under way. */
export class Bars implements ProgressDisplay {
  readonly #context: Context;
  readonly #output: Output;
  readonly #total = { value: 0, size: 0, done: 0, items: 0 };
  readonly #active = new Map<string, Item>();
  readonly #tell: ProgressSink;
  #started = 0;
  // On the screen from the first thing that starts, so that quick verbs draw nothing.
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
        total.size += event.size;
        total.items++;
        break;
      case "start": {
        const { size = 0, label } = event;
        const { multi } = this.#show();
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
    // What was told since the last drawing is still to be written.
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
      // What is told meanwhile may be longer than a line; the bars are cut.
      linewrap: true,
      format: (_options, params, payload) => {
        const width = Math.max(10, Math.min(30, (stderr.columns ?? 80) - 62));
        const full = Math.round(width * Math.min(1, params.progress));
        const bar = `${"█".repeat(full)}${"░".repeat(width - full)}`;
        const done = `${formatBytes(params.value)} of ${formatBytes(params.total)}`;
        const label = printable(String(payload.label)).padEnd(22).slice(0, 22);
        return `${label} ${bar} ${done.padEnd(21)} ${payload.tail ?? ""}`.slice(0, (stderr.columns ?? 80) - 1);
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
    // Manifests are neither queued nor shown.
    if (item === undefined) return;
    this.#total.value += item.size - item.value;
    this.#total.done++;
    this.#shown?.multi.remove(item.bar);
    this.#active.delete(id);
  }

  #refresh(): void {
    if (this.#shown === undefined) return;
    const { value, size, done, items } = this.#total;
    const seconds = Math.max(0.001, (this.#context.clock.now() - this.#started) / 1000);
    const rate = value / seconds;
    const left = rate > 0 && size > value ? ((size - value) / rate) * 1000 : 0;
    const tail = `${formatBytes(rate)}/s${left > 0 ? `, ${formatDuration(left)} left` : ""}`;
    this.#shown.summary.setTotal(Math.max(1, size));
    this.#shown.summary.update(value, { label: `${done} of ${items} done`, tail });
  }
}
