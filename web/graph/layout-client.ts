// Starts the thread that lays out graphs when the first one is shown, and asks it.
import type { LayoutAnswer, LayoutQuestion } from "./layout-message.ts";

interface TrustedTypes {
  createPolicy(
    name: string,
    rules: { createScriptURL(text: string): string },
  ): { createScriptURL(text: string): string };
}

const waiting = new Map<
  number,
  { readonly done: (answer: LayoutAnswer) => void; readonly fail: (error: Error) => void }
>();
let thread: Worker | undefined;
let asked = 0;

// The address is in the page, because the file is named after its content.
function scriptAddress(): string {
  const path = document.querySelector<HTMLMetaElement>('meta[name="stave-layout"]')?.content ?? "";
  const url = new URL(path, document.baseURI).href;
  const types = (globalThis as { readonly trustedTypes?: TrustedTypes }).trustedTypes;
  if (types === undefined) return url;
  // The policy of the page admits scripts by this policy only, and this policy admits one address.
  const policy = types.createPolicy("stave-layout", {
    createScriptURL: (text) => {
      if (text !== url) throw new TypeError("not the thread that lays out graphs");
      return text;
    },
  });
  return policy.createScriptURL(url);
}

function start(): Worker {
  const started = new Worker(scriptAddress());
  started.addEventListener("message", ({ data }: MessageEvent<LayoutAnswer>) => {
    waiting.get(data.id)?.done(data);
    waiting.delete(data.id);
  });
  started.addEventListener("error", () => {
    for (const { fail } of waiting.values()) fail(new Error("the graph cannot be laid out"));
    waiting.clear();
  });
  return started;
}

/** Lays out a graph. */
export function layOut(question: Omit<LayoutQuestion, "id">): Promise<LayoutAnswer> {
  thread ??= start();
  const id = ++asked;
  const answer = new Promise<LayoutAnswer>((done, fail) => waiting.set(id, { done, fail }));
  thread.postMessage({ id, ...question });
  return answer;
}
