"""The peer: Orthanc as Debian packages it, with a private configuration, port and storage, stopped after use."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services import free_port

PROGRAM = "Orthanc"
ANSWER_SECONDS = 60.0


def version() -> str | None:
    """Return the version of the Orthanc that is installed here, None where there is none (apt-get install orthanc)."""
    program = shutil.which(PROGRAM) or shutil.which(PROGRAM, path="/usr/sbin:/usr/local/sbin")
    if program is None:
        return None
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[1]


@contextmanager
def running(around: Path) -> Iterator[int]:
    """Run an empty Orthanc whose storage lies below ``around``; give its HTTP port.

    All settings that concern speed or durability are Orthanc's own defaults, written out: every file is synced before
    it is answered (SyncStorageArea), nothing is compressed, and its index is SQLite.
    """
    program = shutil.which(PROGRAM) or shutil.which(PROGRAM, path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise FileNotFoundError(PROGRAM)
    folder = Path(tempfile.mkdtemp(prefix="orthanc-", dir=around))
    port = free_port()
    settings = {
        "Name": "benchmark",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "StorageCompression": False,
        "SyncStorageArea": True,
        "StoreMD5ForAttachments": True,
        "Plugins": [],
        "HttpPort": port,
        "HttpThreadsCount": 50,
        "KeepAlive": True,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": False,
        "SaveJobs": False,
    }
    configuration = folder / "orthanc.json"
    configuration.write_text(json.dumps(settings))
    process = subprocess.Popen([program, str(configuration)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(process, port)
        yield port
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(folder)


def instances_held(port: int) -> int:
    """Return how many instances Orthanc says that it holds."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/statistics", timeout=ANSWER_SECONDS) as answer:
        return int(json.load(answer)["CountInstances"])


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"Orthanc ended with status {process.returncode}")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/system", timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("Orthanc did not answer")
