/** The case page: one flag, its images and its review. */

import { Api } from "./api.ts";
import { el, required } from "./dom.ts";
import { axisVector, length, patientToVoxel } from "./geometry.ts";
import { prepare } from "./overlays.ts";
import { ReviewPanel } from "./review/panel.ts";
import { DECISIONS } from "./review/wording.ts";
import { shiftDigit, type Shortcut } from "./shortcuts.ts";
import { SliceStore } from "./slices.ts";
import { Stage } from "./stage.ts";
import type { CaseView, OverlayRecord } from "./types.ts";

/** Only one label is in question; the same reader's other labels on the series are named as that. */
function titled(records: OverlayRecord[], view: CaseView): OverlayRecord[] {
  const labels = new Map(view.labels.map((label) => [label.revision_id, label]));
  const named = records.map((record) => {
    const label = record.role === "label" ? labels.get(record.id) : undefined;
    if (!label) return record;
    return { ...record, title: `${label.under_review ? "Label in question" : "Same reader"}: ${label.category}` };
  });
  const rank = (record: OverlayRecord) =>
    record.role === "proposal" ? 1 : record.role === "other" ? 2 : labels.get(record.id)?.under_review ? 0 : 3;
  return named.sort((one, other) => rank(one) - rank(other));
}

async function start(page: HTMLElement): Promise<void> {
  const data = page.dataset;
  const assignment = data["assignment"] ?? "";
  const api = new Api(data["api"] ?? "/api/v1/");
  const first = await api.case(assignment);
  const [series, overlays] = await Promise.all([api.series(first.series), api.overlays(assignment)]);
  const voxels = series.shape[1] * series.shape[2];
  const store = new SliceStore(series, (index) => api.slice(series.id, index, voxels));
  const stage = new Stage(required("#viewer", HTMLElement), series, store, { title: first.flag.label, sketching: true });
  const steps = [0, 1, 2].map((axis) => length(axisVector(series.affine, axis as 0 | 1 | 2))) as [number, number, number];
  const { viewer } = stage;
  const draw = (records: OverlayRecord[], view: CaseView) => {
    const shown = new Map(viewer.overlays.map((overlay) => [overlay.id, overlay.visible]));
    const place = { voxel: patientToVoxel(series.affine, view.place_mm), stepsMm: steps, reachMm: Math.max(view.radius_mm, 5) };
    viewer.overlays = prepare(titled(records, view), steps[0], place);
    for (const overlay of viewer.overlays) overlay.visible = shown.get(overlay.id) ?? overlay.visible;
    viewer.marker = { placeMm: view.place_mm, radiusMm: view.radius_mm };
    stage.refreshLegend();
  };
  draw(overlays, first);
  const update = async (view: CaseView) => {
    draw(await api.overlays(assignment), view);
    panel.show(view);
    panelHost.scrollTo({ top: 0 });
  };
  const reload = async () => update(await api.case(assignment));
  const panelHost = required("#review", HTMLElement);
  const surroundings = { nextUrl: data["next"] ?? "", nextText: data["nextText"] ?? "Next case", update, reload };
  const panel = new ReviewPanel(panelHost, api, stage, surroundings, first);
  const decisions: Shortcut[] = DECISIONS.map((words, i) => ({
    keys: `Shift + ${i + 1}`,
    what: words.title,
    matches: shiftDigit(i + 1),
    run: () => panel.decide(words.decision),
  }));
  stage.bind(decisions);
  viewer.goTo(first.slice_index);
}

const page = required("#case", HTMLElement);
start(page).catch((error: unknown) => {
  const text = error instanceof Error ? error.message : String(error);
  required("#viewer", HTMLElement).replaceChildren(el("p", { class: "problem", role: "alert" }, `This case cannot be shown: ${text}`));
});
