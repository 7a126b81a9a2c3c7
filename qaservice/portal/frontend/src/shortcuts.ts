/** Keys: one table that acts and that the help page lists. Keys do nothing while something is being typed. */

import { button, el } from "./dom.ts";

export interface Shortcut {
  /** As people read it. */
  keys: string;
  what: string;
  matches: (event: KeyboardEvent) => boolean;
  run: () => void;
}

export function key(...names: string[]): (event: KeyboardEvent) => boolean {
  return (event) => !event.ctrlKey && !event.metaKey && !event.altKey && names.includes(event.key);
}

/** Shift and a digit, wherever the keyboard's layout puts its signs. */
export function shiftDigit(digit: number): (event: KeyboardEvent) => boolean {
  return (event) => event.shiftKey && !event.ctrlKey && !event.altKey && event.code === `Digit${digit}`;
}

export function control(name: string, shift: boolean): (event: KeyboardEvent) => boolean {
  return (event) => (event.ctrlKey || event.metaKey) && event.shiftKey === shift && event.key.toLowerCase() === name;
}

function typing(target: EventTarget | null): boolean {
  if (target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) return true;
  return target instanceof HTMLInputElement && !["checkbox", "radio", "button"].includes(target.type);
}

/** Arrow keys move between radio buttons and must not scroll images at the same time; on a slider likewise. */
function ownArrows(event: KeyboardEvent): boolean {
  return event.target instanceof HTMLInputElement && event.target.type === "radio" && event.key.startsWith("Arrow");
}

export function listen(shortcuts: readonly Shortcut[]): void {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
    if (typing(event.target) || ownArrows(event)) return;
    const found = shortcuts.find((shortcut) => shortcut.matches(event));
    if (!found) return;
    event.preventDefault();
    found.run();
  });
}

export function helpDialog(shortcuts: readonly Shortcut[], mouse: readonly (readonly [string, string])[]): HTMLDialogElement {
  const listed = shortcuts.filter((one) => one.keys !== "");
  const rows = [...mouse, ...listed.map((one) => [one.keys, one.what] as const)].map(([keys, what]) =>
    el("div", {}, el("dt", {}, el("kbd", {}, keys)), el("dd", {}, what)),
  );
  const dialog = el("dialog", { class: "help", "aria-labelledby": "help-title" });
  dialog.append(
    el("h2", { id: "help-title" }, "Keys and mouse"),
    el("dl", {}, ...rows),
    button("Close", () => dialog.close(), { class: "button primary" }),
  );
  document.body.append(dialog);
  return dialog;
}
