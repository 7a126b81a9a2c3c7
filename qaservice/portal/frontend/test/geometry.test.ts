import assert from "node:assert/strict";
import { test } from "node:test";
import { patientToVoxel, voxelToPatient } from "../src/geometry.ts";
import { lettersOf, orientationOf } from "../src/orientation.ts";
import { apply, applyInverse, imageToCanvas, pixelsPerMm, scaleBarMm, zoomedAt } from "../src/transform.ts";
import type { Affine } from "../src/types.ts";

/** Slices upwards every 2.5 mm, rows 0.8 mm to the back, columns 0.7 mm to the left: plain supine axial CT. */
const PLAIN: Affine = [
  [0, 0, 0.7, -160],
  [0, 0.8, 0, -150],
  [2.5, 0, 0, -300],
  [0, 0, 0, 1],
];
const SAMPLING = { rows: 100, columns: 200, rowMm: 0.8, columnMm: 0.7 };

test("a voxel goes to its place in the patient and back", () => {
  assert.deepEqual(voxelToPatient(PLAIN, [2, 10, 20]), [-146, -142, -295]);
  const back = patientToVoxel(PLAIN, [-146, -142, -295]);
  back.forEach((value, i) => assert.ok(Math.abs(value - [2, 10, 20][i]!) < 1e-9));
});

test("an oblique affine is inverted exactly enough for a voxel", () => {
  const tilt = Math.PI / 9;
  const oblique: Affine = [
    [0, 0, 0.7, 5],
    [-2.5 * Math.sin(tilt), 0.8 * Math.cos(tilt), 0, -7],
    [2.5 * Math.cos(tilt), 0.8 * Math.sin(tilt), 0, 11],
    [0, 0, 0, 1],
  ];
  const back = patientToVoxel(oblique, voxelToPatient(oblique, [31.25, 7.5, 99]));
  back.forEach((value, i) => assert.ok(Math.abs(value - [31.25, 7.5, 99][i]!) < 1e-9));
});

test("a plain axial slice has the patient's left on the right and the back at the bottom", () => {
  const orientation = orientationOf(PLAIN);
  assert.deepEqual(orientation.letters, { left: "R", right: "L", top: "A", bottom: "P" });
  assert.equal(orientation.flipX || orientation.flipY || orientation.transpose, false);
  assert.equal(orientation.nextStep, -1, "the next image lies towards the feet");
});

test("columns that run to the patient's right are turned round, so that left still shows on the right", () => {
  const mirrored: Affine = [[0, 0, -0.7, 160], [0, 0.8, 0, -150], [-2.5, 0, 0, 0], [0, 0, 0, 1]];
  const orientation = orientationOf(mirrored);
  assert.equal(orientation.flipX, true);
  assert.deepEqual(orientation.letters, { left: "R", right: "L", top: "A", bottom: "P" });
  assert.equal(orientation.nextStep, 1);
});

test("rows that run across the patient are transposed", () => {
  const turned: Affine = [[0, 0.7, 0, 0], [0, 0, 0.8, 0], [2.5, 0, 0, 0], [0, 0, 0, 1]];
  const orientation = orientationOf(turned);
  assert.equal(orientation.transpose, true);
  assert.equal(orientation.letters.right, "L");
  const matrix = imageToCanvas(SAMPLING, orientation, { zoom: 1, panX: 0, panY: 0 }, 400, 400);
  const [x0] = apply(matrix, 100, 10);
  const [x1] = apply(matrix, 100, 20);
  assert.ok(x1 > x0, "rows grow to the right of the screen");
});

test("coronal slices have the head at the top, sagittal ones the front at the left", () => {
  const coronal: Affine = [[0, 0, 0.7, 0], [2, 0, 0, 0], [0, -0.8, 0, 0], [0, 0, 0, 1]];
  assert.deepEqual(orientationOf(coronal).letters, { left: "R", right: "L", top: "H", bottom: "F" });
  const sagittal: Affine = [[2, 0, 0, 0], [0, 0, 0.7, 0], [0, 0.8, 0, 0], [0, 0, 0, 1]];
  assert.deepEqual(orientationOf(sagittal).letters, { left: "A", right: "P", top: "H", bottom: "F" });
});

test("oblique directions carry two letters, nearly straight ones a single letter", () => {
  assert.equal(lettersOf([0.8, 0.6, 0]), "LP");
  assert.equal(lettersOf([-0.99, 0.1, 0]), "R");
});

test("voxels that are not square keep their true shape on the canvas", () => {
  const orientation = orientationOf(PLAIN);
  const matrix = imageToCanvas(SAMPLING, orientation, { zoom: 1, panX: 0, panY: 0 }, 500, 300);
  const [x0, y0] = apply(matrix, 0, 0);
  const [x1] = apply(matrix, 10, 0);
  const [, y1] = apply(matrix, 0, 10);
  assert.ok(Math.abs((x1 - x0) / 7 - (y1 - y0) / 8) < 1e-9);
});

test("a canvas point goes to the image and back, also flipped and zoomed", () => {
  const orientation = { ...orientationOf(PLAIN), flipX: true };
  const matrix = imageToCanvas(SAMPLING, orientation, { zoom: 3, panX: 17, panY: -4 }, 500, 300);
  const [x, y] = apply(matrix, ...applyInverse(matrix, 123, 45));
  assert.ok(Math.abs(x - 123) < 1e-9 && Math.abs(y - 45) < 1e-9);
});

test("zooming keeps the place under the pointer", () => {
  const orientation = orientationOf(PLAIN);
  const before = { zoom: 1, panX: 3, panY: 9 };
  const place = applyInverse(imageToCanvas(SAMPLING, orientation, before, 500, 300), 400, 50);
  const after = zoomedAt(before, 2, 400, 50, 500, 300);
  const [x, y] = apply(imageToCanvas(SAMPLING, orientation, after, 500, 300), ...place);
  assert.ok(Math.abs(x - 400) < 1e-9 && Math.abs(y - 50) < 1e-9);
});

test("the scale bar is the longest round length that fits", () => {
  const scale = pixelsPerMm(SAMPLING, orientationOf(PLAIN), 560, 320, 1);
  assert.equal(scale, 4);
  assert.equal(scaleBarMm(scale, 210), 50);
});
