"""The demo's own processes: started, watched, measured and, whatever happens, stopped."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType

from deploy.demo.house import ROOT, Demo, DemoError

WORKERS = 2
MOST_RESTARTS = 5
STOP_SECONDS = 15
GIVE_UP = signal.SIGUSR1


class Processes:
    """Worker and web processes of one demo. A worker that dies is started again: its job's row is the truth."""

    def __init__(self, demo: Demo) -> None:
        self.demo = demo
        self._running: dict[str, tuple[subprocess.Popen[bytes], list[str]]] = {}
        self._restarts = 0
        self.fault = ""
        self._ending = threading.Event()
        self._watch = threading.Thread(target=self._watch_until_the_end, name="watch", daemon=True)

    def __enter__(self) -> Processes:
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._watch.join(timeout=5)
        for process, _ in self._running.values():
            if process.poll() is None:
                process.terminate()
        give_up = time.monotonic() + STOP_SECONDS
        for process, _ in self._running.values():
            try:
                process.wait(timeout=max(0.1, give_up - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def start_workers(self) -> None:
        """Start the workers, each a process of its own."""
        for number in range(1, WORKERS + 1):
            self._start(f"worker-{number}", [sys.executable, "manage.py", "worker"])

    def start_portal(self) -> None:
        """Start the web server and wait until it answers. Raises DemoError with the end of its log if it does not."""
        name = "portal"
        bind = f"127.0.0.1:{self.demo.port}"
        command = ["gunicorn", "qaservice.wsgi:application", "--bind", bind, "--workers", "2", "--threads", "4"]
        self._start(
            name,
            [
                sys.executable,
                "-m",
                *command,
                "--timeout",
                "120",
                "--worker-tmp-dir",
                str(self.demo.home),
                "--no-control-socket",
            ],
        )
        process = self._running[name][0]
        give_up = time.monotonic() + 60
        while time.monotonic() < give_up:
            if process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(self.demo.address, timeout=5):
                    return
            except urllib.error.HTTPError as answer:
                if answer.code < 500:
                    return
                break
            except OSError:
                time.sleep(0.2)
        raise DemoError(f"the web server did not start:\n{self.log_end(name)}")

    def log_end(self, name: str) -> str:
        """Return the last lines of a process's log."""
        return "\n".join(self._log(name).read_text(errors="replace").splitlines()[-15:])

    def complaints(self) -> list[str]:
        """Return what the watch had to do, in words."""
        if not self._restarts:
            return []
        return [f"a worker ended unexpectedly and was started again {self._restarts} time(s): see {self.demo.logs}"]

    def _log(self, name: str) -> Path:
        return self.demo.logs / f"{name}.log"

    def _start(self, name: str, command: list[str]) -> None:
        with self._log(name).open("ab") as log:
            # A session of its own: Ctrl-C in the terminal reaches the demo alone, which then stops them in order.
            process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        self._running[name] = (process, command)

    def _watch_until_the_end(self) -> None:
        while not self._ending.wait(1):
            for name, (process, command) in list(self._running.items()):
                if not name.startswith("worker") or process.poll() is None:
                    continue
                if self._restarts == MOST_RESTARTS:
                    # Whoever waits for work would wait for ever: the main thread is told by signal.
                    self.fault = f"the workers cannot run:\n{self.log_end(name)}"
                    os.kill(os.getpid(), GIVE_UP)
                    return
                self._restarts += 1
                self._start(name, command)


class Memory:
    """Samples the resident memory of this process and everything under it; ``peak_mb`` is the largest sum seen.

    Shared pages are counted once where the system tells them apart (Linux: proportional set size).
    """

    def __init__(self) -> None:
        self.peak_mb = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory", daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join(timeout=5)
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # Where there is no /proc, the largest single process is the best that can be said. macOS counts bytes.
        unit = 1024 * 1024 if sys.platform == "darwin" else 1024
        self.peak_mb = max(self.peak_mb, own // unit)

    def _sample(self) -> None:
        while not self._ending.wait(0.5):
            self.peak_mb = max(self.peak_mb, sum(_proportional_kb(pid) for pid in _family(os.getpid())) // 1024)


def free_port() -> int:
    """Return a port on loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _family(pid: int) -> list[int]:
    members, waiting = [], [pid]
    while waiting:
        member = waiting.pop()
        members.append(member)
        try:
            for task in Path(f"/proc/{member}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return members


def _proportional_kb(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        return 0
    return 0
