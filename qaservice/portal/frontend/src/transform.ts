/** Where image coordinates land on the canvas. Image coordinates: voxel (r, c) covers [c, c + 1] by [r, r + 1]. */

import type { Orientation } from "./orientation.ts";

export interface Sampling {
  rows: number;
  columns: number;
  /** Distance between the centres of neighbouring rows, and of neighbouring columns, in mm. */
  rowMm: number;
  columnMm: number;
}

export interface Placement {
  /** 1 fits the whole slice into the canvas. */
  zoom: number;
  /** Shift of the slice's centre from the canvas' centre, in canvas pixels. */
  panX: number;
  panY: number;
}

/** A 2-D affine as canvas takes it: x' = a x + c y + e, y' = b x + d y + f. */
export interface Matrix {
  a: number;
  b: number;
  c: number;
  d: number;
  e: number;
  f: number;
}

/** Canvas pixels a millimetre at ``zoom``: equal in both directions, so that non-square voxels keep their true shape. */
export function pixelsPerMm(sampling: Sampling, orientation: Orientation, width: number, height: number, zoom: number): number {
  const across = sampling.columns * sampling.columnMm;
  const down = sampling.rows * sampling.rowMm;
  const [w, h] = orientation.transpose ? [down, across] : [across, down];
  return Math.min(width / w, height / h) * zoom;
}

export function imageToCanvas(
  sampling: Sampling,
  orientation: Orientation,
  placement: Placement,
  width: number,
  height: number,
): Matrix {
  const scale = pixelsPerMm(sampling, orientation, width, height, placement.zoom);
  const sx = scale * sampling.columnMm;
  const sy = scale * sampling.rowMm;
  const signX = orientation.flipX ? -1 : 1;
  const signY = orientation.flipY ? -1 : 1;
  const linear = orientation.transpose
    ? { a: 0, b: signY * sx, c: signX * sy, d: 0 }
    : { a: signX * sx, b: 0, c: 0, d: signY * sy };
  const cx = sampling.columns / 2;
  const cy = sampling.rows / 2;
  return {
    ...linear,
    e: width / 2 + placement.panX - linear.a * cx - linear.c * cy,
    f: height / 2 + placement.panY - linear.b * cx - linear.d * cy,
  };
}

export function apply(matrix: Matrix, x: number, y: number): [number, number] {
  return [matrix.a * x + matrix.c * y + matrix.e, matrix.b * x + matrix.d * y + matrix.f];
}

export function applyInverse(matrix: Matrix, x: number, y: number): [number, number] {
  const determinant = matrix.a * matrix.d - matrix.b * matrix.c;
  const dx = x - matrix.e;
  const dy = y - matrix.f;
  return [(matrix.d * dx - matrix.c * dy) / determinant, (matrix.a * dy - matrix.b * dx) / determinant];
}

/** The placement that zooms by ``factor`` and keeps the canvas point (x, y) where it is. */
export function zoomedAt(placement: Placement, factor: number, x: number, y: number, width: number, height: number): Placement {
  const zoom = Math.min(40, Math.max(0.25, placement.zoom * factor));
  const ratio = zoom / placement.zoom;
  const fromCentreX = x - width / 2;
  const fromCentreY = y - height / 2;
  return {
    zoom,
    panX: fromCentreX - (fromCentreX - placement.panX) * ratio,
    panY: fromCentreY - (fromCentreY - placement.panY) * ratio,
  };
}

/** A round length for the scale bar, at most ``limit`` canvas pixels long. */
export function scaleBarMm(pixelsPerMmNow: number, limit: number): number {
  const lengths = [1, 2, 5, 10, 20, 50, 100, 200];
  return lengths.filter((mm) => mm * pixelsPerMmNow <= limit).at(-1) ?? 1;
}
