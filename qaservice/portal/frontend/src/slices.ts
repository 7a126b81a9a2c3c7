/** Slices of one series: fetched once, kept within a memory limit, neighbours fetched ahead. */

import type { SeriesView } from "./types.ts";

const MEMORY_LIMIT_BYTES = 200 * 1024 * 1024;
const AT_ONCE = 3;
const AHEAD = 12;
const BEHIND = 4;

export type Fetcher = (index: number) => Promise<Int16Array>;

export class SliceStore {
  readonly count: number;
  private readonly kept = new Map<number, Int16Array>();
  private readonly running = new Map<number, Promise<Int16Array>>();
  private readonly keepAtMost: number;
  private wanted: number[] = [];

  constructor(series: SeriesView, private readonly fetcher: Fetcher) {
    this.count = series.shape[0];
    const bytes = series.shape[1] * series.shape[2] * 2;
    this.keepAtMost = Math.max(AHEAD + BEHIND + 2, Math.floor(MEMORY_LIMIT_BYTES / bytes));
  }

  /** The slice if it is here already. */
  peek(index: number): Int16Array | undefined {
    const slice = this.kept.get(index);
    if (slice) {
      this.kept.delete(index);
      this.kept.set(index, slice);
    }
    return slice;
  }

  get(index: number): Promise<Int16Array> {
    const slice = this.peek(index);
    if (slice) return Promise.resolve(slice);
    let pending = this.running.get(index);
    if (!pending) {
      pending = this.fetcher(index)
        .then((fetched) => {
          this.keep(index, fetched);
          return fetched;
        })
        .finally(() => {
          this.running.delete(index);
          this.fill();
        });
      this.running.set(index, pending);
    }
    return pending;
  }

  /** Fetch the neighbours of ``index``, more of them in the direction of reading. */
  prefetch(index: number, direction: 1 | -1): void {
    const wanted: number[] = [];
    for (let step = 1; step <= AHEAD; step += 1) {
      wanted.push(index + step * direction);
      if (step <= BEHIND) wanted.push(index - step * direction);
    }
    this.wanted = wanted.filter((i) => i >= 0 && i < this.count && !this.kept.has(i));
    this.fill();
  }

  private fill(): void {
    while (this.running.size < AT_ONCE && this.wanted.length > 0) {
      const next = this.wanted.shift();
      if (next === undefined || this.kept.has(next) || this.running.has(next)) continue;
      // A failed prefetch is not an error yet: the slice is asked for again when it is looked at.
      this.get(next).catch(() => undefined);
    }
  }

  private keep(index: number, slice: Int16Array): void {
    this.kept.set(index, slice);
    for (const oldest of this.kept.keys()) {
      if (this.kept.size <= this.keepAtMost) break;
      this.kept.delete(oldest);
    }
  }
}
