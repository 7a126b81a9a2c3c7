/** Small helps on the other pages: choosing a batch, watching jobs, keeping a form from being sent twice. */

import { Api } from "./api.ts";
import { el } from "./dom.ts";

/** Picked rows of the worklist make a batch; the button says how many. */
function batches(): void {
  const form = document.querySelector<HTMLFormElement>("form[data-batch]");
  if (!form) return;
  const boxes = [...form.querySelectorAll<HTMLInputElement>("input[name='case']")];
  const all = form.querySelector<HTMLInputElement>("input[data-all]");
  const submit = form.querySelector<HTMLButtonElement>("button[data-start]");
  const refresh = () => {
    const picked = boxes.filter((box) => box.checked).length;
    if (submit) {
      submit.disabled = picked === 0;
      submit.textContent = picked === 0 ? "Read the picked cases" : `Read ${picked} picked case${picked === 1 ? "" : "s"}`;
    }
    if (all) {
      all.checked = picked === boxes.length && picked > 0;
      all.indeterminate = picked > 0 && picked < boxes.length;
    }
  };
  all?.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    refresh();
  });
  for (const box of boxes) box.addEventListener("change", refresh);
  refresh();
}

interface Progress {
  queued: number;
  active: number;
  running: Record<string, unknown>[];
}

/** While jobs run, their bars are kept up to date; when the last one ends, the page is read anew. */
function watchJobs(): void {
  const host = document.querySelector<HTMLElement>("[data-progress]");
  if (!host || host.dataset["busy"] !== "true") return;
  const api = new Api(host.dataset["api"] ?? "/api/v1/");
  const look = async () => {
    const progress = (await api.get(host.dataset["progress"] ?? "")) as Progress;
    if (progress.queued + progress.active + progress.running.length === 0) {
      window.location.reload();
      return;
    }
    host.replaceChildren(
      ...progress.running.map((job) => {
        const done = Number(job["done"] ?? job["progress_done"] ?? 0);
        const total = Number(job["total"] ?? job["progress_total"] ?? 0);
        const note = String(job["note"] ?? job["progress_note"] ?? "");
        const bar = el("progress", total > 0 ? { value: done, max: total } : {});
        return el("li", {}, el("strong", {}, String(job["kind"] ?? "")), bar, el("span", {}, total > 0 ? `${done} of ${total} ${note}` : note));
      }),
      ...(progress.queued > 0 ? [el("li", {}, `${progress.queued} waiting`)] : []),
    );
    window.setTimeout(() => void look().catch(() => undefined), 2000);
  };
  window.setTimeout(() => void look().catch(() => undefined), 1500);
}

/** A form that was sent is not sent again by a second click. */
function sendOnce(): void {
  for (const form of document.querySelectorAll<HTMLFormElement>("form[data-once]")) {
    form.addEventListener("submit", (event) => {
      const pressed = event.submitter instanceof HTMLButtonElement ? event.submitter : null;
      const submit = pressed ?? form.querySelector<HTMLButtonElement>("button[type='submit']");
      if (!submit) return;
      submit.textContent = submit.dataset["busyText"] ?? "Working …";
      window.setTimeout(() => (submit.disabled = true), 0);
    });
  }
}

batches();
watchJobs();
sendOnce();
