// Surveys prefixes: one at a time on the calling thread while the file system is fast, because a message to a thread
// costs more; on the packing threads once it turns out to be slow, as those of clusters are. There a survey of
// thousands of files takes seconds, in which the calling thread could send nothing.
import { setImmediate } from "node:timers/promises";
import type { ArchiveJob } from "../../image/archive/archive.ts";
import { type Survey, surveyPrefix } from "../../image/archive/survey.ts";
import type { PackPool } from "../../image/pack/pack-pool.ts";
import { Limit } from "../../util/limit.ts";
import type { Clock } from "../../util/time.ts";

/** How long files take that are not cached on a local disk, in milliseconds; cached ones take a tenth. */
const SLOW = 0.1;
/** How long surveys must have taken, in milliseconds, before their speed is judged. */
const JUDGED_AFTER = 50;

/** Surveys the prefixes of one store. */
export class Surveyor {
  readonly #pool: PackPool;
  readonly #clock: Clock;
  readonly #turns = new Limit(1);
  #isSlow = false;
  #files = 0;
  #milliseconds = 0;

  constructor(pool: PackPool, clock: Clock) {
    this.#pool = pool;
    this.#clock = clock;
  }

  /** True once the file system has turned out to be slow. */
  get isSlow(): boolean {
    return this.#isSlow;
  }

  /** Surveys a prefix in its turn. Throws as surveyPrefix does, or the signal's reason. */
  async survey(jobInTurn: () => ArchiveJob, signal: AbortSignal): Promise<Survey> {
    return await this.#turns.run(
      async () => {
        const job = jobInTurn();
        return this.#isSlow ? await this.#pool.survey(job) : await this.#here(job);
      },
      { signal },
    );
  }

  async #here(job: ArchiveJob): Promise<Survey> {
    const started = this.#clock.now();
    const survey = surveyPrefix(job);
    this.#milliseconds += this.#clock.now() - started;
    this.#files += survey.files;
    if (this.#milliseconds >= JUDGED_AFTER && this.#milliseconds > this.#files * SLOW) {
      this.#isSlow = true;
      this.#turns.capacity = this.#pool.size;
    }
    // Sends in progress continue between two surveys.
    await setImmediate();
    return survey;
  }
}
