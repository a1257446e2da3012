// The frame of all pages: the name of the cache, the way back, the theme.
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import type { CatalogueLoader } from "../catalogue-loader.ts";
import { addressText } from "../how-to-get.ts";
import type { Route } from "../routes.ts";

const THEMES = ["auto", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];
const KEY = "stave-theme";

// A browser may refuse to store anything.
function storedTheme(): Theme {
  try {
    return THEMES.find((theme) => theme === localStorage.getItem(KEY)) ?? "auto";
  } catch {
    return "auto";
  }
}

function applyTheme(theme: Theme): void {
  if (theme === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // It lasts until the page is closed.
  }
}

function ThemeButton() {
  const [theme, setTheme] = useState(storedTheme);
  // Before the page is painted: with an effect after it, the old colours would flash up.
  useLayoutEffect(() => applyTheme(theme), [theme]);
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "auto";
  return (
    <button type="button" class="quiet" onClick={() => setTheme(next)} title={`Theme: ${theme}. Change to ${next}`}>
      <span aria-hidden="true">{{ auto: "◐", light: "☀", dark: "☾" }[theme]}</span>
      <span class="hidden">Theme: {theme}</span>
    </button>
  );
}

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || /^(?:INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

function titleOf(route: Route, cache: string): string {
  if (route.page === "package") return `${route.name} · ${cache}`;
  if (route.page === "spec") return `${route.name}/${route.hash.slice(0, 7)} · ${cache}`;
  if (route.page === "diff") return `${route.left.name} and ${route.right.name} · ${cache}`;
  return cache;
}

/** The frame of a page. */
export function Shell({
  loader,
  route,
  children,
}: {
  readonly loader: CatalogueLoader;
  readonly route: Route;
  readonly children: ComponentChildren;
}) {
  const cache = addressText(loader.start.address, new URL(location.href));
  useEffect(() => {
    document.title = titleOf(route, cache);
  }, [route, cache]);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      event.preventDefault();
      const box = document.querySelector<HTMLInputElement>("input[type=search]");
      if (box === null) location.hash = "#/";
      else box.focus();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  return (
    <>
      <button type="button" class="skip" onClick={() => document.querySelector<HTMLElement>("main")?.focus()}>
        Skip to content
      </button>
      <header>
        <a class="home" href="#/">
          <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true">
            <path class="wood" d="M6 3h4v26H6q-4-13 0-26zm6 0h8v26h-8zm10 0h4q4 13 0 26h-4z" />
            <path class="hoop" d="M3.6 9h24.8v2H3.6zm0 12h24.8v2H3.6z" />
          </svg>
          <span>{route.page === "start" ? "build cache" : cache}</span>
        </a>
        <ThemeButton />
      </header>
      <main id="main" tabIndex={-1}>
        {children}
      </main>
      <footer>
        <p>
          Made by <strong>stave</strong> from the index of the cache.{" "}
          <a href="plain/1.html">All packages as a plain table</a>. Keys: <kbd>/</kbd> searches, <kbd>↑</kbd>{" "}
          <kbd>↓</kbd> move, <kbd>Enter</kbd> opens.
        </p>
      </footer>
    </>
  );
}
