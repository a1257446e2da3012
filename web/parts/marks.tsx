// What a list says of a spec beside its fields.
import { EXTERNAL, IN_CACHE, INCOMPLETE } from "../../lib/catalogue/catalogue-data.ts";

/** Labels for what is unusual about a spec. */
export function Marks({ marks }: { readonly marks: number }) {
  return (
    <>
      {(marks & EXTERNAL) !== 0 && (
        <span class="mark" title="Not built by Spack: each machine has its own">
          external
        </span>
      )}
      {(marks & (IN_CACHE | EXTERNAL)) === 0 && (
        <span class="mark warn" title="Only known as a dependency: the cache has no binary of it">
          not in the cache
        </span>
      )}
      {(marks & INCOMPLETE) !== 0 && (
        <span class="mark warn" title="The index lacks a direct or indirect dependency">
          incomplete
        </span>
      )}
    </>
  );
}
