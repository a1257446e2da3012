// Closes several things even if one of them fails to close, and keeps the error that ended the work before.

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

/** Closes something after an error that the caller throws next. A failure to close it must not hide that error. */
export async function closeAfterError(close: () => Promise<void>): Promise<void> {
  await close().catch(() => {});
}
