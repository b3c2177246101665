// Waiting on conditions. Nothing in these tests sleeps for a guessed time and hopes.

/**
 * Polls `condition` until it returns something truthy, and returns that.
 * @param {string} what the sentence for the failure: "the server did not ..."
 * @param {() => unknown} condition may be async; an exception it throws is final
 * @param {{ deadlineMs?: number, everyMs?: number }} [options]
 */
export async function until(what, condition, { deadlineMs = 10_000, everyMs = 20 } = {}) {
  const giveUpAt = performance.now() + deadlineMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > giveUpAt) throw new Error(`gave up after ${deadlineMs} ms waiting until ${what}`);
    await pause(everyMs);
  }
}

/** Settles like `promise`, or rejects when it has not settled in time. */
export async function within(deadlineMs, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`gave up after ${deadlineMs} ms waiting until ${what}`)), deadlineMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A pause that a protocol demands (RFC 8628 section 3.5: `interval`) or that separates two polls. */
export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
