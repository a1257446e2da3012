// The page that compares two specs: what differs, then how much is the same.
import type { SpecDetails } from "../../lib/catalogue/catalogue-data.ts";
import type { CatalogueLoader } from "../catalogue-loader.ts";
import { count, shortHash } from "../format.ts";
import { Loaded, useLoaded } from "../parts/loaded.tsx";
import { diffLink, type SpecKey, specLink } from "../routes.ts";
import { type Difference, differences } from "../spec-differences.ts";

interface Props {
  readonly loader: CatalogueLoader;
  readonly left: SpecKey;
  readonly right: SpecKey;
}

/** Two specs side by side. */
export function DiffPage({ loader, left, right }: Props) {
  const state = useLoaded(`${left.hash} ${right.hash}`, async () => {
    const [one, other] = await Promise.all([loader.spec(left), loader.spec(right)]);
    return one && other && ([one, other] as const);
  });
  return (
    <Loaded state={state} what="One of the specs">
      {([one, other]) => <Comparison left={left} right={right} one={one} other={other} />}
    </Loaded>
  );
}

function Comparison({
  left,
  right,
  one,
  other,
}: Omit<Props, "loader"> & { readonly one: SpecDetails; readonly other: SpecDetails }) {
  const { groups, same } = differences(one, other);
  return (
    <>
      <h1>What differs</h1>
      <table class="diff">
        <thead>
          <tr>
            <th scope="col">
              <a href={diffLink(right, left)}>swap</a>
            </th>
            <th scope="col">
              <a href={specLink(left)}>
                {left.name}@{one.version} <code>/{shortHash(one.hash)}</code>
              </a>
            </th>
            <th scope="col">
              <a href={specLink(right)}>
                {right.name}@{other.version} <code>/{shortHash(other.hash)}</code>
              </a>
            </th>
          </tr>
        </thead>
        {groups.map(({ title, rows }) => (
          <tbody key={title}>
            <tr class="group">
              <th scope="rowgroup" colSpan={3}>
                {title}
              </th>
            </tr>
            {rows.map((row) => (
              <Row key={row.name} {...row} />
            ))}
          </tbody>
        ))}
      </table>
      {groups.length === 0 && <p>Nothing that the catalogue shows.</p>}
      <p class="note">{count(same, "other field")} the same.</p>
    </>
  );
}

function Row({ name, left, right }: Difference) {
  return (
    <tr>
      <th scope="row">{name}</th>
      <Cell value={left} />
      <Cell value={right} />
    </tr>
  );
}

function Cell({ value }: { readonly value: Difference["left"] }) {
  if (value === undefined) return <td class="none">–</td>;
  return <td>{value.link === undefined ? value.text : <a href={specLink(value.link)}>{value.text}</a>}</td>;
}
