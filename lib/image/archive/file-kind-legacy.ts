// Decides which files Spack before 1.0 lists for relocation: it asked the `file` utility for the MIME type of each.
// This approximates `file` for what occurs in install trees; an error changes the archive's digest, but not its use.
import { type Classifier, isProgram, type Relocation } from "./file-kind.ts";
import { PrefixSearch } from "./prefix-search.ts";

// `file` reads the first MiB.
const WINDOW = 1024 * 1024;

/** Classifies as Spack 0.22 and 0.23 do. */
export class LegacyClassifier implements Classifier {
  readonly #search: PrefixSearch;
  readonly #window: Buffer[] = [];
  #size = 0;

  constructor(terms: readonly Buffer[]) {
    this.#search = new PrefixSearch(terms);
  }

  add(piece: Buffer): void {
    // The owner reuses the memory of pieces, so the window is a copy; most files are not text.
    if (this.#size < WINDOW) this.#window.push(Buffer.from(piece.subarray(0, WINDOW - this.#size)));
    this.#size += piece.length;
    this.#search.add(piece);
  }

  end(): Relocation {
    const head = Buffer.concat(this.#window);
    if (isElf(head)) return isLinked(head) ? "binary" : "none";
    if (isProgram(head)) return "binary";
    return this.#search.found && looksLikeText(head) && !isOtherThanText(head, this.#size) ? "text" : "none";
  }
}

const isElf = (head: Buffer): boolean => head.length >= 20 && head.readUInt32BE(0) === 0x7f454c46;

// True for programs and shared libraries, false for object files and core dumps (ELF, e_type).
function isLinked(head: Buffer): boolean {
  const type = head[5] === 2 ? head.readUInt16BE(16) : head.readUInt16LE(16);
  return type === 2 || type === 3;
}

// No control characters except BEL to CR and ESC, and no DEL; everything above ASCII (libmagic `encoding.c`).
const IS_TEXT = new Uint8Array(256).map((_, code) =>
  (code >= 7 && code <= 13) || code === 27 || (code >= 32 && code !== 127) ? 1 : 0,
);

function looksLikeText(head: Buffer): boolean {
  if (head.length === 0) return false;
  for (let at = 0; at < head.length; at++) if (IS_TEXT[head[at] ?? 0] === 0) return false;
  return true;
}

// Texts whose MIME type is not `text/…`, by their start; those of libmagic's many rules that matter in install trees.
const OTHER_TYPES: readonly RegExp[] = [
  /^%!|^%PDF-/,
  /^(?:\ufeff)?(?:\s*<\?xml[^>]*>)?(?:\s|<!--[\s\S]*?-->|<!DOCTYPE svg[^>[]*(?:\[[^\]]*\]\s*)?>)*<svg[\s>]/,
  /^\/\* XPM \*\//,
  /^P[1-3]\s+(?:#.*\s+)?\d+\s+\d+\s/,
  /^(?:Return-Path|Delivered-To|Received|From|Path|Xref|Relay-Version|Message-ID|X-Mailer):/i,
  /^#!.*\bnode\b/,
  /^\s*["']use strict["']/,
];

function isOtherThanText(head: Buffer, size: number): boolean {
  const text = head.toString("latin1");
  const start = text.slice(0, 4096);
  return OTHER_TYPES.some((type) => type.test(start)) || (size <= WINDOW && isJson(text)) || isScript(start);
}

// ECMAScript modules and Node programs.
function isScript(start: string): boolean {
  return /^(?:import|export)\b.*\bfrom\s+["']|^export\s+(?:const|default|class|function)\b|^(?:const|let|var)\s+.*=\s*require\(["']/m.test(
    start,
  );
}

function isJson(text: string): boolean {
  if (!/^\s*[[{]/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
