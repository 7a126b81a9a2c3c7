"""The process that runs a bundle, started by ``running`` alone with its private folder and a pipe for progress.

It puts its walls up first, loads libraries behind them, and only then looks at the bundle. Its answer is one JSON
file and plain arrays in its work folder. Standard streams go nowhere.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from imaging.errors import BundleError, ImagingError
from imaging.inference.foreign import layout
from imaging.inference.foreign.confinement import bound_memory, bound_processor_time, confine

_SECONDS_BETWEEN_LINES = 0.2
_LONGEST_TEXT = 240
_GRACE_SECONDS = 60


def main(folder: Path, progress: int) -> int:
    """Do what the request in ``folder`` asks, and return the exit status: 0 with an answer, also for a refusal.

    ``progress``: the descriptor to which lines of progress go.
    """
    request = json.loads((folder / layout.REQUEST).read_text(encoding="utf-8"))
    work = folder / layout.WORK
    # Should nobody be left to end it, the kernel does.
    signal.alarm(int(request["seconds"]) + _GRACE_SECONDS)
    try:
        walls = confine(
            readable=[folder / layout.BUNDLE, folder / layout.INPUT],
            writable=[work],
            file_bytes=int(request["file_bytes"]),
        )
    except ImagingError as error:
        # Before the walls this process may still write anywhere; it writes its answer and ends.
        _answer(work, {"refused": [error.code, error.message]})
        return 0
    answer: dict[str, Any] = {"confinement": asdict(walls)}
    try:
        answer |= _behind_walls(folder, request, progress)
    except ImagingError as error:
        answer["refused"] = [error.code, error.message]
    # Other people's code raises anything, among it what ends a process.
    except BaseException as error:
        answer["refused"] = _refusal(error)
    _answer(work, answer)
    return 0


def _behind_walls(folder: Path, request: Mapping[str, Any], progress: int) -> dict[str, Any]:
    _load_libraries(int(request["threads"]))
    _refuse_pickles()
    bound_memory(memory_bytes=int(request["memory_bytes"]))
    bound_processor_time(seconds=int(request["seconds"] * request["threads"]) + 10)
    bundle = folder / layout.BUNDLE
    if request["action"] == layout.CHECK_WEIGHTS:
        return {"weights": _check_weights(bundle, request["weights"])}
    # The bundle's scripts are imported by name, and relative paths in its configuration start here.
    os.chdir(bundle)
    sys.path.insert(0, str(bundle))
    return _run(folder, request, progress)


def _run(folder: Path, request: Mapping[str, Any], progress: int) -> dict[str, Any]:
    import numpy as np

    from imaging.inference.foreign.mapping import mapping_from_json
    from imaging.inference.foreign.workflow import run_bundle

    output = run_bundle(
        bundle=folder / layout.BUNDLE,
        configuration=str(request["configuration"]),
        image=folder / layout.INPUT / layout.IMAGE,
        work=folder / layout.WORK,
        mapping=mapping_from_json(request["mapping"]),
        report=_Progress(progress),
    )
    for name, array in ((layout.LABELS, output.labels), (layout.CERTAINTY, output.certainty)):
        if array is not None:
            np.save(folder / layout.WORK / name, array, allow_pickle=False)
    return {"output": output.content}


def _check_weights(bundle: Path, names: list[str]) -> dict[str, str]:
    """Return for each file of weights "" if it holds tensors and nothing else, or why it is not taken."""
    import torch

    found = {}
    for name in names:
        try:
            content = torch.load(bundle / name, map_location="cpu", weights_only=True)
            found[name] = "" if isinstance(content, dict) and content else "it holds no weights by name"
        except MemoryError:
            found[name] = "it takes more memory than it may"
        except Exception as error:
            found[name] = f"it does not load as tensors alone ({type(error).__name__})"
    return found


def _load_libraries(threads: int) -> None:
    from imaging.inference.foreign import torchvision_stand_in

    torchvision_stand_in.provide()

    import nibabel  # noqa: F401 - reads the image; loaded now, while memory is not yet bounded
    import torch

    torch.set_num_threads(threads)
    torch.backends.cudnn.enabled = False
    loads = torch.load

    def tensors_only(*arguments: Any, **keywords: Any) -> Any:
        return loads(*arguments, **{**keywords, "weights_only": True})

    torch.load = tensors_only


def _refuse_pickles() -> None:
    """Let no pickle name a class or function any more, in this process and for good: audit hooks cannot be removed."""

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "pickle.find_class":
            raise BundleError("bundle-unpickles", f"It unpickled {arguments[0]}.{arguments[1]}, which is code.")

    sys.addaudithook(watch)


class _Progress:
    """Writes lines of progress; a reader that is gone or slow holds nothing up."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._told = float("-inf")
        self._done = -1
        os.set_blocking(descriptor, False)

    def __call__(self, done: int, total: int, note: str) -> None:
        moment = time.monotonic()
        if done == self._done and moment - self._told < _SECONDS_BETWEEN_LINES:
            return
        self._told, self._done = moment, done
        try:
            os.write(self._descriptor, json.dumps([done, total, note]).encode() + b"\n")
        except OSError:
            return


def _refusal(error: BaseException) -> list[str]:
    """Return code and words for what went wrong first. The image that was handed over names nobody, so text may be
    told.
    """
    chain = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(before)
    if any(isinstance(one, MemoryError) or "allocate memory" in str(one) for one in chain):
        return ["bundle-out-of-memory", "It took more memory than it may."]
    first = chain[-1]
    if isinstance(first, BundleError):
        return [first.code, first.message]
    trace = first.__traceback__
    place = ""
    while trace is not None:
        place = f" in {Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno}"
        trace = trace.tb_next
    text = " ".join(str(first).split())[:_LONGEST_TEXT]
    return ["bundle-failed", f"It failed with {type(first).__name__}{place}{': ' + text if text else ''}."]


def _answer(work: Path, answer: Mapping[str, Any]) -> None:
    (work / layout.ANSWER).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
