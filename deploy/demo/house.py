"""Where the demo lives: its folder, its environment, and the lock that keeps two demos apart."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "var" / "demo"


class DemoError(Exception):
    """The demo cannot go on; the message says what to do about it."""


@dataclass(frozen=True)
class Demo:
    """One run of the demo. ``home`` holds what it writes, ``data`` what the service keeps."""

    home: Path
    port: int

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def settle_in(demo: Demo) -> None:
    """Set the environment of this process and its children: the embedded service, on the demo's own data."""
    for name in [name for name in os.environ if name.startswith("QASERVICE_")]:
        # A site's settings must not leak in, or the demo would work on the site's data.
        del os.environ[name]
    os.environ["QASERVICE_MODE"] = "embedded"
    os.environ["QASERVICE_DATA_DIR"] = str(demo.data)
    os.environ["DJANGO_SETTINGS_MODULE"] = "qaservice.settings"
    if not sys.stderr.isatty():
        # A log is no terminal: a line every ten seconds says enough.
        os.environ.setdefault("TQDM_MININTERVAL", "10")
    # Two workers share the cores: more threads than that only get in each other's way.
    os.environ["QASERVICE_INFERENCE_THREADS"] = str(max(1, (os.cpu_count() or 2) // 2))


@contextmanager
def fresh_home(demo: Demo) -> Iterator[None]:
    """Empty the demo's folder and hold it until the end. Nothing of an earlier demo is kept."""
    demo.home.parent.mkdir(parents=True, exist_ok=True)
    lock = (demo.home.parent / "demo.lock").open("a+")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise DemoError(
                f"another demo is running here (process {lock.read().strip()}). Remedy: end it with Ctrl-C first."
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        shutil.rmtree(demo.home, ignore_errors=True)
        demo.logs.mkdir(parents=True)
        demo.data.mkdir()
        yield
