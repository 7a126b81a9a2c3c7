/** Voxel index (slice, row, column) to patient space (LPS, mm) and back. Index 0 is the centre of the first voxel. */

import type { Affine, Triple } from "./types.ts";

function cell(affine: Affine, row: number, column: number): number {
  const value = affine[row]?.[column];
  if (value === undefined || !Number.isFinite(value)) throw new Error("the series has no usable affine");
  return value;
}

export function voxelToPatient(affine: Affine, index: Triple): Triple {
  const at = (row: number) =>
    cell(affine, row, 0) * index[0] + cell(affine, row, 1) * index[1] + cell(affine, row, 2) * index[2] + cell(affine, row, 3);
  return [at(0), at(1), at(2)];
}

export function patientToVoxel(affine: Affine, point: Triple): Triple {
  const m = [0, 1, 2].map((r) => [0, 1, 2].map((c) => cell(affine, r, c))) as [number[], number[], number[]];
  const [a, b, c] = m as unknown as [Triple, Triple, Triple];
  const cross = (p: Triple, q: Triple): Triple => [
    p[1] * q[2] - p[2] * q[1],
    p[2] * q[0] - p[0] * q[2],
    p[0] * q[1] - p[1] * q[0],
  ];
  const bc = cross(b, c);
  const ca = cross(c, a);
  const ab = cross(a, b);
  const determinant = a[0] * bc[0] + a[1] * bc[1] + a[2] * bc[2];
  if (Math.abs(determinant) < 1e-12) throw new Error("the series' affine cannot be inverted");
  const d: Triple = [point[0] - cell(affine, 0, 3), point[1] - cell(affine, 1, 3), point[2] - cell(affine, 2, 3)];
  const at = (i: 0 | 1 | 2) => (bc[i] * d[0] + ca[i] * d[1] + ab[i] * d[2]) / determinant;
  return [at(0), at(1), at(2)];
}

/** The patient direction in which an index axis (0 slice, 1 row, 2 column) grows, in mm a step. */
export function axisVector(affine: Affine, axis: 0 | 1 | 2): Triple {
  return [cell(affine, 0, axis), cell(affine, 1, axis), cell(affine, 2, axis)];
}

export function length(vector: Triple): number {
  return Math.hypot(vector[0], vector[1], vector[2]);
}
