/** Overlays as the viewer draws them: outlines, boxes, circles and crosses by slice. */

import { outline, unpackBits, type Loop } from "./contour.ts";
import type { OverlayRecord, Triple } from "./types.ts";

export interface Style {
  colour: string;
  /** Lengths of dashes and gaps in screen pixels; empty for a full line. */
  dash: readonly number[];
  /** Width of the line in screen pixels. */
  width: number;
}

export type Mark =
  | { kind: "loops"; loops: Loop[] }
  | { kind: "circle"; x: number; y: number; radiusMm: number }
  | { kind: "cross"; x: number; y: number };

export interface Overlay {
  id: string;
  role: OverlayRecord["role"];
  /** Heading under which the legend lists it, and its name there. */
  group: string;
  title: string;
  style: Style;
  visible: boolean;
  /** Written beside the mark, so that anatomy is never taken for a finding; empty for findings. */
  name: string;
  /** At the place that the page is about, as far as there is one. */
  near: boolean;
  /** First and last slice on which something is drawn, and the slice to jump to. */
  first: number;
  last: number;
  middle: number;
  at(slice: number): Mark | null;
}

// Distinguishable with the common colour vision deficiencies on a black ground (after Okabe and Ito), and by dash.
const OTHERS: readonly Pick<Style, "colour" | "dash">[] = [
  { colour: "#56b4e9", dash: [] },
  { colour: "#3ddc97", dash: [9, 3] },
  { colour: "#c6a3ff", dash: [3, 3] },
  { colour: "#e8c9a0", dash: [9, 3, 3, 3] },
  { colour: "#7be0e0", dash: [15, 3] },
];
const STYLES: Record<OverlayRecord["role"], Style> = {
  label: { colour: "#ffe45c", dash: [], width: 1.75 },
  other: { colour: "#56b4e9", dash: [], width: 1.75 },
  model: { colour: "#ff8c42", dash: [7, 4], width: 1.75 },
  proposal: { colour: "#ff9ad5", dash: [6, 4], width: 2.75 },
};

// Anatomy: pale, thin and dotted, so that the eye stays with what is judged.
const STRUCTURE: Style = { colour: "#c3e6cf", dash: [3, 3], width: 1.5 };

const GROUPS: Record<OverlayRecord["role"], string> = {
  label: "Label",
  other: "Other readers",
  model: "Model",
  proposal: "Proposed corrections",
};

/** The place that a page is about, as a voxel index, and how far around it a label still belongs to it. */
export interface Place {
  voxel: Triple;
  stepsMm: Triple;
  reachMm: number;
}

/** Overlays from the API's records; without a place, all of them count as near. */
export function prepare(records: readonly OverlayRecord[], sliceStepMm: number, place?: Place): Overlay[] {
  const readers: string[] = [];
  return records.map((record) => {
    const style = { ...STYLES[record.role] };
    let [group, title] = [GROUPS[record.role], record.title];
    if (record.role !== "proposal") {
      // Titles of labels say whose it is, then what it is.
      const cut = record.title.lastIndexOf(": ");
      if (cut > 0) [group, title] = [record.title.slice(0, cut), record.title.slice(cut + 2)];
    }
    if (record.role === "other") {
      if (!readers.includes(group)) readers.push(group);
      Object.assign(style, OTHERS[readers.indexOf(group) % OTHERS.length]);
    }
    if (record.structure) Object.assign(style, STRUCTURE);
    const name = record.structure ? title.replace(/ \([^()]*\)[^()]*$/, "") : "";
    const base = { id: record.id, role: record.role, group, title, name, style, visible: record.role !== "proposal", near: !place || touches(record, place) };
    return { ...base, ...drawing(record, sliceStepMm) };
  });
}

/** Whether a label's box or ball comes within reach of the place. */
function touches(record: OverlayRecord, place: Place): boolean {
  const away = ([0, 1, 2] as const).map((axis) => {
    const at = place.voxel[axis];
    const centre = record.centre?.[axis] ?? 0;
    const first = record.corners?.[0][axis] ?? record.origin?.[axis] ?? centre;
    const last = record.corners?.[1][axis] ?? (record.origin && record.size ? record.origin[axis] + record.size[axis] - 1 : centre);
    return Math.max(first - at, at - last, 0) * place.stepsMm[axis];
  });
  return Math.hypot(...away) - (record.radius_mm ?? 0) <= place.reachMm;
}

type Drawing = Pick<Overlay, "first" | "last" | "middle" | "at">;

function drawing(record: OverlayRecord, sliceStepMm: number): Drawing {
  if (record.shape === "mask") {
    if (!record.origin || !record.size || !record.bits) throw new Error(`${record.title} came without its mask`);
    return maskDrawing(record.origin, record.size, unpackBits(record.bits, record.size));
  }
  if (record.shape === "box") {
    if (!record.corners) throw new Error(`${record.title} came without its corners`);
    return boxDrawing(record.corners[0], record.corners[1]);
  }
  if (!record.centre) throw new Error(`${record.title} came without its place`);
  const [s, r, c] = record.centre;
  const x = c + 0.5;
  const y = r + 0.5;
  const middle = Math.round(s);
  if (record.shape === "point" || !record.radius_mm) {
    return { first: middle, last: middle, middle, at: (slice) => (slice === middle ? { kind: "cross", x, y } : null) };
  }
  return sphereDrawing([s, r, c], record.radius_mm, sliceStepMm);
}

/** A ball seen in slices: on each slice the circle in which the plane cuts it. ``centre`` is a voxel index. */
export function sphereDrawing(centre: Triple, radiusMm: number, sliceStepMm: number): Drawing {
  const reach = radiusMm / sliceStepMm;
  const middle = Math.round(centre[0]);
  const first = Math.min(middle, Math.ceil(centre[0] - reach));
  const last = Math.max(middle, Math.floor(centre[0] + reach));
  return {
    first,
    last,
    middle,
    at: (slice) => {
      if (slice < first || slice > last) return null;
      const away = (slice - centre[0]) * sliceStepMm;
      const squared = radiusMm * radiusMm - away * away;
      // A ball thinner than a slice still shows on the slice nearest its centre.
      if (squared <= 0 && slice !== middle) return null;
      return { kind: "circle", x: centre[2] + 0.5, y: centre[1] + 0.5, radiusMm: Math.sqrt(Math.max(squared, radiusMm * radiusMm * 0.05)) };
    },
  };
}

/** A box seen in slices: the same rectangle on every slice whose centre it holds. Corners are its outer faces. */
export function boxDrawing(low: Triple, high: Triple): Drawing {
  const middle = Math.round((low[0] + high[0]) / 2);
  // A box thinner than a slice still shows on the slice nearest its middle.
  const first = Math.min(middle, Math.ceil(low[0] - 1e-6));
  const last = Math.max(middle, Math.floor(high[0] + 1e-6));
  // Voxel (r, c) covers [c, c + 1] of the image, its index being its centre.
  const [top, left, bottom, right] = [low[1] + 0.5, low[2] + 0.5, high[1] + 0.5, high[2] + 0.5];
  const loop: Loop = [[left, top], [right, top], [right, bottom], [left, bottom]];
  return { first, last, middle, at: (slice) => (slice < first || slice > last ? null : { kind: "loops", loops: [loop] }) };
}

function maskDrawing(origin: Triple, size: Triple, bits: Uint8Array): Drawing {
  const [slices, rows, columns] = size;
  const area = rows * columns;
  const known = new Map<number, Mark | null>();
  let most = 0;
  let middle = origin[0];
  for (let s = 0; s < slices; s += 1) {
    const count = bits.subarray(s * area, (s + 1) * area).reduce((sum, bit) => sum + bit, 0);
    if (count > most) {
      most = count;
      middle = origin[0] + s;
    }
  }
  return {
    first: origin[0],
    last: origin[0] + slices - 1,
    middle,
    at: (slice) => {
      const s = slice - origin[0];
      if (s < 0 || s >= slices) return null;
      let mark = known.get(slice);
      if (mark === undefined) {
        const loops = outline(bits.subarray(s * area, (s + 1) * area), rows, columns, origin[1], origin[2]);
        mark = loops.length > 0 ? { kind: "loops", loops } : null;
        known.set(slice, mark);
      }
      return mark;
    },
  };
}
