/** Lines on the canvas: outlines, circles, the marker at a flag's place and the scale bar. Widths are screen pixels. */

import type { Mark, Style } from "./overlays.ts";
import { apply, scaleBarMm, type Matrix } from "./transform.ts";
import type { Triple } from "./types.ts";

export interface Frame {
  context: CanvasRenderingContext2D;
  /** Image coordinates to canvas pixels. */
  matrix: Matrix;
  /** Canvas pixels a screen pixel. */
  ratio: number;
  /** Canvas pixels a millimetre. */
  pixelsPerMm: number;
}

export interface Marker {
  placeMm: Triple;
  radiusMm: number;
}

export function drawMark(frame: Frame, mark: Mark, style: Style): void {
  const { matrix } = frame;
  const path = new Path2D();
  if (mark.kind === "loops") {
    for (const loop of mark.loops) {
      loop.forEach(([x, y], i) => {
        const [px, py] = apply(matrix, x, y);
        if (i === 0) path.moveTo(px, py);
        else path.lineTo(px, py);
      });
      path.closePath();
    }
  } else {
    const [x, y] = apply(matrix, mark.x, mark.y);
    if (mark.kind === "circle") {
      path.arc(x, y, Math.max(mark.radiusMm * frame.pixelsPerMm, 2 * frame.ratio), 0, 2 * Math.PI);
    } else {
      const arm = 7 * frame.ratio;
      path.moveTo(x - arm, y);
      path.lineTo(x + arm, y);
      path.moveTo(x, y - arm);
      path.lineTo(x, y + arm);
    }
  }
  stroke(frame, path, style);
}

/** The name of a structure, at the upper left of its mark. */
export function drawName(frame: Frame, mark: Mark, name: string, colour: string): void {
  const { context, ratio } = frame;
  const points = mark.kind === "loops" ? mark.loops.flat() : [[mark.x, mark.y] as const];
  const placed = points.map(([x, y]) => apply(frame.matrix, x, y));
  const left = Math.min(...placed.map(([x]) => x));
  const top = Math.min(...placed.map(([, y]) => y));
  context.font = `${11 * ratio}px system-ui, sans-serif`;
  context.textAlign = "left";
  context.lineWidth = 3 * ratio;
  context.strokeStyle = "rgba(0, 0, 0, 0.7)";
  context.fillStyle = colour;
  context.strokeText(name, left, top - 4 * ratio);
  context.fillText(name, left, top - 4 * ratio);
}

/** Four ticks outside the circle of a flag's place, so that the place itself stays uncovered. */
export function drawMarker(frame: Frame, x: number, y: number, radiusMm: number, onItsSlice: boolean): void {
  const [cx, cy] = apply(frame.matrix, x, y);
  const inner = Math.max(radiusMm * frame.pixelsPerMm, 10 * frame.ratio);
  const outer = inner + 14 * frame.ratio;
  const ticks = new Path2D();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]] as const) {
    ticks.moveTo(cx + dx * inner, cy + dy * inner);
    ticks.lineTo(cx + dx * outer, cy + dy * outer);
  }
  stroke(frame, ticks, { colour: onItsSlice ? "#ffffff" : "#a9b4c0", dash: [], width: onItsSlice ? 2 : 1.25 });
  const ring = new Path2D();
  ring.arc(cx, cy, inner, 0, 2 * Math.PI);
  stroke(frame, ring, { colour: onItsSlice ? "#e6edf3" : "#8b98a5", dash: [2, 6], width: 1 });
}

export function drawScaleBar(frame: Frame, width: number, height: number): void {
  const { context, ratio } = frame;
  const mm = scaleBarMm(frame.pixelsPerMm, Math.min(width * 0.25, 220 * ratio));
  const size = mm * frame.pixelsPerMm;
  const right = width - 16 * ratio;
  const y = height - 16 * ratio;
  context.fillStyle = "rgba(0, 0, 0, 0.45)";
  context.fillRect(right - size - 8 * ratio, y - 24 * ratio, size + 16 * ratio, 32 * ratio);
  const bar = new Path2D();
  bar.moveTo(right - size, y - 5 * ratio);
  bar.lineTo(right - size, y);
  bar.lineTo(right, y);
  bar.lineTo(right, y - 5 * ratio);
  stroke(frame, bar, { colour: "#ffffff", dash: [], width: 1.5 });
  context.font = `${12 * ratio}px system-ui, sans-serif`;
  context.textAlign = "right";
  context.lineWidth = 3 * ratio;
  context.strokeStyle = "#000";
  context.fillStyle = "#fff";
  const text = `${mm} mm`;
  context.strokeText(text, right, y - 9 * ratio);
  context.fillText(text, right, y - 9 * ratio);
}

/** A line on a dark halo, so that it can be seen on lung and on bone. */
function stroke(frame: Frame, path: Path2D, style: Style): void {
  const { context, ratio } = frame;
  const { width } = style;
  context.lineJoin = "miter";
  context.lineCap = "butt";
  context.setLineDash(style.dash.map((part) => part * ratio));
  context.lineWidth = (width + 1.5) * ratio;
  context.strokeStyle = "rgba(0, 0, 0, 0.55)";
  context.stroke(path);
  context.lineWidth = width * ratio;
  context.strokeStyle = style.colour;
  context.stroke(path);
  context.setLineDash([]);
}
