// Waits for a document, and shows what went wrong.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";

type State<T> = { readonly value: T } | { readonly error: string } | undefined;

/** The result of some loading; undefined while it is under way. `key` says what is loaded. */
export function useLoaded<T>(key: string, load: () => Promise<T>): State<T> {
  const [state, setState] = useState<{ readonly key: string; readonly state: State<T> }>();
  useEffect(() => {
    let isCurrent = true;
    load().then(
      (value) => isCurrent && setState({ key, state: { value } }),
      (error: unknown) =>
        isCurrent && setState({ key, state: { error: error instanceof Error ? error.message : String(error) } }),
    );
    return () => {
      isCurrent = false;
    };
  }, [key]);
  return state?.key === key ? state.state : undefined;
}

/** Shows a value once it is there. */
export function Loaded<T>({
  state,
  what,
  children,
}: {
  readonly state: State<T | undefined>;
  readonly what: string;
  readonly children: (value: T) => ComponentChildren;
}) {
  if (state === undefined) return <p class="loading">Loading…</p>;
  if ("error" in state) return <Problem title={`${what} cannot be loaded`} text={state.error} />;
  if (state.value === undefined)
    return (
      <Problem title={`${what} is not in this catalogue`} text="It may have been removed since the address was made." />
    );
  return <>{children(state.value)}</>;
}

/** What went wrong, in place of a page. */
export function Problem({ title, text }: { readonly title: string; readonly text: string }) {
  return (
    <section class="problem">
      <h1>{title}</h1>
      <p>{text}</p>
      <p>
        <a href="#/">All packages</a>
      </p>
    </section>
  );
}
