import assert from "node:assert/strict";
import { test } from "node:test";
import { explain } from "../src/api.ts";
import { EMPTY, fromBlind, keeps, requestOf } from "../src/review/answer.ts";
import { percent } from "../src/review/wording.ts";
import { Sketch } from "../src/sketch.ts";
import type { VerdictRecord } from "../src/types.ts";

const BLIND = { phase: "blind", hasLabel: true } as const;
const FINAL = { phase: "final", hasLabel: true } as const;
const MISSING = { phase: "final", hasLabel: false } as const;
const BALL = { centreMm: [1, 2, 3], diameterMm: 8.4 } as const;

test("a verdict without a rationale is not sent", () => {
  assert.match(String(requestOf({ ...EMPTY, decision: "label-right", rationale: "  " }, BLIND)), /needs a reason/);
});

test("a wrong label may wait for the reveal in the blind phase and not after it", () => {
  const answer = { ...EMPTY, decision: "label-wrong", rationale: "vessel", remedy: "later" } as const;
  assert.deepEqual(requestOf(answer, BLIND), { decision: "label-wrong", rationale: "vessel" });
  assert.match(String(requestOf(answer, FINAL)), /Say what the label should be/);
});

test("an accepted proposal goes by its id and carries no correction of its own", () => {
  const answer = { ...EMPTY, decision: "label-wrong", rationale: "better", remedy: "proposal:p1", sketch: BALL } as const;
  assert.deepEqual(requestOf(answer, FINAL), { decision: "label-wrong", rationale: "better", proposal_id: "p1" });
});

test("a sketch replaces the outline of a label, and adds a finding where there is none", () => {
  const answer = { ...EMPTY, decision: "label-wrong", rationale: "so", remedy: "sketch", sketch: BALL } as const;
  assert.deepEqual(requestOf(answer, FINAL), {
    decision: "label-wrong",
    rationale: "so",
    correction: { action: "replace-outline", centre_mm: [1, 2, 3], diameter_mm: 8.4 },
  });
  assert.match(String(requestOf(answer, MISSING)), /category/);
  assert.deepEqual(requestOf({ ...answer, category: "nodule >= 3 mm" }, MISSING), {
    decision: "label-wrong",
    rationale: "so",
    correction: { action: "add", category: "nodule >= 3 mm", centre_mm: [1, 2, 3], diameter_mm: 8.4 },
  });
});

test("a change that was left behind by another decision is not sent", () => {
  const answer = { ...EMPTY, decision: "cannot-tell", rationale: "blurred", remedy: "sketch", sketch: BALL } as const;
  assert.deepEqual(requestOf(answer, FINAL), { decision: "cannot-tell", rationale: "blurred" });
});

test("the final answer begins as the blind one, so that keeping it is one click", () => {
  const blind: VerdictRecord = {
    phase: "blind",
    decision: "label-wrong",
    decision_text: "Label is wrong",
    rationale: "too small",
    proposal_id: "",
    correction: { action: "replace-outline", category: null, centre_mm: [1, 2, 3], diameter_mm: 8.4 },
    given_at: "2026-01-01T00:00:00Z",
    reader: "R",
    simulated: false,
  };
  const answer = fromBlind(blind);
  assert.equal(keeps(answer, blind), true);
  assert.deepEqual(requestOf(answer, FINAL), {
    decision: "label-wrong",
    rationale: "too small",
    correction: { action: "replace-outline", centre_mm: [1, 2, 3], diameter_mm: 8.4 },
  });
  assert.equal(keeps({ ...answer, remedy: "remove" }, blind), false);
  assert.equal(keeps({ ...answer, decision: "label-right" }, blind), false);
});

test("a sketch can be undone and redone, and a new one forgets what was undone", () => {
  const sketch = new Sketch();
  const seen: (number | undefined)[] = [];
  sketch.onChange = (ball) => seen.push(ball?.diameterMm);
  sketch.put({ centreMm: [0, 0, 0], diameterMm: 8 });
  sketch.put({ centreMm: [0, 0, 0], diameterMm: 9.04 });
  sketch.undo();
  sketch.redo();
  sketch.undo();
  sketch.put({ centreMm: [0, 0, 0], diameterMm: 500 });
  assert.deepEqual(seen, [8, 9, 8, 9, 8, 150]);
  assert.equal(sketch.canRedo, false);
});

test("problems are told in plain words, with what the server said", () => {
  const conflict = explain(409, { code: "flag-settled", detail: "this flag has been settled meanwhile" });
  assert.equal(conflict.code, "flag-settled");
  assert.match(conflict.message, /has changed since you opened it.*settled meanwhile/);
  assert.match(explain(403, { detail: "Authentication credentials were not provided." }).message, /no longer logged in/);
  assert.match(explain(403, { detail: "your own label is in question here" }).message, /^your own label/);
  assert.match(explain(502, null).message, /Nothing was changed/);
  assert.match(explain(400, { code: "x", detail: "say in a few words why" }).message, /why/);
});

test("a probability is never rounded to certainty", () => {
  assert.equal(percent(0.873), "87 %");
  assert.equal(percent(0.996), "more than 99 %");
  assert.equal(percent(0.002), "less than 1 %");
});
