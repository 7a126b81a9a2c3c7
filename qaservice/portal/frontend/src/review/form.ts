/** The form of one verdict: decision, what should change, rationale. */

import { button, el } from "../dom.ts";
import type { Sketch } from "../sketch.ts";
import type { Decision, ProposalSummary } from "../types.ts";
import type { Answer, Remedy, Situation } from "./answer.ts";
import { CATEGORIES, DECISIONS } from "./wording.ts";

export interface FormOptions {
  situation: Situation;
  proposals: readonly ProposalSummary[];
  sketch: Sketch;
  /** Called when the sketch tool is wanted in the image. */
  wantSketch: () => void;
  onChange: (answer: Answer) => void;
  /** What the button says for the answer as it stands. */
  buttonText: (answer: Answer) => string;
  onSubmit: () => void;
}

export class VerdictForm {
  readonly element = el("form", { class: "verdict-form", novalidate: true });
  private readonly rationale = el("textarea", { id: "rationale", rows: "3", required: true, maxlength: "4000" });
  private readonly change = el("fieldset", { class: "change" });
  private readonly phrases = el("div", { class: "phrases", role: "group", "aria-label": "Quick phrases" });
  private readonly alert = el("p", { class: "problem", role: "alert" });
  private readonly submit = el("button", { type: "submit", class: "button primary" });

  constructor(
    public answer: Answer,
    private readonly options: FormOptions,
  ) {
    this.rationale.value = answer.rationale;
    this.rationale.addEventListener("input", () => this.update({ rationale: this.rationale.value }, false));
    this.rationale.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.element.requestSubmit();
      if (event.key === "Escape") this.rationale.blur();
    });
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      options.onSubmit();
    });
    this.element.append(
      this.decisions(),
      this.change,
      el("label", { for: "rationale", class: "field" }, "Why? ", el("span", { class: "hint" }, "(required)")),
      this.phrases,
      this.rationale,
      this.alert,
      el("div", { class: "actions" }, this.submit, el("kbd", {}, "Ctrl + Enter")),
    );
    this.refresh();
  }

  choose(decision: Decision): void {
    const input = this.element.querySelector<HTMLInputElement>(`input[name="decision"][value="${decision}"]`);
    if (!input || input.disabled) return;
    input.checked = true;
    input.focus();
    this.update({ decision });
  }

  /** Accept a proposal: the decision and the change in one click; an untouched rationale says so. */
  accept(proposal: ProposalSummary, untouched: string): void {
    const written = this.rationale.value.trim();
    const rationale = written === "" || written === untouched ? `Accepted after the reveal: ${proposal.text}` : this.rationale.value;
    this.rationale.value = rationale;
    const radio = this.element.querySelector<HTMLInputElement>('input[name="decision"][value="label-wrong"]');
    if (radio) radio.checked = true;
    this.update({ decision: "label-wrong", remedy: `proposal:${proposal.id}`, rationale });
    this.submit.focus();
  }

  sketched(): void {
    const sketch = this.options.sketch.current;
    this.update(sketch === null ? { sketch } : { sketch, decision: "label-wrong", remedy: "sketch" });
    if (sketch !== null) {
      const radio = this.element.querySelector<HTMLInputElement>('input[name="decision"][value="label-wrong"]');
      if (radio) radio.checked = true;
    }
  }

  problem(text: string): void {
    this.alert.textContent = text;
    if (text !== "") this.alert.scrollIntoView({ block: "nearest" });
  }

  busy(busy: boolean): void {
    this.submit.disabled = busy;
    this.submit.textContent = busy ? "Storing …" : this.options.buttonText(this.answer);
  }

  private update(part: Partial<Answer>, redraw = true): void {
    this.answer = { ...this.answer, ...part };
    this.problem("");
    if (redraw) this.refresh();
    else this.submit.textContent = this.options.buttonText(this.answer);
    this.options.onChange(this.answer);
  }

  private refresh(): void {
    this.submit.textContent = this.options.buttonText(this.answer);
    this.refreshPhrases();
    const wrong = this.answer.decision === "label-wrong";
    this.change.hidden = !wrong;
    if (wrong) this.refreshChange();
  }

  private decisions(): HTMLElement {
    const { hasLabel } = this.options.situation;
    return el(
      "fieldset",
      { class: "decisions" },
      el("legend", {}, "Your decision"),
      ...DECISIONS.map((words, i) => {
        const input = el("input", {
          type: "radio",
          name: "decision",
          value: words.decision,
          checked: this.answer.decision === words.decision,
        });
        input.addEventListener("change", () => this.update({ decision: words.decision }));
        return el(
          "label",
          { class: "choice" },
          input,
          el("span", {}, el("strong", {}, words.title), el("small", {}, hasLabel ? words.present : words.missing)),
          el("kbd", { "aria-hidden": "true" }, `⇧${i + 1}`),
        );
      }),
    );
  }

  private refreshPhrases(): void {
    const words = DECISIONS.find((one) => one.decision === this.answer.decision);
    this.phrases.replaceChildren(
      ...(this.options.situation.hasLabel ? (words?.presentPhrases ?? []) : (words?.missingPhrases ?? [])).map((phrase) =>
        button(
          phrase,
          () => {
            const before = this.rationale.value.trim();
            this.rationale.value = before === "" ? phrase : `${before} ${phrase}`;
            this.update({ rationale: this.rationale.value }, false);
            this.rationale.focus();
          },
          { class: "phrase" },
        ),
      ),
    );
  }

  private refreshChange(): void {
    const { situation, proposals } = this.options;
    const rows: HTMLElement[] = [];
    const option = (remedy: Remedy, text: string) => {
      const input = el("input", { type: "radio", name: "remedy", value: remedy, checked: this.answer.remedy === remedy });
      input.addEventListener("change", () => {
        this.update({ remedy, sketch: this.options.sketch.current });
        if (remedy === "sketch") this.options.wantSketch();
      });
      rows.push(el("label", { class: "choice small" }, input, el("span", {}, text)));
    };
    if (situation.phase === "blind") option("later", "Decide after the reveal");
    for (const proposal of proposals) option(`proposal:${proposal.id}`, proposal.text);
    option("sketch", situation.hasLabel ? "Sketch the right extent in the image" : "Sketch what is missing in the image");
    if (this.answer.remedy === "sketch") rows.push(this.sketchRow());
    if (situation.hasLabel) {
      option("remove", "Take the finding out");
      option("recategorise", "Change its category");
    }
    if (this.answer.remedy === "recategorise" || (this.answer.remedy === "sketch" && !situation.hasLabel)) rows.push(this.categoryRow());
    this.change.replaceChildren(el("legend", {}, "What should be changed?"), ...rows);
  }

  private sketchRow(): HTMLElement {
    const { sketch } = this.options;
    const ball = sketch.current;
    const text = ball
      ? `Sphere of ${ball.diameterMm.toFixed(1)} mm. Drag again to redo it.`
      : "Click the centre in the image and drag to the rim.";
    const tool = (label: string, run: () => void, enabled: boolean) => {
      const control = button(label, run, { class: "link" });
      control.disabled = !enabled;
      return control;
    };
    return el(
      "div",
      { class: "sketch-row" },
      el("span", {}, text),
      tool("undo", () => sketch.undo(), sketch.canUndo),
      tool("redo", () => sketch.redo(), sketch.canRedo),
      tool("clear", () => sketch.put(null), ball !== null),
    );
  }

  private categoryRow(): HTMLElement {
    const select = el("select", { id: "category" }, el("option", { value: "" }, "choose …"));
    for (const category of CATEGORIES) {
      select.append(el("option", { value: category, selected: this.answer.category === category }, category));
    }
    select.addEventListener("change", () => this.update({ category: select.value }));
    return el("div", { class: "category-row" }, el("label", { for: "category" }, "Category "), select);
  }
}

