import assert from "node:assert/strict";
import { test } from "node:test";
import { dragged, grey, nameOf, paint, PRESETS } from "../src/windowing.ts";

const LUNG = { level: -600, width: 1500 };

test("the lung window comes first and is -600 / 1500", () => {
  assert.equal(PRESETS[0]?.name, "Lung");
  assert.equal(nameOf(LUNG), "Lung");
});

test("the window is linear between its ends, as DICOM defines it", () => {
  assert.equal(grey(-1351, LUNG), 0);
  assert.equal(grey(-1350, LUNG), 0);
  assert.equal(grey(149, LUNG), 255);
  assert.equal(grey(3000, LUNG), 255);
  assert.equal(grey(-600, LUNG), 128);
});

test("painting keeps the order of the voxels and is opaque", () => {
  const target = new Uint8ClampedArray(12);
  paint(Int16Array.of(-2000, -600, 2000), LUNG, target);
  assert.deepEqual([...target], [0, 0, 0, 255, 128, 128, 128, 255, 255, 255, 255, 255]);
});

test("dragging changes level and width within sensible limits", () => {
  assert.deepEqual(dragged(LUNG, 10, -5), { level: -610, width: 1540 });
  assert.equal(dragged(LUNG, -5000, 0).width, 10);
});
