/** Mouse, pen and wheel on the viewer. */

import type { Sketch } from "./sketch.ts";
import type { Viewer } from "./viewer.ts";
import { dragged, type Window } from "./windowing.ts";

export type Tool = "window" | "pan" | "sketch";

export class Gestures {
  tool: Tool = "window";
  sketch: Sketch | null = null;
  onHover: (x: number, y: number) => void = () => undefined;
  private wheelRest = 0;

  constructor(private readonly viewer: Viewer) {
    const { canvas } = viewer;
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.onHover(...this.at(event)));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  private at(event: MouseEvent): [number, number] {
    const box = this.viewer.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * this.viewer.ratio, (event.clientY - box.top) * this.viewer.ratio];
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) {
      this.viewer.zoomAt(Math.exp(-event.deltaY / 400), ...this.at(event));
      return;
    }
    // One notch of a wheel is one image; the small steps of a touch pad add up to one.
    this.wheelRest += event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY / 100 : Math.sign(event.deltaY);
    const whole = Math.abs(event.deltaY) >= 50 || Math.abs(this.wheelRest) >= 1;
    if (!whole) return;
    const images = Math.trunc(this.wheelRest) || Math.sign(event.deltaY);
    this.wheelRest = 0;
    this.viewer.scroll(images);
  }

  private down(event: PointerEvent): void {
    const { viewer } = this;
    viewer.canvas.focus({ preventScroll: true });
    const start = this.at(event);
    const button = event.button;
    const middleOrShift = button === 1 || (button === 0 && event.shiftKey);
    const tool = middleOrShift ? "pan" : button === 2 ? "zoom" : this.tool;
    if (tool === "sketch") {
      if (viewer.loaded && this.sketch) this.drawBall(event, start, this.sketch);
      return;
    }
    event.preventDefault();
    const window: Window = { ...viewer.window };
    const placement = { ...viewer.placement };
    let last = start;
    this.follow(event, (x, y) => {
      const dx = x - start[0];
      const dy = y - start[1];
      if (tool === "pan") {
        viewer.placement = { ...viewer.placement, panX: placement.panX + dx, panY: placement.panY + dy };
        viewer.changed();
      } else if (tool === "zoom") {
        viewer.zoomAt(Math.exp((last[1] - y) / (200 * viewer.ratio)), ...start);
        last = [x, y];
      } else {
        viewer.setWindow(dragged(window, dx / viewer.ratio, dy / viewer.ratio));
      }
    });
  }

  private drawBall(event: PointerEvent, start: [number, number], sketch: Sketch): void {
    const { viewer } = this;
    const centreMm = viewer.placeAt(...start);
    const diameterAt = (x: number, y: number) => (2 * Math.hypot(x - start[0], y - start[1])) / viewer.pixelsPerMm;
    let diameterMm = 0;
    this.follow(
      event,
      (x, y) => {
        diameterMm = diameterAt(x, y);
        viewer.sketch = { centreMm, diameterMm: Math.max(1, diameterMm) };
        viewer.changed();
      },
      () => {
        // A click without a drag moves the ball that is there, or asks for a size of its own to begin with.
        const known = sketch.current?.diameterMm ?? 8;
        sketch.put({ centreMm, diameterMm: diameterMm < 1 ? known : diameterMm });
      },
    );
  }

  private follow(event: PointerEvent, move: (x: number, y: number) => void, end: () => void = () => undefined): void {
    const { canvas } = this.viewer;
    canvas.setPointerCapture(event.pointerId);
    const onMove = (next: PointerEvent) => move(...this.at(next));
    const onEnd = () => {
      canvas.removeEventListener("pointermove", onMove);
      canvas.removeEventListener("pointerup", onEnd);
      canvas.removeEventListener("pointercancel", onEnd);
      end();
    };
    canvas.addEventListener("pointermove", onMove);
    canvas.addEventListener("pointerup", onEnd);
    canvas.addEventListener("pointercancel", onEnd);
  }
}
