/** A sketched correction: a ball placed by a click and sized by a drag, with undo and redo. */

import type { Ball } from "./viewer.ts";

export const LEAST_DIAMETER_MM = 1;
export const MOST_DIAMETER_MM = 150;

export class Sketch {
  private states: (Ball | null)[] = [null];
  private at = 0;
  onChange: (ball: Ball | null) => void = () => undefined;

  get current(): Ball | null {
    return this.states[this.at] ?? null;
  }

  get canUndo(): boolean {
    return this.at > 0;
  }

  get canRedo(): boolean {
    return this.at < this.states.length - 1;
  }

  /** Make ``ball`` the present state; what had been undone is gone. */
  put(ball: Ball | null): void {
    this.states = [...this.states.slice(0, this.at + 1), ball === null ? null : limited(ball)];
    this.at = this.states.length - 1;
    this.onChange(this.current);
  }

  undo(): void {
    if (!this.canUndo) return;
    this.at -= 1;
    this.onChange(this.current);
  }

  redo(): void {
    if (!this.canRedo) return;
    this.at += 1;
    this.onChange(this.current);
  }
}

export function limited(ball: Ball): Ball {
  const diameter = Math.min(MOST_DIAMETER_MM, Math.max(LEAST_DIAMETER_MM, ball.diameterMm));
  return { centreMm: ball.centreMm, diameterMm: Math.round(diameter * 10) / 10 };
}
