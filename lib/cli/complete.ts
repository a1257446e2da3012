// Answers what completion scripts ask: the words that may stand at a place of a command line, one per line. Reads local
// files only, and loads none of the large libraries: this runs while somebody waits for a key.
import { processSurroundings, type Surroundings } from "../api/machine/surroundings.ts";
import { isRecord, isTexts } from "../util/json-entry.ts";
import { recallAnswer } from "../util/remembered-answer.ts";
import { KnownWords } from "./machine/known-words.ts";
import { type ConfiguredNames, namesQuestion } from "./machine/names-question.ts";

/** The most words that are offered. */
const MOST_OFFERED = 1000;

/** What is completed: the current word, the words before it, and where candidates come from. */
interface Asked {
  readonly around: Surroundings;
  readonly known: KnownWords;
  readonly before: readonly string[];
  readonly current: string;
  readonly reader: NamesReader;
}

/** Loads what reads the names of the configuration. */
type NamesReader = () => Promise<{ readNames(around: Surroundings): Promise<ConfiguredNames> }>;

/** Prints what may stand for the last of the words; the first one names the kinds, separated by commas. */
export async function complete([kinds = "", ...words]: readonly string[], reader: NamesReader): Promise<void> {
  const around = processSurroundings();
  const current = words.at(-1) ?? "";
  const asked = { around, known: new KnownWords(around), before: words.slice(0, -1), current, reader };
  const offered = new Set<string>();
  for (const kind of kinds.split(","))
    if (Object.hasOwn(CANDIDATES, kind))
      for (const word of await CANDIDATES[kind as Kind](asked)) if (word.startsWith(current)) offered.add(word);
  const lines = [...offered].slice(0, MOST_OFFERED).map((word) => `${word}\n`);
  process.stdout.write(lines.join(""));
}

type Kind = "cache" | "image" | "tag" | "spec" | "mirror" | "environment";

const CANDIDATES: Readonly<Record<Kind, (asked: Asked) => Iterable<string> | Promise<Iterable<string>>>> = {
  cache: async (asked) => [...asked.known.places(), ...(await configured(asked)).mirrors],
  image: ({ known, current }) => {
    const place = current.replace(/:[^:/]*$/, "");
    const tags = place === current ? [] : known.tags(place);
    return [...known.places(), ...tags.map((tag) => `${place}:${tag}`)];
  },
  tag: ({ known, before }) => before.flatMap((word) => known.tags(word.replace(/:[^:/]*$/, ""))),
  spec: ({ known, before }) => known.specs(known.places().find((place) => before.includes(place))),
  mirror: async (asked) => (await configured(asked)).mirrors,
  environment: async (asked) => (await configured(asked)).environments,
};

// Only the first question after a change of the configuration reads it.
async function configured({ around, reader }: Asked): Promise<ConfiguredNames> {
  const remembered = recallAnswer(namesQuestion(around), { env: around.env, now: around.clock.now() });
  const names: unknown = remembered === undefined ? undefined : JSON.parse(remembered);
  if (isRecord(names) && isTexts(names["mirrors"]) && isTexts(names["environments"]))
    return { mirrors: names["mirrors"], environments: names["environments"] };
  return await (await reader()).readNames(around);
}
