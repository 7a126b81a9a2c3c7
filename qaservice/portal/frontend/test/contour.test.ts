import assert from "node:assert/strict";
import { test } from "node:test";
import { outline, unpackBits, type Loop } from "../src/contour.ts";
import { boxDrawing, prepare, sphereDrawing } from "../src/overlays.ts";

/** Signed area: positive for loops that run clockwise on the screen (y down). */
function area(loop: Loop): number {
  return loop.reduce((sum, [x, y], i) => {
    const [nx, ny] = loop[(i + 1) % loop.length]!;
    return sum + (x * ny - nx * y) / 2;
  }, 0);
}

const drawn = (...rows: string[]) => Uint8Array.from(rows.join("").split("").map((c) => (c === "#" ? 1 : 0)));

test("bits are read as numpy packs them: row-major, highest bit first", () => {
  // numpy.packbits([1,0,1,0,0,0,0,0, 0,1]) == [0xa0, 0x40]
  assert.deepEqual([...unpackBits(btoa("\xa0\x40"), [1, 2, 5])], [1, 0, 1, 0, 0, 0, 0, 0, 0, 1]);
});

test("a mask with the wrong number of bytes is refused", () => {
  assert.throws(() => unpackBits(btoa("\xa0"), [1, 2, 5]), /came with 1 bytes/);
});

test("one voxel is outlined along its own border", () => {
  assert.deepEqual(outline(drawn("#"), 1, 1, 7, 30), [[[30, 7], [31, 7], [31, 8], [30, 8]]]);
});

test("straight borders become one line each", () => {
  const [loop] = outline(drawn("####", "####"), 2, 4, 0, 0);
  assert.equal(loop?.length, 4);
});

test("a hole gets a loop of its own that runs the other way", () => {
  const loops = outline(drawn("###", "#.#", "###"), 3, 3, 0, 0);
  assert.deepEqual(loops.map(area).sort((a, b) => a - b), [-1, 9]);
});

test("voxels that touch at a corner only keep separate outlines", () => {
  const loops = outline(drawn("#.", ".#"), 2, 2, 0, 0);
  assert.equal(loops.length, 2);
  assert.deepEqual(loops.map(area), [1, 1]);
});

test("the area within all outlines is the number of voxels, for any mask", () => {
  let state = 7;
  const random = () => (state = (state * 1103515245 + 12345) % 2147483648) / 2147483648;
  for (let round = 0; round < 60; round += 1) {
    const [rows, columns] = [1 + Math.floor(random() * 9), 1 + Math.floor(random() * 9)];
    const bits = Uint8Array.from({ length: rows * columns }, () => (random() < 0.55 ? 1 : 0));
    const loops = outline(bits, rows, columns, 3, 4);
    assert.equal(loops.map(area).reduce((a, b) => a + b, 0), bits.reduce((a, b) => a + b, 0));
    for (const loop of loops) {
      loop.forEach(([x, y], i) => {
        const [nx, ny] = loop[(i + 1) % loop.length]!;
        assert.ok((x === nx) !== (y === ny), "every step runs along one voxel border");
      });
    }
  }
});

test("a mask overlay shows on its own slices only and jumps to its largest", () => {
  const bits = btoa(String.fromCharCode(0b00011101)); // (2, 2, 2): first slice one voxel, second three
  const [overlay] = prepare(
    [{ id: "a", role: "label", title: "label", shape: "mask", origin: [10, 20, 30], size: [2, 2, 2], bits }],
    2.5,
  );
  assert.ok(overlay);
  assert.equal(overlay.at(9), null);
  assert.equal(overlay.at(12), null);
  assert.equal(overlay.middle, 11);
  const mark = overlay.at(10);
  assert.deepEqual(mark, { kind: "loops", loops: [[[31, 21], [32, 21], [32, 22], [31, 22]]] });
});

test("a ball is cut into circles by distance from its centre", () => {
  const ball = sphereDrawing([10, 50, 60], 5, 3);
  assert.deepEqual(ball.at(10), { kind: "circle", x: 60.5, y: 50.5, radiusMm: 5 });
  assert.deepEqual(ball.at(11), { kind: "circle", x: 60.5, y: 50.5, radiusMm: 4 });
  assert.equal(ball.at(12), null);
});

test("a ball thinner than a slice still shows on the slice nearest to it", () => {
  const ball = sphereDrawing([10.4, 5, 5], 0.5, 5);
  assert.equal(ball.at(10)?.kind, "circle");
  assert.equal(ball.at(11), null);
});

test("labels at the place are told from those elsewhere on the series", () => {
  const mark = { role: "other", title: "reader 1: nodule", shape: "point" } as const;
  const place = { voxel: [10, 50, 50], stepsMm: [2.5, 0.7, 0.7], reachMm: 5 } as const;
  const overlays = prepare(
    [
      { ...mark, id: "two slices on", centre: [12, 50, 50] },
      { ...mark, id: "three slices on", centre: [13, 50, 50] },
      { ...mark, id: "ball that reaches it", shape: "sphere", centre: [14, 50, 50], radius_mm: 6 },
      { ...mark, id: "mask around it", shape: "mask", origin: [9, 45, 45], size: [3, 1, 8], bits: btoa("\xff\xff\xff") },
    ],
    2.5,
    place,
  );
  assert.deepEqual(overlays.map((overlay) => overlay.near), [true, false, true, true]);
  assert.equal(overlays[0]?.group, "reader 1");
});

test("a box is one rectangle along the borders of its voxels, on every slice that it covers", () => {
  // Slices 3 and 4, rows 10 to 19, columns 30 to 49.
  const drawing = boxDrawing([2.5, 9.5, 29.5], [4.5, 19.5, 49.5]);
  assert.deepEqual([drawing.first, drawing.last], [3, 4]);
  assert.equal(drawing.at(2), null);
  assert.equal(drawing.at(5), null);
  const mark = drawing.at(3);
  assert.ok(mark?.kind === "loops");
  assert.deepEqual(mark.loops, [[[30, 10], [50, 10], [50, 20], [30, 20]]]);
});

test("a box thinner than a slice shows on the slice nearest its middle", () => {
  const drawing = boxDrawing([6.1, 0, 0], [6.3, 4, 4]);
  assert.deepEqual([drawing.first, drawing.last], [6, 6]);
  assert.ok(drawing.at(6));
});

test("a structure is drawn in a style of its own and by its name, a finding is not named", () => {
  const shape = { shape: "point" as const, centre: [1, 2, 3] as const };
  const [heart, nodule, aorta] = prepare(
    [
      { id: "a", role: "other", title: "planner: Heart (other structure)", structure: true, ...shape },
      { id: "b", role: "other", title: "planner: nodule >= 3 mm", structure: false, ...shape },
      { id: "c", role: "model", title: "Detector: aorta (other structure), 50 % by its own account", structure: true, ...shape },
    ],
    2.5,
  );
  assert.equal(heart?.name, "Heart");
  assert.equal(aorta?.name, "aorta");
  assert.equal(nodule?.name, "");
  assert.notEqual(heart?.style.colour, nodule?.style.colour);
  assert.ok(heart?.style.dash.length, "anatomy is dotted");
});

test("an algorithm's labels are listed under its name", () => {
  const [overlay] = prepare([{ id: "a", role: "model", title: "Detector 2: nodule >= 3 mm", shape: "point", centre: [1, 2, 3] }], 2.5);
  assert.deepEqual([overlay?.group, overlay?.title], ["Detector 2", "nodule >= 3 mm"]);
});
