/** The review panel: a blind verdict, the reveal, the final verdict, and what became of it. */

import { ApiError, type Api } from "../api.ts";
import { button, el, signed } from "../dom.ts";
import type { Stage } from "../stage.ts";
import type { CaseView, Decision, LabelSummary, ProposalSummary, Revealed, VerdictRecord } from "../types.ts";
import { EMPTY, fromBlind, keeps, requestOf, type Answer, type Situation } from "./answer.ts";
import { dropDraft, loadDraft, saveDraft } from "./drafts.ts";
import { VerdictForm } from "./form.ts";
import { correctionText, percent, titleOf } from "./wording.ts";

export interface Surroundings {
  nextUrl: string;
  nextText: string;
  /** Show the case as it now stands, with the overlays that go with it. */
  update: (view: CaseView) => Promise<void>;
  /** Read the case anew, after someone else changed it. */
  reload: () => Promise<void>;
}

const STEPS = [
  ["blind", "Own read"],
  ["reveal", "Opinions"],
  ["final", "Final verdict"],
] as const;

export class ReviewPanel {
  private form: VerdictForm | null = null;

  constructor(
    private readonly host: HTMLElement,
    private readonly api: Api,
    private readonly stage: Stage,
    private readonly surroundings: Surroundings,
    private view: CaseView,
  ) {
    const drawn = stage.sketch.onChange;
    stage.sketch.onChange = (ball) => {
      drawn(ball);
      this.form?.sketched();
    };
    this.render();
  }

  show(view: CaseView): void {
    this.view = view;
    this.render();
  }

  decide(decision: Decision): void {
    this.form?.choose(decision);
  }

  private get underReview(): LabelSummary | undefined {
    return this.view.labels.find((label) => label.under_review);
  }

  private render(): void {
    const { view } = this;
    this.form = null;
    const step = view.next_step;
    this.host.replaceChildren(this.steps(), this.question());
    if (view.revealed) this.host.append(this.opinions());
    if (view.verdicts.length > 0) this.host.append(this.ownVerdicts());
    if (step === "reveal") this.host.append(this.revealStep());
    if (step === "blind" || step === "final") this.host.append(this.verdictForm(step));
    if (step === "none" || step === "reveal") this.showSketch(EMPTY);
    if (step === "none") this.host.append(this.ending());
  }

  private steps(): HTMLElement {
    const at = STEPS.findIndex(([name]) => name === this.view.next_step);
    const current = at === -1 ? STEPS.length : at;
    return el(
      "ol",
      { class: "steps", "aria-label": "Steps of this case" },
      ...STEPS.map(([, title], i) =>
        el("li", { class: i < current ? "done" : "", "aria-current": i === current ? "step" : undefined }, title),
      ),
    );
  }

  private question(): HTMLElement {
    const { view } = this;
    const label = this.underReview;
    const place = view.place_mm.map((value) => signed(value, 1)).join(", ");
    const facts = el("dl", { class: "facts" });
    const fact = (name: string, ...value: (Node | string)[]) => facts.append(el("dt", {}, name), el("dd", {}, ...value));
    fact("Label", label ? describe(label) : "none at this place");
    fact(
      "Place",
      `image ${view.image_number ?? view.slice_index + 1} · LPS ${place} mm `,
      button("go", () => this.stage.toPlace(), { class: "link", title: "Centre the place (G)" }),
    );
    return el("section", { class: "question" }, el("h2", {}, view.flag.label), el("p", { class: "reason" }, view.blind_reason), facts);
  }

  private opinions(): HTMLElement {
    const revealed = this.view.revealed;
    if (!revealed) return el("section");
    const section = el(
      "section",
      { class: "opinions" },
      el("h3", {}, "Why this was flagged"),
      el("p", {}, revealed.reason),
      el(
        "p",
        { class: "score" },
        el("strong", {}, percent(revealed.score)),
        " likely that the label is wrong ",
        el("small", {}, `(${provenance(revealed)})`),
      ),
      ...revealed.worth.marks.map((mark) => el("p", { class: "problem" }, `${mark.charAt(0).toUpperCase()}${mark.slice(1)}`)),
      ...(revealed.silence ? [el("p", { class: "hint" }, revealed.silence)] : []),
      el("h3", {}, "Other readers"),
      ...this.others(revealed.others),
    );
    if (revealed.proposals.length > 0) {
      section.append(el("h3", {}, "Proposed corrections"), ...revealed.proposals.map((proposal) => this.proposal(proposal)));
    }
    return section;
  }

  /** What each other reader marked at this place; having marked nothing here is an opinion too. */
  private others(labels: readonly LabelSummary[]): HTMLElement[] {
    const overlays = this.stage.viewer.overlays;
    const near = new Set(overlays.filter((overlay) => overlay.near).map((overlay) => overlay.id));
    const readers = [...new Set(labels.map((label) => label.title))];
    if (readers.length === 0) return [el("p", { class: "hint" }, "No other reader marked anything on this series.")];
    const lines = readers.map((reader) => {
      const here = labels.filter((label) => label.title === reader && near.has(label.revision_id));
      return el("li", {}, `${reader}: ${here.length > 0 ? here.map(describe).join("; ") : "nothing at this place"}`);
    });
    const far = labels.filter((label) => !near.has(label.revision_id)).length;
    const rest = far > 0 && el("p", { class: "hint" }, `${far} of their labels lie elsewhere on this series; the legend lists them.`);
    return [el("ul", { class: "others" }, ...lines), ...(rest ? [rest] : [])];
  }

  private proposal(proposal: ProposalSummary): HTMLElement {
    const overlay = this.stage.viewer.overlays.find((one) => one.id === proposal.id);
    const show = () => {
      if (!overlay) return;
      overlay.visible = true;
      this.stage.viewer.goTo(overlay.middle);
      this.stage.refreshLegend();
    };
    const row = el("div", { class: "proposal" }, el("span", {}, proposal.text));
    if (overlay) row.append(button("Show", show, { class: "button small", "aria-label": `Show: ${proposal.text}` }));
    if (this.view.next_step === "final") {
      const accept = () => {
        show();
        this.form?.accept(proposal, this.blind?.rationale ?? "");
      };
      row.append(button("Accept", accept, { class: "button small primary", "aria-label": `Accept: ${proposal.text}` }));
    }
    return row;
  }

  private get blind(): VerdictRecord | undefined {
    return this.view.verdicts.find((verdict) => verdict.phase === "blind");
  }

  private ownVerdicts(): HTMLElement {
    return el("section", { class: "verdicts" }, el("h3", {}, "Your verdicts"), ...this.view.verdicts.map((one) => verdictCard(one, false)));
  }

  private revealStep(): HTMLElement {
    const problem = el("p", { class: "problem", role: "alert" });
    const control = button("Show the opinions", () => void this.reveal(problem, control), { class: "button primary" });
    return el(
      "section",
      {},
      el("p", {}, "Your own read is stored and cannot be changed. Next you see what the model and the other readers say."),
      problem,
      el("div", { class: "actions" }, control),
    );
  }

  private async reveal(problem: HTMLElement, control: HTMLButtonElement): Promise<void> {
    control.disabled = true;
    problem.textContent = "";
    try {
      await this.surroundings.update(await this.api.reveal(this.view.id));
    } catch (error) {
      problem.textContent = wordsOf(error);
      control.disabled = false;
    }
  }

  private verdictForm(phase: "blind" | "final"): HTMLElement {
    const situation: Situation = { phase, hasLabel: this.underReview !== undefined };
    const { blind } = this;
    const start: Answer = loadDraft(this.view.id, phase) ?? (phase === "final" && blind ? fromBlind(blind) : { ...EMPTY });
    const { sketch } = this.stage;
    const form = new VerdictForm(start, {
      situation,
      proposals: this.view.revealed?.proposals ?? [],
      sketch,
      wantSketch: () => this.stage.choose("sketch"),
      onChange: (answer) => {
        saveDraft(this.view.id, phase, answer);
        this.showSketch(answer);
      },
      buttonText: (answer) => {
        if (phase === "blind") return "Store and reveal";
        if (answer.decision === "") return "Give the final verdict";
        return `${keeps(answer, blind) ? "Keep my verdict" : "Final verdict"}: ${titleOf(answer.decision)}`;
      },
      onSubmit: () => void this.submit(form, situation),
    });
    if (start.sketch && sketch.current === null) sketch.put(start.sketch);
    this.form = form;
    this.showSketch(start);
    const heading = phase === "blind" ? "What do you see?" : "Keep your verdict or change it";
    return el("section", {}, el("h3", {}, heading), form.element);
  }

  /** The sketch is drawn while it is the answer, and not beside a proposal that took its place. */
  private showSketch(answer: Answer): void {
    const wanted = answer.decision === "label-wrong" && answer.remedy === "sketch";
    this.stage.viewer.sketch = wanted ? this.stage.sketch.current : null;
    this.stage.viewer.changed();
  }

  private async submit(form: VerdictForm, situation: Situation): Promise<void> {
    const request = requestOf(form.answer, situation);
    if (typeof request === "string") {
      form.problem(request);
      return;
    }
    form.busy(true);
    let view: CaseView;
    try {
      view = await this.api.verdict(this.view.id, request);
    } catch (error) {
      form.busy(false);
      form.problem(wordsOf(error));
      if (error instanceof ApiError && error.status === 409) this.offerReload(form);
      return;
    }
    dropDraft(this.view.id, situation.phase);
    if (situation.phase === "blind") {
      // Where the reveal fails, the case as it stands offers it as a step of its own.
      view = await this.api.reveal(this.view.id).catch(() => view);
    }
    await this.surroundings.update(view).catch((error: unknown) => form.problem(wordsOf(error)));
  }

  private offerReload(form: VerdictForm): void {
    const again = button("Read the case again", () => void this.surroundings.reload(), { class: "button small" });
    form.element.querySelector(".problem")?.append(" ", again);
  }

  private ending(): HTMLElement {
    const { view } = this;
    const text =
      view.outcome !== ""
        ? `The readers agreed: ${titleOf(view.outcome as Decision)}.`
        : view.state === "released"
          ? "This flag was settled without your verdict."
          : view.other_verdicts.length > 0
            ? "The readers disagree. The flag stays open, and the QA lead sees the split."
            : "Your final verdict is stored. The other readers have not all decided yet.";
    const next = el("a", { class: "button primary", href: this.surroundings.nextUrl, id: "next-case" }, this.surroundings.nextText);
    const section = el("section", { class: "ending", role: "status" }, el("p", {}, el("strong", {}, text)));
    if (view.other_verdicts.length > 0) {
      section.append(el("h3", {}, "The others' verdicts"), ...view.other_verdicts.map((one) => verdictCard(one, true)));
    }
    section.append(el("div", { class: "actions" }, next));
    window.setTimeout(() => next.focus(), 0);
    return section;
  }
}

/** Which check says so, with which model, from what score on, and how far the score can be trusted. */
function provenance(revealed: Revealed): string {
  const basis = revealed.evidence["score_basis"];
  return [
    `${checkInWords(revealed.check)} ${revealed.check_version}`,
    ...modelBehind(revealed),
    ...(typeof basis === "string" ? [`score: ${basis}`] : []),
  ].join("; ");
}

/** A project's rule keeps the name that the project gave it. */
function checkInWords(check: string): string {
  return check.startsWith("rule:") ? `this project's rule “${check.slice(5)}”` : `check “${check.replaceAll("_", " ")}”`;
}

/** A rule over the whole dataset may read what a model gave without any operating point: then its marks are there. */
function modelBehind(revealed: Revealed): string[] {
  if (revealed.threshold !== null) return [`model ${revealed.model}`, `the model's own operating point is ${percent(revealed.threshold)}`];
  return revealed.worth.marks.length > 0 ? [`model ${revealed.model}`] : ["no model's opinion is part of this"];
}

function describe(label: LabelSummary): string {
  return label.diameter_mm === null ? label.category : `${label.category}, ${label.diameter_mm.toFixed(1)} mm`;
}

function verdictCard(verdict: VerdictRecord, named: boolean): HTMLElement {
  const phase = verdict.phase === "blind" ? "before the reveal" : "after the reveal";
  const who = named ? [el("span", {}, verdict.reader), verdict.simulated && el("span", { class: "badge simulated" }, "simulated")] : [];
  return el(
    "div",
    { class: "verdict" },
    el("p", {}, ...who, el("strong", {}, titleOf(verdict.decision)), el("span", { class: "hint" }, ` ${phase}`)),
    verdict.correction && el("p", {}, `Change: ${correctionText(verdict.correction)}`),
    el("p", { class: "rationale" }, verdict.rationale),
  );
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : "Something went wrong; nothing was stored. Try again.";
}
