"""A REST client of a few lines, on the standard library: what an integrator would write against /api/v1/."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class Refused(Exception):
    """The service answered with a problem. ``status`` is the HTTP status, ``code`` the stable name of the problem."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{message} (HTTP {status}, {code})")
        self.status = status
        self.code = code


class Client:
    """Speaks to one service as one account."""

    def __init__(self, *, address: str, token: str) -> None:
        self._base = f"{address}/api/v1/"
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}

    def get(self, path: str) -> Any:
        """Return the JSON at ``path``."""
        return self._json("GET", path, None)

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        """Send ``body`` to ``path`` and return the answer."""
        return self._json("POST", path, body)

    def every(self, path: str) -> Iterator[dict[str, Any]]:
        """Yield the items of a list, page after page."""
        url: str | None = self._base + path
        while url:
            page = json.loads(self._bytes("GET", url, None))
            if isinstance(page, list):
                yield from page
                return
            yield from page["results"]
            url = page["next"]

    def download(self, path: str, to: Path) -> None:
        """Write the bytes at ``path`` to a file."""
        to.write_bytes(self._bytes("GET", self._base + path, None))

    def _json(self, method: str, path: str, body: Mapping[str, object] | None) -> Any:
        answer = self._bytes(method, self._base + path, body)
        return json.loads(answer) if answer else None

    def _bytes(self, method: str, url: str, body: Mapping[str, object] | None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        headers = self._headers if data is None else {**self._headers, "Content-Type": "application/json"}
        request = urllib.request.Request(url, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            try:
                problem = json.loads(text)
            except ValueError:
                problem = {}
            message = problem.get("detail") or problem.get("title") or text[:300]
            raise Refused(error.code, str(problem.get("code", "unknown")), str(message)) from error
