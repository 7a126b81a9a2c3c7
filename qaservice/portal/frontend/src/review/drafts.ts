/** What has been typed but not sent is kept for this browser tab, so that a lost session or a reload loses nothing. */

import { EMPTY, type Answer } from "./answer.ts";

const PREFIX = "label-qa/draft/";

export function loadDraft(assignment: string, phase: string): Answer | null {
  try {
    const text = sessionStorage.getItem(`${PREFIX}${assignment}/${phase}`);
    return text === null ? null : { ...EMPTY, ...(JSON.parse(text) as Partial<Answer>) };
  } catch {
    return null;
  }
}

export function saveDraft(assignment: string, phase: string, answer: Answer): void {
  try {
    sessionStorage.setItem(`${PREFIX}${assignment}/${phase}`, JSON.stringify(answer));
  } catch {
    // A browser that keeps nothing still lets people vote.
  }
}

export function dropDraft(assignment: string, phase: string): void {
  try {
    sessionStorage.removeItem(`${PREFIX}${assignment}/${phase}`);
  } catch {
    // See saveDraft.
  }
}
