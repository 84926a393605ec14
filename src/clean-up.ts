// Ends several things of which each must be ended, whatever becomes of the others.

/** Runs all steps in order, also after one that fails; then throws the first error. */
export async function cleanUp(...steps: readonly (() => unknown)[]): Promise<void> {
  const errors: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) {
    throw errors[0];
  }
}

/** Runs all steps after something has failed, which is what the caller tells: that they fail too changes nothing. */
export async function rollBack(...steps: readonly (() => unknown)[]): Promise<void> {
  await cleanUp(...steps).catch(() => undefined);
}
