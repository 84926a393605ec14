import { describe, expect, it } from 'vitest';
import { Slots } from '../src/slots.js';

describe('slots', () => {
  it('run so many at once, in order; who gives up takes none', async () => {
    const slots = new Slots(2);
    const { signal } = new AbortController();
    const order: string[] = [];
    let running = 0;
    let most = 0;
    const work = (name: string, on = signal) =>
      slots.run(on, async () => {
        order.push(name);
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, 5));
        running--;
      });
    const controller = new AbortController();
    const first = [work('a'), work('b')];
    const given = work('c', controller.signal);
    const rest = [work('d'), work('e')];
    controller.abort();
    await expect(given).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    await Promise.all([...first, ...rest]);
    expect(order).toEqual(['a', 'b', 'd', 'e']);
    expect(most).toBe(2);
    await work('f');
    await expect(work('g', AbortSignal.abort())).resolves.toBeUndefined();
  });

  it('passes a slot on when work fails', async () => {
    const slots = new Slots(1);
    const { signal } = new AbortController();
    const failing = slots.run(signal, () => Promise.reject(new Error('no')));
    const next = slots.run(signal, async () => 'done');
    await expect(failing).rejects.toThrow('no');
    await expect(next).resolves.toBe('done');
  });
});
