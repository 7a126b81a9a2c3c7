/** The viewer with everything around it: tools, corner text, orientation letters, legend and keys. */

import { button, el, signed } from "./dom.ts";
import { Gestures, type Tool } from "./gestures.ts";
import { legend } from "./legend.ts";
import { control, helpDialog, key, listen, type Shortcut } from "./shortcuts.ts";
import type { SliceStore } from "./slices.ts";
import { Sketch } from "./sketch.ts";
import type { SeriesView } from "./types.ts";
import { Viewer } from "./viewer.ts";
import { PRESETS, nameOf } from "./windowing.ts";

const MOUSE: readonly (readonly [string, string])[] = [
  ["Wheel", "Scroll through the images"],
  ["Ctrl + wheel, or right drag", "Zoom"],
  ["Middle drag, or Shift + drag", "Move the image"],
  ["Drag", "What the chosen tool does: window and level, move, or sketch"],
];

const PLANES = { axial: "z", coronal: "y", sagittal: "x" } as const;

export class Stage {
  readonly viewer: Viewer;
  readonly gestures: Gestures;
  readonly sketch = new Sketch();
  private readonly announcer = el("p", { class: "visually-hidden", "aria-live": "polite" });
  private readonly toolButtons = new Map<Tool, HTMLButtonElement>();
  private readonly presetButtons: HTMLButtonElement[];
  private readonly texts = { place: el("div"), view: el("div"), cursor: el("div"), notice: el("div") };
  private readonly legendHost = el("section", { class: "legend", "aria-label": "Overlays" });
  private announceLater: number | undefined;

  constructor(
    host: HTMLElement,
    series: SeriesView,
    store: SliceStore,
    private readonly options: { title: string; sketching: boolean },
  ) {
    const canvas = el("canvas", {
      class: "slice",
      tabindex: "0",
      role: "img",
      "aria-label": "CT slice. Arrow keys scroll through the images; press the question mark for all keys.",
    });
    this.presetButtons = PRESETS.map((preset) =>
      button(preset.name, () => this.viewer.setWindow({ level: preset.level, width: preset.width }), {
        title: `Level ${preset.level} HU, width ${preset.width} HU (key ${preset.key})`,
      }),
    );
    const toolbar = this.toolbar();
    const frame = el("div", { class: "frame" }, canvas, ...letterMarks(), ...this.corners());
    host.replaceChildren(toolbar, el("div", { class: "stage-body" }, frame, this.legendHost), this.announcer);
    this.viewer = new Viewer(canvas, series, store);
    this.setLetters(frame);
    this.gestures = new Gestures(this.viewer);
    this.gestures.sketch = this.sketch;
    this.gestures.onHover = (x, y) => this.hover(x, y);
    canvas.addEventListener("pointerleave", () => (this.texts.cursor.textContent = ""));
    this.sketch.onChange = (ball) => {
      this.viewer.sketch = ball;
      this.viewer.changed();
    };
    this.viewer.onChange = () => this.refresh();
    this.choose("window");
    this.compareLetters();
  }

  /** Start listening to keys; ``extra`` are the page's own. */
  bind(extra: readonly Shortcut[]): void {
    const shortcuts: Shortcut[] = [...this.shortcuts(), ...extra];
    const help = helpDialog(shortcuts, MOUSE);
    const open = () => help.showModal();
    listen([...shortcuts, { keys: "?", what: "This list", matches: key("?"), run: open }]);
    document.querySelector("[data-help]")?.addEventListener("click", open);
  }

  choose(tool: Tool): void {
    this.gestures.tool = tool;
    for (const [name, control] of this.toolButtons) control.setAttribute("aria-pressed", String(name === tool));
    this.viewer.canvas.dataset["tool"] = tool;
  }

  refreshLegend(): void {
    legend(this.legendHost, this.viewer);
  }

  toPlace(): void {
    if (this.viewer.marker) this.viewer.focus(this.viewer.marker.placeMm, Math.max(80, this.viewer.marker.radiusMm * 6));
  }

  private toolbar(): HTMLElement {
    const tool = (name: Tool, text: string, title: string) => {
      const control = button(text, () => this.choose(name), { title, "aria-pressed": "false" });
      this.toolButtons.set(name, control);
      return control;
    };
    const group = (label: string, ...controls: HTMLElement[]) =>
      el("div", { class: "group", role: "group", "aria-label": label }, ...controls);
    return el(
      "div",
      { class: "toolbar", role: "toolbar", "aria-label": "Viewer" },
      group("Window", ...this.presetButtons),
      group(
        "Tool for dragging",
        tool("window", "Window", "Drag to change window and level (W)"),
        tool("pan", "Move", "Drag to move the image (P)"),
        ...(this.options.sketching ? [tool("sketch", "Sketch", "Click the centre and drag to the rim (S)")] : []),
      ),
      group(
        "View",
        button("Whole image", () => this.viewer.fit(), { title: "Fit the whole image (F)" }),
        ...(this.options.sketching ? [button("Go to place", () => this.toPlace(), { title: "Centre the flag's place (G)" })] : []),
        button("Keys ?", () => undefined, { "data-help": true, title: "Keys and mouse (?)" }),
      ),
    );
  }

  private setLetters(frame: HTMLElement): void {
    for (const mark of frame.querySelectorAll<HTMLElement>(".letter")) {
      mark.textContent = this.viewer.orientation.letters[mark.dataset["side"] as "left"];
    }
  }

  /** The server works the letters out by itself; where the two disagree, no one should trust left and right. */
  private compareLetters(): void {
    const { orientation, series } = this.viewer;
    const stored = series.letters;
    const [left, right] = orientation.flipX ? [stored.right, stored.left] : [stored.left, stored.right];
    if (orientation.transpose || (orientation.letters.left[0] === left[0] && orientation.letters.right[0] === right[0])) return;
    this.announcer.after(el("p", { class: "problem", role: "alert" }, "Left and right could not be confirmed for this series. Do not read it; tell the QA lead."));
  }

  private corners(): HTMLElement[] {
    this.texts.place.className = "corner top-left";
    this.texts.view.className = "corner top-right";
    this.texts.cursor.className = "corner bottom-left";
    this.texts.notice.className = "notice";
    this.texts.notice.setAttribute("role", "status");
    return Object.values(this.texts);
  }

  private refresh(): void {
    const { viewer } = this;
    const number = viewer.series.instance_numbers[viewer.index];
    const image = number === null || number === undefined ? `Slice ${viewer.index + 1}` : `Image ${number}`;
    // Some series number their images from elsewhere: "image 37 of 6" would be nonsense.
    const beyond = typeof number === "number" && number > viewer.count;
    const axis = PLANES[viewer.orientation.plane];
    const position = `${axis} ${signed(viewer.slicePositionMm, 1)} mm`;
    this.texts.place.replaceChildren(
      el("strong", {}, beyond ? `${image}, one of ${viewer.count}` : `${image} of ${viewer.count}`),
      el("span", {}, position),
      el("span", {}, this.options.title),
    );
    const { level, width } = viewer.window;
    this.texts.view.replaceChildren(
      el("span", {}, nameOf(viewer.window)),
      el("span", {}, `L ${signed(level, 0)}  W ${width} HU`),
      el("span", {}, `${Math.round(viewer.placement.zoom * 100)} %`),
    );
    this.presetButtons.forEach((control, i) => {
      const preset = PRESETS[i];
      control.setAttribute("aria-pressed", String(preset?.level === level && preset.width === width));
    });
    this.texts.notice.textContent = viewer.failure
      ? `This image could not be loaded: ${viewer.failure}`
      : viewer.loaded
        ? ""
        : "Loading image …";
    for (const row of this.legendHost.querySelectorAll<HTMLElement>("[data-first]")) {
      const here = viewer.index >= Number(row.dataset["first"]) && viewer.index <= Number(row.dataset["last"]);
      row.classList.toggle("here", here);
    }
    window.clearTimeout(this.announceLater);
    this.announceLater = window.setTimeout(() => (this.announcer.textContent = `${image}, ${position}`), 400);
  }

  private hover(x: number, y: number): void {
    const read = this.viewer.readAt(x, y);
    if (!read) {
      this.texts.cursor.textContent = "";
      return;
    }
    const [s, r, c] = read.voxel;
    const mm = read.patientMm.map((value) => signed(value, 1)).join(", ");
    this.texts.cursor.replaceChildren(
      el("strong", {}, `${signed(read.hounsfield, 0)} HU`),
      el("span", {}, `LPS ${mm} mm`),
      el("span", {}, `voxel ${s}, ${r}, ${c}`),
    );
  }

  private shortcuts(): Shortcut[] {
    const { viewer } = this;
    const zoom = (factor: number) => viewer.zoomAt(factor, viewer.canvas.width / 2, viewer.canvas.height / 2);
    const toggle = (what: "overlaysShown" | "markerShown" | "smooth") => {
      viewer[what] = !viewer[what];
      viewer.changed();
      this.refreshLegend();
    };
    const ends = viewer.orientation.nextStep === 1 ? [0, viewer.count - 1] : [viewer.count - 1, 0];
    const list: Shortcut[] = [
      { keys: "↓ ↑", what: "Next or previous image", matches: key("ArrowDown"), run: () => viewer.scroll(1) },
      { keys: "", what: "", matches: key("ArrowUp"), run: () => viewer.scroll(-1) },
      { keys: "Page ↓ ↑", what: "Ten images on or back", matches: key("PageDown"), run: () => viewer.scroll(10) },
      { keys: "", what: "", matches: key("PageUp"), run: () => viewer.scroll(-10) },
      { keys: "Home, End", what: "First or last image", matches: key("Home"), run: () => viewer.goTo(ends[0] ?? 0) },
      { keys: "", what: "", matches: key("End"), run: () => viewer.goTo(ends[1] ?? 0) },
      ...PRESETS.map((preset) => ({
        keys: preset.key,
        what: `${preset.name} window`,
        matches: (event: KeyboardEvent) => !event.shiftKey && key(preset.key)(event),
        run: () => viewer.setWindow({ level: preset.level, width: preset.width }),
      })),
      { keys: "+ −", what: "Zoom in or out", matches: key("+", "="), run: () => zoom(1.25) },
      { keys: "", what: "", matches: key("-"), run: () => zoom(0.8) },
      { keys: "F", what: "Fit the whole image", matches: key("f", "F"), run: () => viewer.fit() },
      { keys: "O", what: "Show or hide all overlays", matches: key("o", "O"), run: () => toggle("overlaysShown") },
      { keys: "I", what: "Smooth image or plain voxels", matches: key("i", "I"), run: () => toggle("smooth") },
      { keys: "W", what: "Tool: window and level", matches: key("w", "W"), run: () => this.choose("window") },
      { keys: "P", what: "Tool: move", matches: key("p", "P"), run: () => this.choose("pan") },
    ];
    if (this.options.sketching) {
      list.push(
        { keys: "G", what: "Go to the flag's place", matches: key("g", "G"), run: () => this.toPlace() },
        { keys: "M", what: "Show or hide the marker", matches: key("m", "M"), run: () => toggle("markerShown") },
        { keys: "S", what: "Tool: sketch a correction", matches: key("s", "S"), run: () => this.choose("sketch") },
        { keys: "Ctrl + Z", what: "Undo the sketch", matches: control("z", false), run: () => this.sketch.undo() },
        { keys: "Ctrl + Shift + Z", what: "Redo the sketch", matches: control("z", true), run: () => this.sketch.redo() },
      );
    }
    return list;
  }
}

function letterMarks(): HTMLElement[] {
  return (["left", "right", "top", "bottom"] as const).map((side) =>
    el("span", { class: `letter at-${side}`, "data-side": side, "aria-hidden": "true" }),
  );
}
