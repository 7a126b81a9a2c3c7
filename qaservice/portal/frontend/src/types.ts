/** The JSON that the REST API gives. Index order is (slice, row, column); patient space is DICOM LPS, millimetres. */

export type Triple = readonly [number, number, number];
export type Affine = readonly (readonly number[])[];
export type Decision = "label-right" | "label-wrong" | "cannot-tell" | "guideline-unclear" | "exclude";
export type Action = "add" | "remove" | "replace-outline" | "recategorise";

export interface SeriesView {
  id: string;
  shape: Triple;
  spacing_mm: Triple;
  affine: Affine;
  /** Letters at the edges of a slice shown as stored. */
  letters: { left: string; right: string; top: string; bottom: string };
  instance_numbers: (number | null)[];
  sop_instance_uids: string[];
}

export interface OverlayRecord {
  id: string;
  role: "label" | "other" | "model" | "proposal";
  title: string;
  shape: "mask" | "sphere" | "box" | "point";
  origin?: Triple | null;
  size?: Triple | null;
  bits?: string | null;
  centre?: Triple | null;
  radius_mm?: number | null;
  /** A box's outer faces: lowest and highest (slice, row, column), half a voxel beyond voxel centres. */
  corners?: readonly [Triple, Triple] | null;
  /** Anatomy or another structure: shown, never judged as a nodule. */
  structure?: boolean;
}

/** One label; ``revision_id`` is the id of its overlay. */
export interface LabelSummary {
  revision_id: string;
  title: string;
  category: string;
  diameter_mm: number | null;
  under_review: boolean;
}

export interface ProposalSummary {
  id: string;
  action: Action;
  origin: string;
  category: string | null;
  text: string;
}

export interface Revealed {
  reason: string;
  score: number;
  threshold: number | null;
  silence: string;
  check: string;
  check_version: string;
  model: string;
  /** What the model was worth when it spoke; `marks` says it in plain words and is empty where no model was heard. */
  worth: { marks: string[] };
  evidence: Record<string, unknown>;
  others: LabelSummary[];
  proposals: ProposalSummary[];
}

export interface Correction {
  action: Action;
  category?: string | null;
  centre_mm?: Triple;
  diameter_mm?: number;
}

export interface VerdictRecord {
  phase: "blind" | "final";
  decision: Decision;
  decision_text: string;
  rationale: string;
  proposal_id: string;
  correction: Correction | null;
  given_at: string;
  reader: string;
  simulated: boolean;
}

export interface CaseView {
  id: string;
  flag: { number: number; label: string };
  project: string;
  series: string;
  state: string;
  blind: boolean;
  place_mm: Triple;
  slice_index: number;
  image_number: number | null;
  radius_mm: number;
  blind_reason: string;
  labels: LabelSummary[];
  revealed: Revealed | null;
  verdicts: VerdictRecord[];
  other_verdicts: VerdictRecord[];
  next_step: "blind" | "reveal" | "final" | "none";
  outcome: string;
}

export interface VerdictRequest {
  decision: Decision;
  rationale: string;
  proposal_id?: string;
  correction?: Correction;
}
