// Closes several things even if one of them fails to close.

/** Closes things in order, all of them even if some fail; then throws the first error. */
export async function closeAll(closings: Iterable<() => Promise<void> | void>): Promise<void> {
  const errors: unknown[] = [];
  for (const close of closings)
    try {
      await close();
    } catch (error) {
      errors.push(error);
    }
  if (errors.length > 0) throw errors[0];
}
