// Proves how specs are placed in a limited number of layers: for any graph and any budget, and over simulated updates.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type BudgetSpec, type LayerGroup, type PreviousLayer, planBudget } from "../../lib/image/budget.ts";
import { CHANGES, GROUPINGS, makeSpecs, resent } from "../../scripts/histories.ts";
import { failsWith } from "../support/errors.ts";
import { useSeed } from "../support/seed.ts";

useSeed();

const idsOf = (group: LayerGroup): string[] => group.flatMap(({ ids }) => ids);
const layersOf = (groups: readonly LayerGroup[], specs: readonly BudgetSpec[]): PreviousLayer[] =>
  groups.map((group) => {
    const ids = idsOf(group);
    return { ids, size: specs.reduce((sum, { id, size }) => sum + (ids.includes(id) ? size : 0), 0) };
  });

/** Any graph: each spec needs some of those before it. Names repeat, so that ties are decided by id too. */
const graphs = fc
  .array(fc.tuple(fc.nat(5), fc.nat(10_000), fc.array(fc.nat(1000), { maxLength: 4 }), fc.boolean()), {
    minLength: 1,
    maxLength: 40,
  })
  .map((rows) =>
    rows.map(
      ([name, size, needs, isRigid], at): BudgetSpec => ({
        id: `id${at}`,
        name: `name${name}`,
        size,
        needs: at === 0 ? [] : needs.map((need) => `id${need % at}`),
        isRigid,
      }),
    ),
  );
const budgets = fc.integer({ min: 2, max: 45 });

function check(groups: readonly LayerGroup[], specs: readonly BudgetSpec[], budget: number): void {
  assert.ok(groups.length <= budget, `${groups.length} layers`);
  const order = groups.flatMap(idsOf);
  assert.deepEqual(order.toSorted(), specs.map(({ id }) => id).toSorted(), "each spec once");
  const places = new Map(order.map((id, at) => [id, at]));
  for (const { id, needs } of specs)
    for (const need of needs) assert.ok((places.get(need) ?? -1) < (places.get(id) ?? -1), `${need} before ${id}`);
}

test("any graph fits into any budget of at least 2: each spec once, its dependencies first", () => {
  fc.assert(
    fc.property(graphs, budgets, (specs, budget) => {
      const groups = planBudget({ specs, budget });
      check(groups, specs, budget);
      assert.deepEqual(planBudget({ specs, budget }), groups, "the same input gives the same plan");
      if (specs.length > budget) {
        const reversed = planBudget({ specs: specs.toReversed(), budget });
        assert.deepEqual(reversed.map(idsOf), groups.map(idsOf), "the order of the input does not matter");
      }
    }),
  );
});

test("with the previous image, unchanged layers stay as they are, and the plan is still valid", () => {
  fc.assert(
    fc.property(graphs, budgets, fc.array(fc.nat(1000), { maxLength: 5 }), (specs, budget, changes) => {
      const previous = layersOf(planBudget({ specs, budget }), specs);
      const again = planBudget({ specs, budget, previous });
      assert.deepEqual(
        again.map((group) => group.map(({ isKept }) => isKept)),
        again.map(() => [true]),
        "nothing changed, all is kept",
      );
      const changed = new Set(changes.map((at) => `id${at % specs.length}`));
      const rename = (id: string): string => (changed.has(id) ? `${id}-new` : id);
      const next = specs.map((spec) => {
        if (spec.needs.some((need) => changed.has(need))) changed.add(spec.id);
        return { ...spec, id: rename(spec.id), needs: spec.needs.map(rename) };
      });
      const groups = planBudget({ specs: next, budget, previous });
      check(groups, next, budget);
      const before = new Set(previous.map(({ ids }) => ids.join()));
      for (const { ids, isKept } of groups.flat()) assert.equal(isKept, before.has(ids.join()), ids.join());
    }),
  );
});

test("a changed leaf leaves every layer without it alone", () => {
  const specs = makeSpecs(300, 7);
  const before = planBudget({ specs, budget: 60 });
  const needed = new Set(specs.flatMap(({ needs }) => needs));
  const leaf = specs.find(({ id, size }) => !needed.has(id) && size < 1e6)?.id ?? assert.fail();
  const next = specs.map((spec) => (spec.id === leaf ? { ...spec, id: `${leaf}-new` } : spec));
  const after = planBudget({ specs: next, budget: 60, previous: layersOf(before, specs) });
  const there = new Set(after.map((group) => idsOf(group).join()));
  const lost = before.map(idsOf).filter((ids) => !there.has(ids.join()));
  assert.deepEqual(
    lost.filter((ids) => !ids.includes(leaf)),
    [],
  );
  assert.equal(lost.length, 1);
});

const spec = (id: string, size: number, needs: string[] = [], isRigid = false): BudgetSpec => ({
  id,
  name: id,
  size,
  needs,
  isRigid,
});

describe("what shares a layer", () => {
  const ROWS: {
    name: string;
    specs: BudgetSpec[];
    budget: number;
    previous?: PreviousLayer[];
    expect: string;
  }[] = [
    {
      name: "nothing within the budget, and the given order stays",
      specs: [spec("b", 1), spec("a", 1)],
      budget: 2,
      expect: "b a",
    },
    {
      name: "small ones rather than large ones",
      specs: [spec("a", 100), spec("b", 1), spec("c", 90), spec("d", 1)],
      budget: 3,
      expect: "a b+d c",
    },
    {
      name: "those that change together",
      specs: [spec("a", 10), spec("b", 10), spec("c", 10, ["a"]), spec("d", 10)],
      budget: 3,
      // a and c share a dependency, so together they depend on two specs; b and d depend on themselves only.
      expect: "a+c b d",
    },
    {
      name: "never two with another between them",
      specs: [spec("a", 1), spec("b", 1000, ["a"]), spec("c", 1, ["b"])],
      budget: 2,
      previous: [{ ids: ["b"], size: 1000 }],
      expect: "a+b* c",
    },
    {
      name: "layers of the previous image stay together within the budget",
      specs: [spec("a", 1), spec("b", 1), spec("c", 1)],
      budget: 9,
      previous: [{ ids: ["a", "c"], size: 2 }],
      expect: "ac* b",
    },
    {
      name: "a layer that lost a spec is dissolved",
      specs: [spec("a", 1), spec("b", 1)],
      budget: 9,
      previous: [{ ids: ["a", "b", "gone"], size: 3 }],
      expect: "a b",
    },
    {
      name: "what would have to be compressed again stays alone",
      specs: [spec("a", 1, [], true), spec("b", 1), spec("c", 1)],
      budget: 2,
      expect: "a b+c",
    },
    {
      name: "layers that need each other are dissolved",
      specs: [spec("a", 1), spec("b", 1), spec("c", 1, ["a"]), spec("d", 1, ["b"])],
      budget: 4,
      previous: [
        { ids: ["a", "d"], size: 2 },
        { ids: ["b", "c"], size: 2 },
      ],
      expect: "a b c d",
    },
  ];
  for (const { name, specs, budget, previous = [], expect } of ROWS)
    test(name, () => {
      const groups = planBudget({ specs, budget, previous });
      const text = groups.map((parts) =>
        parts.map(({ ids, isKept }) => `${ids.join("")}${isKept ? "*" : ""}`).join("+"),
      );
      assert.equal(text.join(" "), expect);
    });
});

test("no layer at all is BUDGET_EXCEEDED", async () => {
  for (const budget of [0, -3, Number.NaN])
    await failsWith("BUDGET_EXCEEDED", () => planBudget({ specs: [spec("a", 1)], budget }));
});

// The bounds are what the best known method needs beyond one layer per spec.
const MOST: Record<(typeof CHANGES)[number], number> = { leaves: 2.6, any: 1.15, deep: 1.03, grows: 1.24 };
for (const change of CHANGES)
  test(`30 updates of "${change}" re-send no more than any other grouping, and little more than one layer per spec`, () => {
    const [planner, ...others] = Object.entries(GROUPINGS).map(([name, grouping]) => {
      return { name, total: resent(grouping, change, 300, 100, 1) };
    });
    const bound = others.pop();
    assert.ok(planner && bound);
    for (const { name, total } of others) assert.ok(planner.total <= total, `${planner.total} > ${total}: ${name}`);
    const factor = planner.total / bound.total;
    assert.ok(factor <= MOST[change], `${factor} times one layer per spec`);
  });
