/**
 * Which way up a slice is shown: for axial slices the patient's left is on the screen's right and the back at the
 * bottom, however the rows and columns were stored; for sagittal and coronal slices the head is at the top.
 */

import { axisVector } from "./geometry.ts";
import type { Affine, Triple } from "./types.ts";

export interface Orientation {
  /** Rows run across the screen and columns down it. */
  transpose: boolean;
  flipX: boolean;
  flipY: boolean;
  letters: { left: string; right: string; top: string; bottom: string };
  plane: "axial" | "coronal" | "sagittal";
  /** The change of slice index that goes towards the feet (axial), the back (coronal) or the left (sagittal). */
  nextStep: 1 | -1;
}

const POSITIVE = ["L", "P", "H"] as const;
const NEGATIVE = ["R", "A", "F"] as const;

function dominant(vector: Triple): 0 | 1 | 2 {
  const sizes = vector.map(Math.abs) as [number, number, number];
  if (sizes[0] >= sizes[1] && sizes[0] >= sizes[2]) return 0;
  return sizes[1] >= sizes[2] ? 1 : 2;
}

/** Letters of a direction, the strongest first; a second one where the direction is oblique by more than about 15 degrees. */
export function lettersOf(vector: Triple): string {
  const size = Math.hypot(...vector);
  return ([0, 1, 2] as const)
    .map((axis) => ({ axis, part: vector[axis] / size }))
    .filter(({ part }) => Math.abs(part) > 0.26)
    .sort((one, other) => Math.abs(other.part) - Math.abs(one.part))
    .map(({ axis, part }) => (part > 0 ? POSITIVE[axis] : NEGATIVE[axis]))
    .join("");
}

const negated = (vector: Triple): Triple => [-vector[0], -vector[1], -vector[2]];

export function orientationOf(affine: Affine): Orientation {
  const slice = axisVector(affine, 0);
  const row = axisVector(affine, 1);
  const column = axisVector(affine, 2);
  const normal = dominant(slice);
  const plane = normal === 2 ? "axial" : normal === 1 ? "coronal" : "sagittal";
  // The patient axis that belongs on the screen's horizontal: left-right, or front-back where that is out of plane.
  const across = plane === "sagittal" ? 1 : 0;
  const downSign = plane === "axial" ? 1 : -1;
  const transpose = Math.abs(row[across]) > Math.abs(column[across]);
  const horizontal = transpose ? row : column;
  const vertical = transpose ? column : row;
  const flipX = horizontal[across] < 0;
  const flipY = vertical[dominant(vertical)] * downSign < 0;
  const right = flipX ? negated(horizontal) : horizontal;
  const bottom = flipY ? negated(vertical) : vertical;
  const towardsNext = plane === "axial" ? -1 : 1;
  return {
    transpose,
    flipX,
    flipY,
    plane,
    letters: {
      left: lettersOf(negated(right)),
      right: lettersOf(right),
      top: lettersOf(negated(bottom)),
      bottom: lettersOf(bottom),
    },
    nextStep: slice[normal] * towardsNext >= 0 ? 1 : -1,
  };
}
