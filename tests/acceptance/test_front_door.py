"""What a newcomer meets first: missing things are named in one line with their remedy, before anything is installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLAIN_TOOLS = ("sh", "sed", "awk", "df", "dirname", "cat", "date", "expr")


def preflight(*words: str, path: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "deploy/setup/preflight.sh", *words],
        env={"PATH": path or os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def tools(folder: Path, *, scripts: dict[str, str]) -> str:
    """Return a PATH that holds the plain tools of any system, and the scripts given."""
    folder.mkdir()
    for name in PLAIN_TOOLS:
        if found := shutil.which(name):
            (folder / name).symlink_to(found)
    for name, body in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    return str(folder)


def only_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert "Remedy: " in line
    return line


@pytest.mark.parametrize(
    ("scripts", "said"),
    [
        ({}, "Node 20 or newer"),
        ({"node": "echo v18.19.0"}, "found v18.19.0"),
        ({"node": "echo v22.1.0"}, "npm"),
    ],
)
def test_a_missing_or_old_node_is_named_with_its_remedy(tmp_path: Path, scripts: dict[str, str], said: str) -> None:
    assert said in only_line(preflight("node", path=tools(tmp_path / "bin", scripts=scripts)))


def test_a_machine_without_a_new_python_is_told_so(tmp_path: Path) -> None:
    old = tools(tmp_path / "bin", scripts={"python3": "exit 1"})
    assert "Python 3.11 or newer" in only_line(preflight("python", path=old))


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    header = "Filesystem 1024-blocks Used Available Capacity Mounted"
    full = tools(tmp_path / "bin", scripts={})
    (tmp_path / "bin" / "df").unlink()
    (tmp_path / "bin" / "df").write_text(f"#!/bin/sh\necho '{header}'\necho 'x 100 100 1000 99% /full'\n")
    (tmp_path / "bin" / "df").chmod(0o755)
    line = only_line(preflight("disk", path=full))
    assert "disk space" in line
    assert "/full" in line


def test_a_port_in_use_is_named_and_another_is_offered() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        line = only_line(preflight("port", PORT=str(port)))
        assert f"Port {port} is in use" in line
        assert f"PORT={port + 1}" in line
        assert preflight("port", PORT=str(port), SERVE="0").returncode == 0


def test_studies_that_are_not_there_are_named() -> None:
    assert "STUDIES=/no/such/place" in only_line(preflight("inputs", STUDIES="/no/such/place"))
    assert "ANNOTATIONS needs STUDIES" in only_line(preflight("inputs", ANNOTATIONS=str(ROOT)))
    assert preflight("inputs", STUDIES=str(ROOT)).returncode == 0


def test_make_alone_lists_what_can_be_done() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in ("demo", "test", "check", "bench"):
        assert f"make {target}" in done.stdout
