// The page of a package: its specs, newest version first, with a filter, and two of them to compare.
import { useMemo, useState } from "preact/hooks";
import type { PackageDocument, SpecLine } from "../../lib/catalogue/catalogue-data.ts";
import type { CatalogueLoader } from "../catalogue-loader.ts";
import { count, shortHash } from "../format.ts";
import { Loaded, useLoaded } from "../parts/loaded.tsx";
import { Marks } from "../parts/marks.tsx";
import { Parameters } from "../parts/parameters.tsx";
import { diffLink, packageLink, specLink } from "../routes.ts";
import { matchesAll } from "../search.ts";

/** Rows that are shown at first, and with each further step. */
const STEP = 100;

interface Props {
  readonly loader: CatalogueLoader;
  readonly name: string;
  readonly filter: string;
  /** The hash of a spec to compare another one with. */
  readonly compared: string | undefined;
}

/** The specs of a package. */
export function PackagePage(props: Props) {
  const state = useLoaded(props.name, () => props.loader.package(props.name));
  return (
    <Loaded state={state} what={`The package ${props.name}`}>
      {(found) => <Specs {...props} found={found} />}
    </Loaded>
  );
}

function Specs({ name, filter, compared, found }: Props & { readonly found: PackageDocument }) {
  const [text, setText] = useState(filter);
  const [chosen, setChosen] = useState<readonly string[]>(compared === undefined ? [] : [compared]);
  const [most, setMost] = useState(STEP);
  const lines = useMemo(
    () =>
      found.lines.filter(([hash, version, architecture, compiler, parameters]) =>
        matchesAll(text, [`@${version}`, version, architecture, `%${compiler}`, parameters, hash]),
      ),
    [found, text],
  );
  const toggle = (hash: string) =>
    setChosen(chosen.includes(hash) ? chosen.filter((other) => other !== hash) : [...chosen.slice(-1), hash]);
  const [left, right] = chosen;
  return (
    <>
      <nav class="trail" aria-label="Path">
        <a href="#/">Packages</a> /
      </nav>
      <h1>{name}</h1>
      <p class="facts">{count(found.lines.length, "spec")}</p>
      <label class="search">
        <span>Filter by version, variant, compiler, target or hash</span>
        <input
          type="search"
          value={text}
          placeholder="1.14 +mpi gcc zen3"
          autocomplete="off"
          spellcheck={false}
          onInput={(event) => {
            setText(event.currentTarget.value);
            setMost(STEP);
            history.replaceState(null, "", packageLink(name, { filter: event.currentTarget.value }));
          }}
        />
      </label>
      <p class="compare" role="status">
        {left !== undefined && right !== undefined ? (
          <a class="button" href={diffLink({ name, hash: left }, { name, hash: right })}>
            Compare {shortHash(left)} with {shortHash(right)}
          </a>
        ) : (
          <span>
            {left === undefined
              ? `${count(lines.length, "spec")} shown. Mark two to compare them.`
              : `Mark another spec to compare ${shortHash(left)} with.`}
          </span>
        )}
      </p>
      <ul class="specs">
        {lines.slice(0, most).map((line) => (
          <Line key={line[0]} name={name} line={line} isChosen={chosen.includes(line[0])} onToggle={toggle} />
        ))}
      </ul>
      {lines.length === 0 && <p class="empty">No spec of this package fits the filter.</p>}
      {lines.length > most && (
        <p class="more">
          <button type="button" onClick={() => setMost(most + STEP)}>
            Show {Math.min(STEP, lines.length - most)} more of {lines.length}
          </button>
        </p>
      )}
    </>
  );
}

function Line({
  name,
  line: [hash, version, architecture, compiler, parameters, marks],
  isChosen,
  onToggle,
}: {
  readonly name: string;
  readonly line: SpecLine;
  readonly isChosen: boolean;
  readonly onToggle: (hash: string) => void;
}) {
  return (
    <li>
      <label class="choose" title="Compare">
        <input type="checkbox" checked={isChosen} onChange={() => onToggle(hash)} />
        <span class="hidden">
          Compare {version}/{shortHash(hash)}
        </span>
      </label>
      <div>
        <a href={specLink({ name, hash })}>
          <strong>{version}</strong> <code>/{shortHash(hash)}</code>
        </a>{" "}
        <Marks marks={marks} />
        <span class="built">{[compiler && `%${compiler}`, architecture].filter((part) => part !== "").join("  ")}</span>
        <Parameters text={parameters} />
      </div>
    </li>
  );
}
