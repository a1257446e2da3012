// Progress on a terminal as bars, elsewhere as one line per finished thing.
import cliProgress from "cli-progress";
import type { ProgressEvent, ProgressSink } from "../util/progress.ts";
import type { Context } from "./context.ts";
import type { Output } from "./output.ts";
import { formatBytes, formatDuration } from "./text.ts";

/** A running display; `stop` takes the bars off the screen. */
export interface ProgressDisplay {
  sink: ProgressSink;
  stop: () => void;
}

/** Chooses the display: bars on a terminal, lines elsewhere, only warnings with --quiet or --json. */
export function progressDisplay(context: Context, output: Output): ProgressDisplay {
  const { quiet, json, progress } = output.options;
  const dumb = context.env["TERM"] === "dumb" || context.env["CI"] !== undefined;
  if (context.stderr.isTTY && !dumb && !quiet && progress !== false) return bars(context, output);
  return { sink: lines(output, quiet === true || json === true), stop: () => {} };
}

const VERBS = {
  copied: "copied",
  mounted: "mounted",
  checked: "checked",
  relocated: "relocated",
  skipped: "exists",
  failed: "failed",
} as const;

function lines(output: Output, silent: boolean): ProgressSink {
  return (event) => {
    if (event.type === "warning") output.warn(event.text);
    else if (silent) return;
    else if (event.type === "done") {
      if (event.isTold) return;
      const size = event.size === undefined ? "" : ` (${formatBytes(event.size)})`;
      const text = `${VERBS[event.outcome]} ${event.label}${size}`;
      if (event.outcome === "skipped") output.detail(text);
      else output.note(text);
    } else if (event.type === "wait") output.note(`waiting ${formatDuration(event.milliseconds)}: ${event.reason}`);
    else if (event.type === "note") output.note(event.text);
  };
}

/** The total of all that has started, with rate and remaining time, above a bar for each thing under way. */
function bars(context: Context, output: Output): ProgressDisplay {
  const started = context.clock.now();
  const multi = new cliProgress.MultiBar(
    {
      stream: context.stderr as NodeJS.WriteStream,
      hideCursor: true,
      clearOnComplete: true,
      stopOnComplete: false,
      fps: 8,
      format: (_options, params, payload) => {
        const width = Math.max(10, Math.min(30, (context.stderr.columns ?? 80) - 62));
        const full = Math.round(width * Math.min(1, params.progress));
        const bar = `${"█".repeat(full)}${"░".repeat(width - full)}`;
        const done = `${formatBytes(params.value)} of ${formatBytes(params.total)}`;
        return `${String(payload.label).padEnd(22).slice(0, 22)} ${bar} ${done.padEnd(21)} ${payload.tail ?? ""}`;
      },
    },
    cliProgress.Presets.shades_classic,
  );
  const total = { value: 0, size: 0, done: 0, items: 0 };
  const summary = multi.create(1, 0, { label: "in all" });
  const active = new Map<string, { bar: cliProgress.SingleBar; value: number; size: number }>();

  const refresh = () => {
    const seconds = Math.max(0.001, (context.clock.now() - started) / 1000);
    const rate = total.value / seconds;
    const left = rate > 0 && total.size > total.value ? ((total.size - total.value) / rate) * 1000 : 0;
    const tail = `${formatBytes(rate)}/s${left > 0 ? `, ${formatDuration(left)} left` : ""}`;
    summary.setTotal(Math.max(1, total.size));
    summary.update(total.value, { label: `${total.done} of ${total.items} done`, tail });
  };
  const add = (bytes: number, id: string) => {
    const item = active.get(id);
    if (item === undefined) return;
    item.value += bytes;
    total.value += bytes;
    item.bar.update(item.value);
  };
  const handle = (event: ProgressEvent) => {
    switch (event.type) {
      case "queued":
        total.size += event.size;
        total.items++;
        break;
      case "start": {
        const size = event.size ?? 0;
        active.set(event.id, { bar: multi.create(Math.max(1, size), 0, { label: event.label }), value: 0, size });
        break;
      }
      case "bytes":
        add(event.count, event.id);
        break;
      case "done": {
        const item = active.get(event.id);
        // Manifests are neither queued nor shown.
        if (item === undefined) break;
        total.value += item.size - item.value;
        total.done++;
        multi.remove(item.bar);
        active.delete(event.id);
        break;
      }
      case "wait":
        output.note(`waiting ${formatDuration(event.milliseconds)}: ${event.reason}`);
        break;
      case "note":
        output.note(event.text);
        break;
      case "warning":
        output.warn(event.text);
        break;
    }
    refresh();
  };
  output.line = (text) => multi.log(`${text}\n`);
  return {
    sink: handle,
    stop: () => {
      output.line = undefined;
      multi.stop();
    },
  };
}
