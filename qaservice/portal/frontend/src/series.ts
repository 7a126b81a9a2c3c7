/** The series page: the same viewer without flags; overlays only where the page may give them. */

import { Api } from "./api.ts";
import { el, required } from "./dom.ts";
import { length, axisVector } from "./geometry.ts";
import { prepare } from "./overlays.ts";
import { SliceStore } from "./slices.ts";
import { Stage } from "./stage.ts";
import type { OverlayRecord } from "./types.ts";

async function start(page: HTMLElement): Promise<void> {
  const data = page.dataset;
  const api = new Api(data["api"] ?? "/api/v1/");
  const series = await api.series(data["series"] ?? "");
  const voxels = series.shape[1] * series.shape[2];
  const store = new SliceStore(series, (index) => api.slice(series.id, index, voxels));
  const stage = new Stage(required("#viewer", HTMLElement), series, store, { title: data["title"] ?? "", sketching: false });
  const { viewer } = stage;
  const labels = data["overlays"];
  if (labels) {
    const response = await fetch(labels, { credentials: "same-origin", headers: { Accept: "application/json" } });
    if (!response.ok) throw new Error("the labels could not be loaded");
    // Nobody is under review here: every reader has a colour of their own, and an algorithm that of the model.
    const records = ((await response.json()) as OverlayRecord[]).map((record) => ({ ...record, role: record.role === "label" ? ("other" as const) : record.role }));
    viewer.overlays = prepare(records, length(axisVector(series.affine, 0)));
  }
  stage.refreshLegend();
  stage.bind([]);
  const asked = Number(data["slice"]);
  viewer.goTo(data["slice"] && Number.isFinite(asked) ? asked : Math.floor(viewer.count / 2));
}

start(required("#series", HTMLElement)).catch((error: unknown) => {
  const text = error instanceof Error ? error.message : String(error);
  required("#viewer", HTMLElement).replaceChildren(el("p", { class: "problem", role: "alert" }, `This series cannot be shown: ${text}`));
});
