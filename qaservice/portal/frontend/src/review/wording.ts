/** What decisions, actions and quick phrases are called on the screen. */

import type { Action, Correction, Decision } from "../types.ts";

export const CATEGORIES = ["nodule >= 3 mm", "nodule < 3 mm", "non-nodule"] as const;

export interface DecisionWords {
  decision: Decision;
  title: string;
  /** What it means, and quick phrases, where a label is in question ... */
  present: string;
  presentPhrases: readonly string[];
  /** ... and where a label may be missing. */
  missing: string;
  missingPhrases: readonly string[];
}

const UNSURE = ["Motion blurs this region.", "The slices are too thick to tell.", "Vessel and nodule cannot be told apart here."];
const UNCLEAR = ["The guideline does not say how to label this kind of lesion.", "The guideline does not say where the border runs."];
const UNFIT = ["Image quality does not allow a read.", "Not a scan of the kind this project is about."];

export const DECISIONS: readonly DecisionWords[] = [
  {
    decision: "label-right",
    title: "Label is right",
    present: "It can stay as it is.",
    presentPhrases: ["The outline follows the visible border.", "The difference is within what readers differ by."],
    missing: "Nothing needs to be labelled here.",
    missingPhrases: ["Nothing to see at this place.", "Vessel, not a nodule.", "Scar or pleural thickening, not a nodule."],
  },
  {
    decision: "label-wrong",
    title: "Label is wrong",
    present: "It should be changed or taken out.",
    presentPhrases: ["The outline misses part of the nodule.", "The outline takes in a vessel.", "Vessel, not a nodule."],
    missing: "Something should be labelled here.",
    missingPhrases: ["A nodule is visible on adjacent images.", "Round, well defined and not a vessel."],
  },
  {
    decision: "cannot-tell",
    title: "Cannot tell",
    present: "The images do not settle it.",
    presentPhrases: UNSURE,
    missing: "The images do not settle it.",
    missingPhrases: UNSURE,
  },
  {
    decision: "guideline-unclear",
    title: "Guideline is unclear",
    present: "The instructions do not cover this.",
    presentPhrases: UNCLEAR,
    missing: "The instructions do not cover this.",
    missingPhrases: UNCLEAR,
  },
  {
    decision: "exclude",
    title: "Exclude",
    present: "This case should not be in the data set.",
    presentPhrases: UNFIT,
    missing: "This case should not be in the data set.",
    missingPhrases: UNFIT,
  },
];

export function titleOf(decision: Decision): string {
  return DECISIONS.find((words) => words.decision === decision)?.title ?? decision;
}

const ACTIONS: Record<Action, string> = {
  add: "add a finding",
  remove: "take the finding out",
  "replace-outline": "replace the outline",
  recategorise: "change the category",
};

/** A stored or intended correction in words, e.g. "replace the outline (sphere of 8.4 mm)". */
export function correctionText(correction: Correction): string {
  const parts = [correction.category, correction.diameter_mm ? `sphere of ${correction.diameter_mm.toFixed(1)} mm` : null];
  const detail = parts.filter(Boolean).join(", ");
  return ACTIONS[correction.action] + (detail ? ` (${detail})` : "");
}

export function percent(probability: number): string {
  const value = probability * 100;
  return value > 0 && value < 1 ? "less than 1 %" : value > 99 && value < 100 ? "more than 99 %" : `${Math.round(value)} %`;
}
