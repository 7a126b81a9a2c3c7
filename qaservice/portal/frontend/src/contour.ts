/** Packed mask bits and the outline of a mask, drawn along the borders of its voxels. */

import type { Triple } from "./types.ts";

/** A closed line in image coordinates (x = columns, y = rows), where voxel (r, c) covers [c, c + 1] by [r, r + 1]. */
export type Loop = readonly (readonly [number, number])[];

/** Bits as ``numpy.packbits`` writes them: row-major over (slice, row, column), highest bit of each byte first. */
export function unpackBits(base64: string, size: Triple): Uint8Array {
  const count = size[0] * size[1] * size[2];
  const packed = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  if (packed.length !== Math.ceil(count / 8)) {
    throw new Error(`a mask of ${size.join(" x ")} voxels came with ${packed.length} bytes`);
  }
  const bits = new Uint8Array(count);
  for (let i = 0; i < count; i += 1) bits[i] = ((packed[i >> 3] ?? 0) >> (7 - (i & 7))) & 1;
  return bits;
}

/**
 * Outline loops of one slice of a mask. ``bits`` is (rows, columns), row-major; ``row0`` and ``column0`` are the image
 * index of its first voxel. Outer borders run clockwise on the screen, holes the other way; voxels that touch only at
 * a corner get loops of their own.
 */
export function outline(bits: Uint8Array, rows: number, columns: number, row0: number, column0: number): Loop[] {
  const inside = (r: number, c: number) => r >= 0 && c >= 0 && r < rows && c < columns && bits[r * columns + c] === 1;
  // Each border edge is directed so that the mask lies on its right hand (screen axes: x right, y down).
  const edges = new Map<number, [number, number][]>();
  const stride = columns + 1;
  const add = (x0: number, y0: number, x1: number, y1: number) => {
    const key = y0 * stride + x0;
    const list = edges.get(key);
    if (list) list.push([x1, y1]);
    else edges.set(key, [[x1, y1]]);
  };
  for (let r = 0; r < rows; r += 1) {
    for (let c = 0; c < columns; c += 1) {
      if (!inside(r, c)) continue;
      if (!inside(r - 1, c)) add(c, r, c + 1, r);
      if (!inside(r, c + 1)) add(c + 1, r, c + 1, r + 1);
      if (!inside(r + 1, c)) add(c + 1, r + 1, c, r + 1);
      if (!inside(r, c - 1)) add(c, r + 1, c, r);
    }
  }
  const loops: Loop[] = [];
  for (const [key, list] of edges) {
    while (list.length > 0) {
      const start: [number, number] = [key % stride, Math.floor(key / stride)];
      loops.push(trace(start, edges, stride).map(([x, y]) => [x + column0, y + row0] as const));
    }
  }
  return loops;
}

function trace(start: [number, number], edges: Map<number, [number, number][]>, stride: number): [number, number][] {
  const points: [number, number][] = [];
  let here = start;
  let heading: [number, number] | null = null;
  do {
    const choices = edges.get(here[1] * stride + here[0]);
    if (!choices || choices.length === 0) throw new Error("an outline does not close");
    const next = takeRightmost(choices, here, heading);
    const step: [number, number] = [next[0] - here[0], next[1] - here[1]];
    if (heading === null || step[0] !== heading[0] || step[1] !== heading[1]) points.push(here);
    heading = step;
    here = next;
  } while (here[0] !== start[0] || here[1] !== start[1]);
  return points;
}

/** Take the sharpest right turn: where two voxels meet at a corner, the line stays with the voxel it came along. */
function takeRightmost(choices: [number, number][], here: [number, number], heading: [number, number] | null): [number, number] {
  let best = 0;
  if (heading !== null && choices.length > 1) {
    const turn = (to: [number, number]) => heading[0] * (to[1] - here[1]) - heading[1] * (to[0] - here[0]);
    choices.forEach((choice, i) => {
      const current = choices[best];
      if (current !== undefined && turn(choice) > turn(current)) best = i;
    });
  }
  const [taken] = choices.splice(best, 1);
  if (taken === undefined) throw new Error("an outline does not close");
  return taken;
}
