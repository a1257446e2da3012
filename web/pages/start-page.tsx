// The start page: search as you type over the names of packages, and over hashes.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { PackageRow } from "../../lib/catalogue/catalogue-data.ts";
import type { CatalogueLoader } from "../catalogue-loader.ts";
import { count, formatNumber, shortHash } from "../format.ts";
import { addressText } from "../how-to-get.ts";
import { useLoaded } from "../parts/loaded.tsx";
import { packageLink, specLink, startLink } from "../routes.ts";
import { findPackages, parseSearch } from "../search.ts";

/** Rows that a screen shows: the first view has no more, because a long table takes time to lay out. */
const FIRST = 40;
/** Rows that are shown once the first ones are, and with each further step. */
const STEP = 200;

/** Milliseconds: more than a frame takes. */
const AFTER_PAINT = 100;

/** The list of packages. */
export function StartPage({ loader, text: first }: { readonly loader: CatalogueLoader; readonly text: string }) {
  const { start } = loader;
  const [text, setText] = useState(first);
  const [most, setMost] = useState(FIRST);
  useEffect(() => {
    const timer = setTimeout(() => setMost((now) => Math.max(now, STEP)), AFTER_PAINT);
    return () => clearTimeout(timer);
  }, []);
  const list = useRef<HTMLDivElement>(null);
  const wanted = parseSearch(text);
  const found = useMemo(() => findPackages(start.packages, wanted.name), [start, wanted.name]);
  const change = (value: string) => {
    setText(value);
    setMost(STEP);
    history.replaceState(null, "", startLink(value));
  };
  const links = () => [...(list.current?.querySelectorAll<HTMLAnchorElement>("a") ?? [])];
  const onKey = (event: KeyboardEvent) => {
    const all = links();
    const at = all.indexOf(event.target as HTMLAnchorElement);
    const box = document.querySelector<HTMLInputElement>("input[type=search]");
    if (event.key === "ArrowDown") all[at + 1]?.focus();
    else if (event.key === "ArrowUp") (at > 0 ? all[at - 1] : box)?.focus();
    else if (event.key === "Enter" && at < 0) all[0]?.click();
    else if (event.key === "Escape") {
      change("");
      box?.focus();
    } else return;
    event.preventDefault();
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the keys belong to the links and the box inside
    <div onKeyDown={onKey}>
      <h1 class="address">{addressText(start.address, new URL(location.href))}</h1>
      <p class="facts">
        {count(start.specs, "spec")} of {count(start.packages.filter(([, specs]) => specs > 0).length, "package")}
        {start.damaged > 0 && `; ${count(start.damaged, "record")} of the index cannot be used`}
      </p>
      <label class="search">
        <span>Search packages</span>
        <input
          type="search"
          value={text}
          placeholder="hdf5, hdf5@1.14 +mpi, or /hash"
          autocomplete="off"
          spellcheck={false}
          onInput={(event) => change(event.currentTarget.value)}
        />
      </label>
      {start.packages.length === 0 && (
        <p class="empty">This cache has no specs yet, or no index: stave index makes one.</p>
      )}
      <div ref={list}>
        {wanted.hash !== undefined && wanted.hash !== "" ? (
          <Hashes loader={loader} letters={wanted.hash} />
        ) : (
          <Packages rows={found.slice(0, most)} all={found.length} filter={wanted.rest} />
        )}
      </div>
      {most >= STEP && found.length > most && wanted.hash === undefined && (
        <p class="more">
          <button type="button" onClick={() => setMost(most + STEP)}>
            Show {formatNumber(Math.min(STEP, found.length - most))} more of {formatNumber(found.length)}
          </button>
        </p>
      )}
    </div>
  );
}

function Packages({
  rows,
  all,
  filter,
}: {
  readonly rows: readonly PackageRow[];
  readonly all: number;
  readonly filter: string;
}) {
  return (
    <>
      <p class="hidden" role="status">
        {count(all, "package")}
      </p>
      {rows.length === 0 ? (
        <p class="empty">No package has such a name.</p>
      ) : (
        <table class="packages">
          <thead>
            <tr>
              <th scope="col">Package</th>
              <th scope="col">Newest version</th>
              <th scope="col" class="number">
                Specs
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map(([name, specs, newest]) => (
              <tr key={name}>
                <th scope="row">
                  <a href={packageLink(name, { filter })}>{name}</a>
                </th>
                <td class="version">{newest}</td>
                <td class="number">{specs > 0 ? formatNumber(specs) : "–"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}

function Hashes({ loader, letters }: { readonly loader: CatalogueLoader; readonly letters: string }) {
  const state = useLoaded(letters, () => loader.withHash(letters));
  if (state === undefined) return <p class="loading">Loading…</p>;
  if ("error" in state) return <p class="empty">{state.error}</p>;
  if (state.value.length === 0)
    return (
      <p class="empty">{letters.length < loader.start.shard ? "Type more of the hash." : "No spec has such a hash."}</p>
    );
  return (
    <ul class="hashes">
      {state.value.map(({ name, hash }) => (
        <li key={hash}>
          <a href={specLink({ name, hash })}>
            {name}/<code>{shortHash(hash)}</code>
          </a>
        </li>
      ))}
    </ul>
  );
}
