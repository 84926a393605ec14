import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Pace } from '../../src/registry/pace.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

it('counts the time in which bytes are waited for, and no other', () => {
  const pace = new Pace();
  vi.advanceTimersByTime(5000);
  pace.came(1_000_000); // after the time that the registry took to answer
  expect(pace.rate).toBeUndefined();
  pace.waits();
  vi.advanceTimersByTime(10);
  pace.came(1_000_000);
  vi.advanceTimersByTime(500); // nobody takes them
  expect(pace.rate).toBe(100_000_000);
  pace.came(1_000_000); // was there already
  pace.waits();
  vi.advanceTimersByTime(30);
  pace.came(1_000_000);
  expect(pace.rate).toBe(50_000_000);
});

it('says nothing of a few bytes', () => {
  const pace = new Pace();
  pace.waits();
  vi.advanceTimersByTime(1000);
  pace.came(100_000);
  expect(pace.rate).toBeUndefined();
});
