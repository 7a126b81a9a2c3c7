/** The slice viewer: one canvas with a slice, its overlays and the marker, and what can be asked of it. */

import { length, axisVector, patientToVoxel, voxelToPatient } from "./geometry.ts";
import { orientationOf, type Orientation } from "./orientation.ts";
import { drawMark, drawMarker, drawName, drawScaleBar, type Marker } from "./drawing.ts";
import { sphereDrawing, type Overlay } from "./overlays.ts";
import type { SliceStore } from "./slices.ts";
import { applyInverse, imageToCanvas, pixelsPerMm, zoomedAt, type Matrix, type Placement, type Sampling } from "./transform.ts";
import type { SeriesView, Triple } from "./types.ts";
import { PRESETS, paint, type Window } from "./windowing.ts";

export interface Ball {
  centreMm: Triple;
  diameterMm: number;
}

export interface Readout {
  voxel: Triple;
  patientMm: Triple;
  hounsfield: number;
}

const SKETCH_STYLE = { colour: "#ffffff", dash: [5, 3], width: 1.75 } as const;

export class Viewer {
  readonly orientation: Orientation;
  readonly sampling: Sampling;
  readonly sliceStepMm: number;
  readonly canvas: HTMLCanvasElement;
  /** Called after anything that the surrounding text shows has changed. */
  onChange: () => void = () => undefined;

  index = 0;
  window: Window = { level: PRESETS[0]?.level ?? -600, width: PRESETS[0]?.width ?? 1500 };
  placement: Placement = { zoom: 1, panX: 0, panY: 0 };
  overlays: Overlay[] = [];
  overlaysShown = true;
  marker: Marker | null = null;
  markerShown = true;
  smooth = true;
  sketch: Ball | null = null;
  failure = "";

  private readonly context: CanvasRenderingContext2D;
  private readonly bitmap = document.createElement("canvas");
  private painted = "";
  private queued = false;

  constructor(
    canvas: HTMLCanvasElement,
    readonly series: SeriesView,
    readonly store: SliceStore,
  ) {
    const context = canvas.getContext("2d", { alpha: false });
    if (!context) throw new Error("this browser cannot draw on a canvas");
    this.canvas = canvas;
    this.context = context;
    this.orientation = orientationOf(series.affine);
    this.sliceStepMm = length(axisVector(series.affine, 0));
    this.sampling = {
      rows: series.shape[1],
      columns: series.shape[2],
      rowMm: length(axisVector(series.affine, 1)),
      columnMm: length(axisVector(series.affine, 2)),
    };
    this.bitmap.width = this.sampling.columns;
    this.bitmap.height = this.sampling.rows;
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
  }

  get count(): number {
    return this.series.shape[0];
  }

  get ratio(): number {
    return window.devicePixelRatio || 1;
  }

  get loaded(): boolean {
    return this.store.peek(this.index) !== undefined;
  }

  goTo(index: number): void {
    const target = Math.min(this.count - 1, Math.max(0, Math.round(index)));
    const direction = target >= this.index ? 1 : -1;
    this.index = target;
    this.failure = "";
    if (!this.loaded) {
      this.store.get(target).then(
        () => this.index === target && this.changed(),
        (error: unknown) => {
          if (this.index !== target) return;
          this.failure = error instanceof Error ? error.message : String(error);
          this.changed();
        },
      );
    }
    this.store.prefetch(target, direction);
    this.changed();
  }

  /** Move by images in reading order: positive goes towards the feet on axial slices. */
  scroll(images: number): void {
    this.goTo(this.index + images * this.orientation.nextStep);
  }

  setWindow(next: Window): void {
    this.window = next;
    this.changed();
  }

  zoomAt(factor: number, x: number, y: number): void {
    this.placement = zoomedAt(this.placement, factor, x, y, this.canvas.width, this.canvas.height);
    this.changed();
  }

  fit(): void {
    this.placement = { zoom: 1, panX: 0, panY: 0 };
    this.changed();
  }

  /** Centre a place and show a field of ``fieldMm`` around it. */
  focus(place: Triple, fieldMm: number): void {
    const [s, r, c] = patientToVoxel(this.series.affine, place);
    const { width, height } = this.canvas;
    const whole = pixelsPerMm(this.sampling, this.orientation, width, height, 1);
    const zoom = Math.min(width, height) / fieldMm / whole;
    const matrix = imageToCanvas(this.sampling, this.orientation, { zoom, panX: 0, panY: 0 }, width, height);
    const x = matrix.a * (c + 0.5) + matrix.c * (r + 0.5) + matrix.e;
    const y = matrix.b * (c + 0.5) + matrix.d * (r + 0.5) + matrix.f;
    this.placement = { zoom, panX: width / 2 - x, panY: height / 2 - y };
    this.goTo(s);
  }

  matrix(): Matrix {
    return imageToCanvas(this.sampling, this.orientation, this.placement, this.canvas.width, this.canvas.height);
  }

  get pixelsPerMm(): number {
    return pixelsPerMm(this.sampling, this.orientation, this.canvas.width, this.canvas.height, this.placement.zoom);
  }

  /** The place under a canvas point on the slice that is shown, in patient millimetres. */
  placeAt(x: number, y: number): Triple {
    const [u, v] = applyInverse(this.matrix(), x, y);
    return voxelToPatient(this.series.affine, [this.index, v - 0.5, u - 0.5]);
  }

  /** What lies under a canvas point, or null outside the slice or while it loads. */
  readAt(x: number, y: number): Readout | null {
    const [u, v] = applyInverse(this.matrix(), x, y);
    const row = Math.floor(v);
    const column = Math.floor(u);
    const { rows, columns } = this.sampling;
    const slice = this.store.peek(this.index);
    if (!slice || row < 0 || column < 0 || row >= rows || column >= columns) return null;
    const voxel: Triple = [this.index, row, column];
    return { voxel, patientMm: voxelToPatient(this.series.affine, voxel), hounsfield: slice[row * columns + column] ?? 0 };
  }

  /** LPS position of the centre of the slice along its own axis, for the text in the corner. */
  get slicePositionMm(): number {
    const { rows, columns } = this.sampling;
    const centre = voxelToPatient(this.series.affine, [this.index, (rows - 1) / 2, (columns - 1) / 2]);
    return centre[this.orientation.plane === "axial" ? 2 : this.orientation.plane === "coronal" ? 1 : 0];
  }

  changed(): void {
    this.onChange();
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => {
      this.queued = false;
      this.draw();
    });
  }

  private resize(): void {
    const width = Math.max(1, Math.round(this.canvas.clientWidth * this.ratio));
    const height = Math.max(1, Math.round(this.canvas.clientHeight * this.ratio));
    if (width === this.canvas.width && height === this.canvas.height) return;
    const before = this.pixelsPerMm;
    this.canvas.width = width;
    this.canvas.height = height;
    const after = this.pixelsPerMm;
    if (before > 0 && this.placement.zoom !== 1) {
      this.placement.panX *= after / before;
      this.placement.panY *= after / before;
    }
    this.changed();
  }

  private draw(): void {
    const { context, canvas } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    const slice = this.store.peek(this.index);
    canvas.dataset["slice"] = String(this.index);
    canvas.dataset["ready"] = String(slice !== undefined);
    // An old image under a new number would mislead: while a slice loads, nothing is shown in its place.
    if (!slice) return;
    this.paintBitmap(slice);
    const matrix = this.matrix();
    context.imageSmoothingEnabled = this.smooth;
    context.imageSmoothingQuality = "high";
    context.setTransform(matrix.a, matrix.b, matrix.c, matrix.d, matrix.e, matrix.f);
    context.drawImage(this.bitmap, 0, 0);
    context.setTransform(1, 0, 0, 1, 0, 0);
    const frame = { context, matrix, ratio: this.ratio, pixelsPerMm: this.pixelsPerMm };
    if (this.overlaysShown) {
      // What the legend lists first is drawn last, on top of the others.
      for (const overlay of this.overlays.toReversed()) {
        const mark = overlay.visible ? overlay.at(this.index) : null;
        if (mark) drawMark(frame, mark, overlay.style);
        if (mark && overlay.name) drawName(frame, mark, overlay.name, overlay.style.colour);
      }
    }
    if (this.sketch) {
      const centre = patientToVoxel(this.series.affine, this.sketch.centreMm);
      const mark = sphereDrawing(centre, this.sketch.diameterMm / 2, this.sliceStepMm).at(this.index);
      if (mark) drawMark(frame, mark, SKETCH_STYLE);
    }
    if (this.marker && this.markerShown) {
      const [s, r, c] = patientToVoxel(this.series.affine, this.marker.placeMm);
      const away = Math.abs(s - this.index) * this.sliceStepMm;
      const near = Math.round(s) === this.index;
      if (near || away <= this.marker.radiusMm) drawMarker(frame, c + 0.5, r + 0.5, this.marker.radiusMm, near);
    }
    drawScaleBar(frame, canvas.width, canvas.height);
  }

  private paintBitmap(slice: Int16Array): void {
    const key = `${this.index}/${this.window.level}/${this.window.width}`;
    if (key === this.painted) return;
    const context = this.bitmap.getContext("2d");
    if (!context) throw new Error("this browser cannot draw on a canvas");
    const image = context.createImageData(this.sampling.columns, this.sampling.rows);
    paint(slice, this.window, image.data);
    context.putImageData(image, 0, 0);
    this.painted = key;
  }
}
