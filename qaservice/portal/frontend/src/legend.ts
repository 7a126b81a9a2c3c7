/** The list of overlays: colour, dash, who, and a switch for each. */

import { button, el } from "./dom.ts";
import type { Overlay } from "./overlays.ts";
import type { Viewer } from "./viewer.ts";

export function legend(host: HTMLElement, viewer: Viewer): void {
  host.replaceChildren(el("h2", {}, "Overlays"));
  if (viewer.overlays.length === 0) {
    host.append(el("p", { class: "hint" }, "There is nothing to draw on this series."));
    return;
  }
  const all = el("input", { type: "checkbox", id: "overlays-shown", checked: viewer.overlaysShown });
  all.addEventListener("change", () => {
    viewer.overlaysShown = all.checked;
    viewer.changed();
  });
  host.append(el("label", { class: "all", for: "overlays-shown" }, all, " show overlays (O)"));
  host.append(...grouped(viewer.overlays.filter((overlay) => overlay.near), viewer));
  const far = viewer.overlays.filter((overlay) => !overlay.near);
  if (far.length > 0) {
    host.append(el("details", {}, el("summary", {}, `Elsewhere on this series (${far.length})`), ...grouped(far, viewer)));
  }
  viewer.changed();
}

function grouped(overlays: readonly Overlay[], viewer: Viewer): HTMLElement[] {
  return [...new Set(overlays.map((overlay) => overlay.group))].flatMap((group) => [
    el("h3", {}, group),
    el("ul", {}, ...inOrder(overlays.filter((overlay) => overlay.group === group), viewer).map((overlay) => row(overlay, viewer))),
  ]);
}

/** By the images as people number them. */
function inOrder(overlays: Overlay[], viewer: Viewer): Overlay[] {
  return overlays.sort((a, b) => Number(imageNumber(viewer, a.middle)) - Number(imageNumber(viewer, b.middle)));
}

function row(overlay: Overlay, viewer: Viewer): HTMLElement {
  const id = `overlay-${overlay.id}`;
  const box = el("input", { type: "checkbox", id, checked: overlay.visible });
  box.addEventListener("change", () => {
    overlay.visible = box.checked;
    viewer.changed();
  });
  const go = button(`image ${imageNumber(viewer, overlay.middle)}`, () => viewer.goTo(overlay.middle), {
    class: "link",
    "aria-label": `Go to ${overlay.title} on image ${imageNumber(viewer, overlay.middle)}`,
  });
  return el(
    "li",
    { "data-first": overlay.first, "data-last": overlay.last },
    box,
    swatch(overlay),
    el("label", { for: id }, overlay.title),
    go,
  );
}

function imageNumber(viewer: Viewer, slice: number): string {
  return String(viewer.series.instance_numbers[slice] ?? slice + 1);
}

function swatch(overlay: Overlay): SVGSVGElement {
  const space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg");
  picture.setAttribute("class", "swatch");
  picture.setAttribute("viewBox", "0 0 26 10");
  picture.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(space, "line");
  for (const [name, value] of Object.entries({ x1: 1, y1: 5, x2: 25, y2: 5, stroke: overlay.style.colour, "stroke-width": 3 })) {
    line.setAttribute(name, String(value));
  }
  if (overlay.style.dash.length > 0) line.setAttribute("stroke-dasharray", overlay.style.dash.join(" "));
  picture.append(line);
  return picture;
}
