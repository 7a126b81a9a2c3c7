"""A sandbox: bounds hold, faults are named, and the next call finds a child that works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from imaging.errors import GeometryError, UnreadableFile
from imaging.sandbox import Sandbox, SandboxLimits
from tests.imaging.sandbox import faults

LIMITS = SandboxLimits(seconds=20.0, memory_bytes=256 << 20)
SHORT = SandboxLimits(seconds=0.5, memory_bytes=256 << 20)
PATIENCE = 60.0
"""Far beyond what anything here takes, and far below what a call takes that is not stopped, on a busy machine too."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(LIMITS) as made:
        yield made


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # Not reaped by us: a zombie has gone too.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def _wait_until_gone(pid: int) -> bool:
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        if _gone(pid):
            return True
        time.sleep(0.05)
    return False


def test_a_call_gives_what_the_function_returns_and_keeps_its_child(sandbox: Sandbox) -> None:
    assert sandbox.call(faults.double, 21) == 42
    assert sandbox.call(faults.own_pid) == sandbox.call(faults.own_pid) == sandbox.pids[0] != os.getpid()


def test_arrays_and_the_packages_own_classes_come_back_whole(sandbox: Sandbox) -> None:
    result = sandbox.call(faults.reading, "chest", 3_000_000)
    assert isinstance(result, faults.Reading)
    np.testing.assert_array_equal(result.values, np.arange(3_000_000, dtype=np.int16))


def test_large_arguments_reach_the_child(sandbox: Sandbox) -> None:
    assert sandbox.call(faults.total_of, b"\x01" * (64 << 20)) == (64 << 20) // 4096


def test_a_child_knows_nothing_of_the_sites_secrets(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QASERVICE_SECRET_KEY", "hush")
    sandbox.close()
    assert "QASERVICE_SECRET_KEY" not in sandbox.call(faults.environment)


@pytest.mark.parametrize("function", [faults.allocate, faults.allocate_array])
def test_a_parser_that_takes_too_much_memory_is_stopped_and_named(sandbox: Sandbox, function: object) -> None:
    with pytest.raises(UnreadableFile) as refused:
        sandbox.call(function, 1 << 30)  # type: ignore[arg-type]  # parametrised over two functions of one shape
    assert refused.value.code == "parser-out-of-memory"
    assert sandbox.call(faults.double, 1) == 2


def test_the_memory_bound_counts_what_a_call_takes_not_what_the_child_holds(sandbox: Sandbox) -> None:
    for _ in range(5):
        assert sandbox.call(faults.allocate, 200 << 20) == 200 << 20


@pytest.mark.parametrize("function", [faults.loop_for_ever, faults.sleep_for_ever, faults.loop_inside_a_codec])
def test_a_parser_that_does_not_end_is_stopped_in_time(function: object) -> None:
    with Sandbox(SHORT) as sandbox:
        for _ in range(2):
            sandbox.call(faults.double, 1)
            began = time.monotonic()
            with pytest.raises(UnreadableFile) as refused:
                sandbox.call(function)  # type: ignore[arg-type]  # parametrised over functions of one shape
            assert refused.value.code == "parser-took-too-long"
            assert time.monotonic() - began < PATIENCE


def test_a_first_call_that_does_not_end_is_stopped_too() -> None:
    with Sandbox(SHORT) as sandbox, pytest.raises(UnreadableFile) as refused:
        sandbox.call(faults.loop_inside_a_codec)
    assert refused.value.code == "parser-took-too-long"


@pytest.mark.parametrize(("function", "how"), [(faults.segfault, "SIGSEGV"), (faults.leave, "exit status 3")])
def test_a_parser_that_crashes_is_named_and_replaced(sandbox: Sandbox, function: object, how: str) -> None:
    before = sandbox.call(faults.own_pid)
    with pytest.raises(UnreadableFile, match=how) as refused:
        sandbox.call(function)  # type: ignore[arg-type]  # parametrised over functions of one shape
    assert refused.value.code == "parser-died"
    assert sandbox.call(faults.own_pid) != before


def test_a_child_that_was_killed_between_calls_is_replaced_unnoticed(sandbox: Sandbox) -> None:
    pid = sandbox.call(faults.own_pid)
    os.kill(pid, signal.SIGKILL)
    assert _wait_until_gone(pid)
    assert sandbox.call(faults.double, 4) == 8


def test_a_child_that_gave_up_waiting_as_its_call_came_is_replaced_unnoticed(sandbox: Sandbox) -> None:
    pid = sandbox.call(faults.own_pid)
    assert sandbox.call(faults.leave_as_if_idle_unless, pid) == "served by another child"


def test_an_interrupted_call_does_not_answer_the_next_one(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.call(faults.double, 1)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("imaging.sandbox.wire.unpack_answer", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sandbox.call(faults.double, 2)
    assert sandbox.call(faults.double, 3) == 6


def test_what_a_parser_prints_reaches_neither_the_answer_nor_the_terminal(
    sandbox: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    sandbox.close()
    assert sandbox.call(faults.print_rubbish, 5) == 5
    assert sandbox.call(faults.double, 5) == 10
    assert capfd.readouterr() == ("", "")


def test_an_error_of_the_analysis_core_comes_through_unchanged(sandbox: Sandbox) -> None:
    pid = sandbox.call(faults.own_pid)
    with pytest.raises(GeometryError) as refused:
        sandbox.call(faults.refuse_geometry)
    error = refused.value
    assert (error.code, error.message, error.subjects) == (
        "missing-slices",
        "Two slices are missing.",
        ("1.2.3", "1.2.4"),
    )
    assert sandbox.call(faults.own_pid) == pid


def test_any_other_error_is_a_failed_parser_and_its_text_is_not_repeated(sandbox: Sandbox) -> None:
    with pytest.raises(UnreadableFile) as refused:
        sandbox.call(faults.fail_quoting_a_name)
    assert refused.value.code == "parser-died"
    assert "IndexError in faults.py" in refused.value.message
    assert "DOE" not in str(refused.value)


def test_a_fork_that_comes_back_says_nothing_and_is_ended(sandbox: Sandbox) -> None:
    assert [sandbox.call(faults.fork_and_both_return, number) for number in range(5)] == list(range(5))
    assert sandbox.call(faults.double, 3) == 6


def test_a_process_left_behind_by_a_parser_is_ended_with_its_child(sandbox: Sandbox) -> None:
    left = sandbox.call(faults.fork_and_leave_a_child)
    assert _wait_until_gone(left)


@pytest.mark.parametrize("function", [faults.trap, faults.trap_in_own_package])
def test_an_answer_cannot_call_functions_in_the_parent(sandbox: Sandbox, function: object, tmp_path: Path) -> None:
    marker = tmp_path / "called"
    with pytest.raises(UnreadableFile) as refused:
        sandbox.call(function, str(marker))  # type: ignore[arg-type]  # parametrised over functions of one shape
    assert refused.value.code == "parser-died"
    assert not marker.exists()


def test_a_result_that_cannot_be_sent_is_a_failed_parser(sandbox: Sandbox) -> None:
    with pytest.raises(UnreadableFile, match="while the result was sent"):
        sandbox.call(faults.lambda_result)
    assert sandbox.call(faults.double, 3) == 6


def test_a_function_without_a_name_is_refused_before_anything_runs(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="cannot be found by name"):
        sandbox.call(lambda: 1)


def test_map_answers_every_item_in_order_whatever_happens_to_others() -> None:
    limits = SandboxLimits(seconds=5.0, memory_bytes=256 << 20)
    with Sandbox(limits, children=2) as sandbox:
        answers = list(sandbox.map(faults.refuse_or_double, range(40)))
    failed = {number: answer.error.code for number, answer in enumerate(answers) if answer.error is not None}
    assert failed == {3: "truncated", 5: "parser-died", 7: "parser-took-too-long"}
    assert [answer.result() for answer in answers if answer.error is None] == [
        2 * number for number in range(40) if number not in failed
    ]


def test_map_uses_all_children_and_takes_items_only_as_it_needs_them() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    with Sandbox(LIMITS, children=2) as sandbox:
        results = sandbox.map(faults.double, items())
        assert next(results).result() == 0
        assert len(taken) < 20
        assert len(sandbox.pids) == 2
        results.close()  # type: ignore[attr-defined]  # a generator
        # What was running when the loop was left does not answer the next call.
        assert [sandbox.call(faults.double, number) for number in (100, 200)] == [200, 400]


def test_children_end_with_the_block() -> None:
    with Sandbox(LIMITS, children=2) as sandbox:
        sandbox.start()
        pids = sandbox.pids
        assert len(pids) == 2
    assert all(_gone(pid) for pid in pids)


def test_a_child_in_the_middle_of_a_call_ends_when_its_parent_is_killed() -> None:
    script = (
        "import threading, sys\n"
        "from imaging.sandbox import Sandbox, SandboxLimits\n"
        "from tests.imaging.sandbox import faults\n"
        "sandbox = Sandbox(SandboxLimits(seconds=300.0, memory_bytes=1 << 28))\n"
        "print(sandbox.call(faults.own_pid), flush=True)\n"
        "sandbox.call(faults.sleep_for_ever)\n"
    )
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=root, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.2)
        parent.kill()
    assert _wait_until_gone(child)


@pytest.mark.parametrize(("seconds", "memory"), [(0.0, 1), (float("nan"), 1), (1.0, 0)])
def test_limits_that_limit_nothing_are_refused(seconds: float, memory: int) -> None:
    with pytest.raises(ValueError, match="must be greater than zero"):
        SandboxLimits(seconds=seconds, memory_bytes=memory)
