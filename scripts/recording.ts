// Records a session of the command as an animated SVG: real commands with their real output, and made-up times, so
// that the same program gives the same picture. usage: tsx scripts/recording.ts [FILE]
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = new URL("..", import.meta.url).pathname;
const COMMANDS = [
  "stave list ./cache -al",
  "stave run ./cache paddle -- paddle",
  "stave push ./images fleet --from ./cache --tag app",
  "stave web ./cache -o ./public",
];
const COLUMNS = 80;
/** Lines of output of one command; the middle of longer ones is left out. */
const MOST_LINES = 7;
/** Seconds for a letter that is typed, before a command's output, and after it. */
const [TYPING, THINKING, READING] = [0.035, 0.4, 1.6];
const [LETTER, LINE, MARGIN, BAR] = [8.4, 19, 16, 34];

/** One line of the terminal; the letters of commands appear one after the other. */
interface Line {
  readonly text: string;
  readonly isCommand: boolean;
  readonly from: number;
}

/** The picture of the session. */
export function recording(): string {
  const work = mkdtempSync("/tmp/r");
  try {
    cpSync(join(root, "testdata/golden/spack-1.2/plain.oci"), join(work, "cache"), { recursive: true });
    return picture(COMMANDS.map((command) => ({ command, output: outputOf(command, work) })));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function outputOf(command: string, cwd: string): readonly string[] {
  const words = command.split(" ").slice(1);
  // A machine of the kind that the specs are for.
  if (words[0] === "run") words.splice(3, 0, "-o");
  const env = { HOME: cwd, PATH: process.env["PATH"] ?? "", SPACK_ROOT: "", TERM: "dumb", COLUMNS: String(COLUMNS) };
  // As on a terminal, both streams are one.
  const args = ["-c", '"$@" 2>&1', "sh", process.execPath, join(root, "dist/stave.js"), ...words];
  const { status, stdout } = spawnSync("sh", args, { cwd, env, encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ended with ${status}:\n${stdout}`);
  const lines = stdout.replaceAll(cwd, "~").trimEnd().split("\n");
  const cut = lines.length > MOST_LINES ? [...lines.slice(0, 2), "…", ...lines.slice(3 - MOST_LINES)] : lines;
  return cut.map((line) => (line.length > COLUMNS ? `${line.slice(0, COLUMNS - 1)}…` : line));
}

function picture(steps: readonly { readonly command: string; readonly output: readonly string[] }[]): string {
  const lines: Line[] = [];
  let now = 0.5;
  for (const { command, output } of steps) {
    lines.push({ text: command, isCommand: true, from: rounded(now) });
    now += command.length * TYPING + THINKING;
    for (const text of output) lines.push({ text, isCommand: false, from: rounded(now) });
    now += READING;
  }
  const length = now + 3;
  const [width, height] = [Math.ceil(COLUMNS * LETTER + 2 * MARGIN), lines.length * LINE + BAR + MARGIN + 6];
  const percent = (seconds: number): string => `${((100 * seconds) / length).toFixed(2)}%`;
  const starts = [
    ...new Set(lines.flatMap((line) => (line.isCommand ? typed(line).map(([, from]) => from) : [line.from]))),
  ];
  const rules = starts.map(
    (from, at) =>
      `@keyframes k${at}{0%,${percent(from - 0.01)}{opacity:0}${percent(from)},100%{opacity:1}}.t${at}{animation:k${at} ${length.toFixed(1)}s infinite}`,
  );
  const classOf = (from: number): string => `t${starts.indexOf(from)}`;
  const texts = lines.map((line, at) => {
    const y = BAR + MARGIN + at * LINE;
    const { text, isCommand, from } = line;
    if (!isCommand)
      return `<text x="${MARGIN}" y="${y}" class="${classOf(from)} ${kindOf(text)}">${escaped(text)}</text>`;
    const parts = typed(line).map(([part, when]) => `<tspan class="${classOf(when)}">${escaped(part)}</tspan>`);
    return `<text x="${MARGIN}" y="${y}" class="command"><tspan class="prompt ${classOf(from)}">$ </tspan>${parts.join("")}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title">
<title id="title">A terminal: ${steps.map(({ command }) => escaped(command)).join("; ")}</title>
<style>text{font:14px ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;fill:#d8d4cc;white-space:pre}.command{fill:#fff;font-weight:600}.prompt{fill:#f2ad62}.plus{fill:#8fd69c}.dim{fill:#9b958b}
${rules.join("\n")}
@media (prefers-reduced-motion:reduce){text,tspan{animation:none!important}}</style>
<rect width="${width}" height="${height}" rx="9" fill="#1b1c20"/>
<circle cx="20" cy="17" r="5.5" fill="#e5655a"/><circle cx="38" cy="17" r="5.5" fill="#e3b341"/><circle cx="56" cy="17" r="5.5" fill="#57ab5a"/>
${texts.join("\n")}
</svg>
`;
}

/** Equal moments are equal numbers. */
const rounded = (seconds: number): number => Number(seconds.toFixed(3));

/** A command in parts of a few letters, each with the second at which it appears. */
function typed({ text, from }: Line): [part: string, from: number][] {
  const parts = text.match(/.{1,4}/g) ?? [];
  return parts.map((part, at) => [part, rounded(from + at * 4 * TYPING)]);
}

function kindOf(text: string): string {
  if (text.startsWith("+ ")) return "plus";
  return /^(?:copied|installed|warning|--|note|…)/.test(text) ? "dim" : "output";
}

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

const file = process.argv[2] ?? join(root, "docs/pictures/terminal.svg");
writeFileSync(file, recording());
console.log(`written: ${file}`);
