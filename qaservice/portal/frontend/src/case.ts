/** The case page: one flag, its images and its review. */

import { Api } from "./api.ts";
import { el, required } from "./dom.ts";
import { length, axisVector } from "./geometry.ts";
import { prepare } from "./overlays.ts";
import { ReviewPanel } from "./review/panel.ts";
import { DECISIONS } from "./review/wording.ts";
import { shiftDigit, type Shortcut } from "./shortcuts.ts";
import { SliceStore } from "./slices.ts";
import { Stage } from "./stage.ts";

async function start(page: HTMLElement): Promise<void> {
  const data = page.dataset;
  const assignment = data["assignment"] ?? "";
  const api = new Api(data["api"] ?? "/api/v1/");
  const first = await api.case(assignment);
  const [series, overlays] = await Promise.all([api.series(first.series), api.overlays(assignment)]);
  const voxels = series.shape[1] * series.shape[2];
  const store = new SliceStore(series, (index) => api.slice(series.id, index, voxels));
  const stage = new Stage(required("#viewer", HTMLElement), series, store, { title: first.flag.label, sketching: true });
  const step = length(axisVector(series.affine, 0));
  const { viewer } = stage;
  const apply = (records: Parameters<typeof prepare>[0], view: typeof first) => {
    const shown = new Map(viewer.overlays.map((overlay) => [overlay.id, overlay.visible]));
    viewer.overlays = prepare(records, step);
    for (const overlay of viewer.overlays) overlay.visible = shown.get(overlay.id) ?? overlay.visible;
    viewer.marker = { placeMm: view.place_mm, radiusMm: view.radius_mm };
    stage.refreshLegend();
  };
  apply(overlays, first);
  const reload = async () => {
    const [view, records] = await Promise.all([api.case(assignment), api.overlays(assignment)]);
    apply(records, view);
    panel.show(view);
    panelHost.scrollTo({ top: 0 });
  };
  const panelHost = required("#review", HTMLElement);
  const surroundings = { nextUrl: data["next"] ?? "", nextText: data["nextText"] ?? "Next case", reload };
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
