// The page of a spec: how to get it, what it is, what it needs and what needs it, and its image.
import type { ComponentChildren } from "preact";
import type { Attached, DependencyRow, DependentRow, SpecDetails } from "../../lib/catalogue/catalogue-data.ts";
import type { CatalogueLoader } from "../catalogue-loader.ts";
import { count, formatBytes, formatNumber, shortHash, typeNames } from "../format.ts";
import { GraphView } from "../graph/graph-view.tsx";
import { howToGet } from "../how-to-get.ts";
import { CopyBlock } from "../parts/copy-block.tsx";
import { Loaded, useLoaded } from "../parts/loaded.tsx";
import { Marks } from "../parts/marks.tsx";
import { packageLink, type SpecKey, specLink } from "../routes.ts";

interface Props extends SpecKey {
  readonly loader: CatalogueLoader;
}

/** One spec. */
export function SpecPage(props: Props) {
  const { loader, name, hash } = props;
  const state = useLoaded(hash, () => loader.spec({ name, hash }));
  return (
    <Loaded state={state} what={`The spec ${name}/${shortHash(hash)}`}>
      {(spec) => <Details {...props} spec={spec} />}
    </Loaded>
  );
}

function Details({ loader, name, spec }: Props & { readonly spec: SpecDetails }) {
  const recipes = howToGet(loader.start.address, name, spec, new URL(location.href));
  return (
    <>
      <nav class="trail" aria-label="Path">
        <a href="#/">Packages</a> / <a href={packageLink(name)}>{name}</a> /
      </nav>
      <h1>
        {name}
        <span class="at">@{spec.version}</span> <code>/{shortHash(spec.hash)}</code>
      </h1>
      <p class="facts">
        <Marks marks={spec.marks} /> {spec.compiler !== "" && <>built with {spec.compiler} </>}
        {spec.target !== "" && <>for {`${spec.platform}-${spec.os}-${spec.target}`}</>}
        {" · "}
        <a href={packageLink(name, { compared: spec.hash })}>compare with another spec</a>
      </p>
      {spec.problem !== undefined && spec.platform === "" && <p class="mark warn">{spec.problem}</p>}
      {recipes.length > 0 && (
        <Section title="How to get it">
          <div class="recipes">
            {recipes.map(({ program, lines, note }) => (
              <div key={program}>
                <h3>{program}</h3>
                {lines.length > 0 && <CopyBlock lines={lines} label={program} />}
                {note !== undefined && <p class="note">{note}</p>}
              </div>
            ))}
          </div>
        </Section>
      )}
      <Section title="Identity">
        <dl>
          <Fact name="DAG hash">
            <code>{spec.hash}</code>
          </Fact>
          <Fact name="Tag">
            <code>{spec.tag}</code>
          </Fact>
          {spec.namespace !== undefined && <Fact name="Recipe">{`${spec.namespace}.${name}`}</Fact>}
          {spec.path !== undefined && (
            <Fact name="Path">
              <code>{spec.path}</code>
            </Fact>
          )}
          {spec.flags.map(([kind, flags]) => (
            <Fact key={kind} name={kind}>
              <code>{flags}</code>
            </Fact>
          ))}
          {spec.builtAs !== undefined && (
            <Fact name="Spliced from">
              <a href={specLink({ name: spec.builtAs[0], hash: spec.builtAs[1] })}>
                {spec.builtAs[0]}/{shortHash(spec.builtAs[1])}
              </a>
            </Fact>
          )}
        </dl>
      </Section>
      {spec.variants.length > 0 && (
        <Section title="Variants">
          <ul class="chips">
            {spec.variants.map(([variant, value]) => (
              <li key={variant} class={kindOf(value)}>
                {kindOf(value) === "value" ? (
                  <>
                    {variant}=<b>{value}</b>
                  </>
                ) : (
                  `${value === "true" ? "+" : "~"}${variant}`
                )}
              </li>
            ))}
          </ul>
        </Section>
      )}
      <Section title={`Dependencies (${spec.dependencies.length})`}>
        {spec.dependencies.length === 0 ? (
          <p>None.</p>
        ) : (
          <>
            <GraphView loader={loader} root={{ name, spec }} />
            <Dependencies title="Needed to run" rows={spec.dependencies.filter(([, , , types]) => (types & 3) !== 0)} />
            <Dependencies title="Only to build" rows={spec.dependencies.filter(([, , , types]) => (types & 3) === 0)} />
          </>
        )}
      </Section>
      <Section title={`Dependents (${formatNumber(spec.dependentCount)})`}>
        {spec.dependentCount === 0 ? (
          <p>No spec of the index depends on it directly.</p>
        ) : (
          <Dependents rows={spec.dependents} />
        )}
        {spec.dependentCount > spec.dependents.length && (
          <p class="note">
            The first {spec.dependents.length} of {formatNumber(spec.dependentCount)}.
          </p>
        )}
      </Section>
      <Section title={loader.start.address.kind === "mirror" ? "Archive" : "Image"}>
        <Image spec={spec} isRead={loader.start.hasImages} />
      </Section>
    </>
  );
}

function Section({ title, children }: { readonly title: string; readonly children: ComponentChildren }) {
  return (
    <section class="card">
      <h2>{title}</h2>
      {children}
    </section>
  );
}

function Fact({ name, children }: { readonly name: string; readonly children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function kindOf(value: string): string {
  if (value === "true") return "on";
  return value === "false" ? "off" : "value";
}

function Dependencies({ title, rows }: { readonly title: string; readonly rows: readonly DependencyRow[] }) {
  if (rows.length === 0) return null;
  return (
    <>
      <h3>{title}</h3>
      <ul class="columns">
        {rows.map(([name, hash, version, types, virtuals]) => (
          <li key={hash + name}>
            {version === "" ? (
              <span title="The index does not have it">
                {name} <code>/{shortHash(hash)}</code> <span class="mark warn">missing</span>
              </span>
            ) : (
              <a href={specLink({ name, hash })}>
                {name}@{version} <code>/{shortHash(hash)}</code>
              </a>
            )}{" "}
            <small>
              {typeNames(types).join(", ")}
              {virtuals.length > 0 && ` · as ${virtuals.join(", ")}`}
            </small>
          </li>
        ))}
      </ul>
    </>
  );
}

/** Lists that are longer are folded. */
const MOST_OPEN = 24;

function Dependents({ rows }: { readonly rows: readonly DependentRow[] }) {
  const list = (
    <ul class="columns">
      {rows.map(([name, hash, version]) => (
        <li key={hash}>
          <a href={specLink({ name, hash })}>
            {name}@{version} <code>/{shortHash(hash)}</code>
          </a>
        </li>
      ))}
    </ul>
  );
  if (rows.length <= MOST_OPEN) return list;
  return (
    <details>
      <summary>Show {formatNumber(rows.length)}</summary>
      {list}
    </details>
  );
}

function Image({ spec, isRead }: { readonly spec: SpecDetails; readonly isRead: boolean }) {
  if (!isRead)
    return (
      <p class="note">
        Sizes, layers, signatures and SBOMs are not known: this catalogue was made from the index alone (stave web
        --images reads them).
      </p>
    );
  if (spec.image === undefined) return <p class="note">{spec.problem ?? "The cache has no binary of this spec."}</p>;
  const { layers, attached } = spec.image;
  const own = layers.at(-1);
  const total = layers.reduce((sum, { size }) => sum + size, 0);
  return (
    <>
      <dl>
        <Fact name="Size of its own layer">{own === undefined ? "none" : formatBytes(own.size)}</Fact>
        {layers.length > 1 && (
          <Fact name="With dependencies">
            {formatBytes(total)} in {count(layers.length, "layer")}
          </Fact>
        )}
        <Fact name="Attached">{attachedText(attached)}</Fact>
      </dl>
      <details>
        <summary>{count(layers.length, "layer")}</summary>
        <ol class="layers">
          {layers.map(({ digest, size }) => (
            <li key={digest}>
              <code>{digest}</code> {formatBytes(size)}
            </li>
          ))}
        </ol>
      </details>
    </>
  );
}

function attachedText(attached: Attached | undefined): string {
  if (attached === undefined) return "not known: the cache does not tell";
  const { signatures, sboms, provenance, others } = attached;
  const parts = [
    signatures > 0 && `${count(signatures, "signature")} (not checked here)`,
    sboms > 0 && count(sboms, "SBOM"),
    provenance > 0 && count(provenance, "provenance statement"),
    others > 0 && count(others, "other artifact"),
  ];
  return parts.filter((part) => part !== false).join(", ") || "nothing: no signature, no SBOM";
}
