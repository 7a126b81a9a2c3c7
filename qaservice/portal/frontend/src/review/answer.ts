/** What a reader has entered so far, and the request it makes. Pure, so that the rules can be tested. */

import type { Correction, Decision, Triple, VerdictRecord, VerdictRequest } from "../types.ts";

/** How a wrong label is to be mended: later, by a sketch, by taking it out, by another category, or by a proposal. */
export type Remedy = "" | "later" | "sketch" | "remove" | "recategorise" | `proposal:${string}`;

export interface Answer {
  decision: Decision | "";
  rationale: string;
  remedy: Remedy;
  category: string;
  sketch: { centreMm: Triple; diameterMm: number } | null;
}

export const EMPTY: Answer = { decision: "", rationale: "", remedy: "", category: "", sketch: null };

export interface Situation {
  phase: "blind" | "final";
  /** A label of the reader under review is in question; false where one may be missing. */
  hasLabel: boolean;
}

/** The request for an answer, or a sentence that says what is still missing. */
export function requestOf(answer: Answer, situation: Situation): VerdictRequest | string {
  if (answer.decision === "") return "Choose one of the five decisions.";
  const rationale = answer.rationale.trim();
  if (rationale === "") return "Write in a few words why you decide so; the record needs a reason.";
  const request: VerdictRequest = { decision: answer.decision, rationale };
  if (answer.decision !== "label-wrong") return request;
  if (answer.remedy.startsWith("proposal:")) return { ...request, proposal_id: answer.remedy.slice("proposal:".length) };
  if (answer.remedy === "later" || answer.remedy === "") {
    if (situation.phase === "blind" && answer.remedy === "later") return request;
    return situation.phase === "blind"
      ? "Say what should be changed, or choose to decide after the reveal."
      : "Say what the label should be: accept a proposal, sketch it, or choose one of the other changes.";
  }
  const correction = correctionOf(answer, situation);
  return typeof correction === "string" ? correction : { ...request, correction };
}

function correctionOf(answer: Answer, situation: Situation): Correction | string {
  if (answer.remedy === "remove") return { action: "remove" };
  if (answer.remedy === "recategorise") {
    return answer.category === "" ? "Choose the category that is right." : { action: "recategorise", category: answer.category };
  }
  if (answer.sketch === null) {
    return "Sketch it in the image: press S, click the centre and drag to the rim.";
  }
  const ball = { centre_mm: answer.sketch.centreMm, diameter_mm: answer.sketch.diameterMm };
  if (situation.hasLabel) return { action: "replace-outline", ...ball };
  return answer.category === "" ? "Choose the category of what you sketched." : { action: "add", category: answer.category, ...ball };
}

/** A final answer that begins as the blind one, so that keeping it takes one click. */
export function fromBlind(verdict: VerdictRecord): Answer {
  const { correction } = verdict;
  const sketched = correction?.centre_mm !== undefined && correction.diameter_mm !== undefined;
  return {
    decision: verdict.decision,
    rationale: verdict.rationale,
    remedy: correction === null ? "" : correction.action === "add" || correction.action === "replace-outline" ? "sketch" : correction.action,
    category: correction?.category ?? "",
    sketch:
      sketched && correction?.centre_mm && correction.diameter_mm !== undefined
        ? { centreMm: correction.centre_mm, diameterMm: correction.diameter_mm }
        : null,
  };
}

/** Whether an answer decides as the blind verdict did. */
export function keeps(answer: Answer, blind: VerdictRecord | undefined): boolean {
  if (blind === undefined || answer.decision !== blind.decision) return false;
  if (answer.decision !== "label-wrong") return true;
  return blind.correction !== null && answer.remedy === fromBlind(blind).remedy;
}
