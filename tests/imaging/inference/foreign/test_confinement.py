"""The walls themselves: which are needed, which are a second line, and what is said of them."""

import json
import platform
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from imaging.inference.foreign import landlock, seccomp

TRY = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from pathlib import Path
from imaging.errors import BundleError
from imaging.inference.foreign import confinement, landlock, seccomp
{before}
try:
    walls = confinement.confine(readable=[], writable=[Path(sys.argv[2])], file_bytes=1 << 20)
except BundleError as error:
    print(json.dumps({{"refused": error.code}}))
    sys.exit()
{after}
print(json.dumps({{"network": walls.network, "files": walls.files, "processes": walls.processes}}))
"""


def confined(tmp_path: Path, *, before: str = "", after: str = "") -> dict[str, object]:
    paths = [path for path in sys.path if path]
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-c", TRY.format(before=before, after=after), json.dumps(paths), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_the_means_are_named_and_the_network_is_shut_twice_where_the_kernel_allows_it(tmp_path: Path):
    walls = confined(tmp_path)
    assert walls["network"] == ["system-call filter: no sockets", "network namespace of its own"]
    assert "Landlock" in str(walls["files"]) and "no new processes" in str(walls["processes"])


def test_without_namespaces_as_in_many_containers_the_filter_shuts_the_network_alone(tmp_path: Path):
    walls = confined(tmp_path, before="confinement._own_namespaces = lambda: False")
    assert walls["network"] == ["system-call filter: no sockets"]


@pytest.mark.parametrize(
    "missing",
    [
        "landlock.version = lambda: 0",
        "seccomp.machine_is_known = lambda: False",
        "seccomp.install = lambda: None; confinement._own_namespaces = lambda: False",
    ],
)
def test_where_a_wall_cannot_be_had_nothing_runs(tmp_path: Path, missing: str):
    assert confined(tmp_path, before=missing) == {"refused": "confinement-missing"}


def test_a_file_larger_than_allowed_and_a_second_process_are_refused_by_the_kernel(tmp_path: Path):
    after = """
import os, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for attempt in (lambda: open(Path(sys.argv[2]) / "big", "wb", 0).write(bytes(2 << 20)), os.fork):
    try:
        done = attempt()
    except OSError:
        continue
    assert done == 1 << 20, done
"""
    assert confined(tmp_path, after=after)["processes"]
    assert (tmp_path / "big").stat().st_size <= 1 << 20


def test_an_unknown_machine_has_no_filter():
    assert seccomp.machine_is_known() == (platform.machine() in {"x86_64", "aarch64"})
    with pytest.raises(KeyError):
        seccomp.filter_program(machine="riscv64", own_pid=1)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_a_filter_is_whole_instructions_whose_jumps_stay_inside_it(machine: str):
    program = seccomp.filter_program(machine=machine, own_pid=4711)
    lines = list(struct.iter_unpack("=HBBI", program))
    assert len(program) == 8 * len(lines) and len(lines) < 4096
    for index, (_code, jump_true, jump_false, _value) in enumerate(lines[:-1]):
        assert index + 1 + max(jump_true, jump_false) < len(lines)
    assert lines[-1] == (6, 0, 0, 0x7FFF0000)


def test_the_kernel_here_has_landlock():
    assert landlock.version() >= 1
