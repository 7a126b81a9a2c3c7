"""Sending files over HTTP on several connections at once, each kept open, as a sender of DICOM over the web does."""

from __future__ import annotations

import http.client
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

DICOM = "application/dicom"
BOUNDARY = "benchmark-boundary"
MULTIPART = f'multipart/related; type="{DICOM}"; boundary={BOUNDARY}'


def send_all(
    *, files: Sequence[Path], port: int, path: str, headers: Mapping[str, str], connections: int, together: int
) -> float:
    """POST all files on ``connections`` connections to this machine and return the seconds it took.

    One file a request as it is where ``together`` is 1, else so many as ``multipart/related``. Raises RuntimeError with
    the first answer that is not 200.
    """
    waiting: queue.SimpleQueue[Sequence[Path]] = queue.SimpleQueue()
    for start in range(0, len(files), together):
        waiting.put(files[start : start + together])
    faults: list[str] = []

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        try:
            while not faults:
                try:
                    batch = waiting.get_nowait()
                except queue.Empty:
                    return
                kind = DICOM if together == 1 else MULTIPART
                status, text = _post(connection, path, batch, {"Content-Type": kind, **headers})
                if status != 200:
                    faults.append(f"{status}: {text[:300]!r}")
        # Whatever ends a thread ends the measurement; a half of it would be no figure.
        except Exception as error:
            faults.append(repr(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(connections)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    if faults:
        raise RuntimeError(faults[0])
    return seconds


def _post(
    connection: http.client.HTTPConnection, path: str, batch: Sequence[Path], headers: Mapping[str, str]
) -> tuple[int, bytes]:
    try:
        return _sent(connection, path, batch, headers)
    except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
        # A server may close a connection that was idle for a moment; both servers take the same instance twice.
        connection.close()
        return _sent(connection, path, batch, headers)


def _sent(
    connection: http.client.HTTPConnection, path: str, batch: Sequence[Path], headers: Mapping[str, str]
) -> tuple[int, bytes]:
    if len(batch) == 1 and headers["Content-Type"] == DICOM:
        connection.request("POST", path, body=batch[0].read_bytes(), headers=dict(headers))
    else:
        head, end = f"--{BOUNDARY}\r\nContent-Type: {DICOM}\r\n\r\n".encode(), f"--{BOUNDARY}--\r\n".encode()
        size = sum(len(head) + file.stat().st_size + 2 for file in batch) + len(end)
        # Sent file by file: a sender has no need to hold a whole request.
        parts = chain((part for file in batch for part in (head, file.read_bytes(), b"\r\n")), [end])
        connection.request("POST", path, body=parts, headers={**headers, "Content-Length": str(size)})
    answer = connection.getresponse()
    return answer.status, answer.read()
