/** The REST API by fetch: the session's cookie, the CSRF token, and errors in words that a reader can act on. */

import type { CaseView, OverlayRecord, SeriesView, VerdictRequest } from "./types.ts";

export class ApiError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

interface Problem {
  code?: unknown;
  detail?: unknown;
  message?: unknown;
  title?: unknown;
  [field: string]: unknown;
}

/** What went wrong, from a problem document or from the bare status. */
export function explain(status: number, problem: Problem | null): { code: string; message: string } {
  const code = typeof problem?.code === "string" ? problem.code : `http-${status}`;
  const said = [problem?.detail, problem?.message, problem?.title].find((text) => typeof text === "string" && text !== "");
  const lead =
    status === 401 || (status === 403 && /credential|csrf|log/i.test(String(said ?? "")))
      ? "You are no longer logged in (the session ends after a while without activity). Log in again in another tab, then repeat this; nothing you typed is lost."
      : status === 409
        ? "The case has changed since you opened it."
        : status === 413
          ? "That is larger than this server accepts."
          : status >= 500
            ? "The server could not do this just now. Nothing was changed; try again."
            : "";
  const fields = problem === null || said !== undefined ? "" : fieldErrors(problem);
  return { code, message: [lead, String(said ?? fields)].filter(Boolean).join(" ") || `The server answered ${status}.` };
}

function fieldErrors(problem: Problem): string {
  return Object.entries(problem)
    .filter(([, value]) => Array.isArray(value) || typeof value === "string")
    .map(([field, value]) => `${field.replaceAll("_", " ")}: ${Array.isArray(value) ? value.join(" ") : String(value)}`)
    .join(" ");
}

function cookie(name: string): string {
  const found = document.cookie.split("; ").find((part) => part.startsWith(`${name}=`));
  return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
}

export class Api {
  constructor(private readonly root: string) {}

  series(id: string): Promise<SeriesView> {
    return this.json("GET", `series/${id}/`) as Promise<SeriesView>;
  }

  async slice(id: string, index: number, voxels: number): Promise<Int16Array> {
    const response = await this.send("GET", `series/${id}/slices/${index}/`);
    const bytes = await response.arrayBuffer();
    if (bytes.byteLength !== voxels * 2) {
      throw new ApiError(response.status, "wrong-size", `slice ${index + 1} came with ${bytes.byteLength} bytes instead of ${voxels * 2}`);
    }
    return littleEndian(bytes);
  }

  case(assignment: string): Promise<CaseView> {
    return this.json("GET", `assignments/${assignment}/`) as Promise<CaseView>;
  }

  overlays(assignment: string): Promise<OverlayRecord[]> {
    return this.json("GET", `assignments/${assignment}/overlays/`) as Promise<OverlayRecord[]>;
  }

  /** Store a verdict; gives the case as it then stands. */
  verdict(assignment: string, verdict: VerdictRequest): Promise<CaseView> {
    return this.json("POST", `assignments/${assignment}/verdicts/`, verdict) as Promise<CaseView>;
  }

  /** Have the opinions shown; gives the case with them. */
  reveal(assignment: string): Promise<CaseView> {
    return this.json("POST", `assignments/${assignment}/reveal/`, {}) as Promise<CaseView>;
  }

  async get(path: string): Promise<unknown> {
    return this.json("GET", path);
  }

  private async json(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await this.send(method, path, body);
    return response.status === 204 ? null : response.json();
  }

  private async send(method: string, path: string, body?: unknown): Promise<Response> {
    const headers: Record<string, string> = { Accept: "application/json, application/octet-stream, */*;q=0.1" };
    const request: RequestInit = { method, headers, credentials: "same-origin" };
    if (body !== undefined) {
      headers["Content-Type"] = "application/json";
      headers["X-CSRFToken"] = cookie("csrftoken");
      request.body = JSON.stringify(body);
    }
    let response: Response;
    try {
      response = await fetch(`${this.root}${path}`, request);
    } catch {
      throw new ApiError(0, "offline", "The server cannot be reached. Nothing you typed is lost; try again.");
    }
    if (!response.ok) {
      const problem = (await response.json().catch(() => null)) as Problem | null;
      const { code, message } = explain(response.status, problem);
      throw new ApiError(response.status, code, message);
    }
    return response;
  }
}

function littleEndian(bytes: ArrayBuffer): Int16Array {
  if (new Uint8Array(new Uint16Array([1]).buffer)[0] === 1) return new Int16Array(bytes);
  const view = new DataView(bytes);
  return Int16Array.from({ length: bytes.byteLength / 2 }, (_, i) => view.getInt16(i * 2, true));
}
