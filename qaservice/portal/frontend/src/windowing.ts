/** Hounsfield units to grey levels. */

export interface Window {
  level: number;
  width: number;
}

export interface Preset extends Window {
  name: string;
  key: string;
}

export const PRESETS: readonly Preset[] = [
  { name: "Lung", level: -600, width: 1500, key: "1" },
  { name: "Soft tissue", level: 40, width: 400, key: "2" },
  { name: "Bone", level: 480, width: 2500, key: "3" },
  { name: "Narrow lung", level: -700, width: 800, key: "4" },
];

/** Grey level (0 to 255) of one value by the linear function of DICOM PS3.3 C.11.2.1.2.1. */
export function grey(value: number, window: Window): number {
  const centre = window.level - 0.5;
  const width = Math.max(window.width, 2) - 1;
  return Math.round(Math.min(255, Math.max(0, ((value - centre) / width + 0.5) * 255)));
}

/** Fill ``target`` (RGBA) from Hounsfield units through ``window``; both are in the stored pixel order. */
export function paint(hounsfield: Int16Array, window: Window, target: Uint8ClampedArray): void {
  const table = new Uint8Array(65536);
  for (let value = -32768; value < 32768; value += 1) table[value + 32768] = grey(value, window);
  for (let i = 0, t = 0; i < hounsfield.length; i += 1, t += 4) {
    const level = table[(hounsfield[i] ?? 0) + 32768] ?? 0;
    target[t] = level;
    target[t + 1] = level;
    target[t + 2] = level;
    target[t + 3] = 255;
  }
}

export function dragged(start: Window, dx: number, dy: number): Window {
  return {
    level: Math.round(Math.min(4000, Math.max(-2000, start.level + dy * 2))),
    width: Math.round(Math.min(8000, Math.max(10, start.width + dx * 4))),
  };
}

export function nameOf(window: Window): string {
  return PRESETS.find((preset) => preset.level === window.level && preset.width === window.width)?.name ?? "Own window";
}
