"""Running a bundle on one CT in a confined process of its own: started, watched, ended, and its answer read."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imaging.errors import BundleError
from imaging.inference.bundle import bundle_digest
from imaging.inference.foreign import layout
from imaging.inference.foreign.adapters import ForeignOpinion, opinion_from_boxes, opinion_from_labels
from imaging.inference.foreign.archive import ArchiveLimits, place_files, take_bundle
from imaging.inference.foreign.exchange import ChildLimits, read_answer, read_array, write_image, write_request
from imaging.inference.foreign.mapping import OutputMapping, Task
from imaging.inference.predict import input_digest
from imaging.types import ModelIdentity, PointMm, Prediction, Volume

Progress = Callable[[int, int, str], None]

_SECONDS_BETWEEN_LOOKS = 0.25
_MOST_PROGRESS_BYTES = 64 * 1024
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from pathlib import Path; "
    "from imaging.inference.foreign.child import main; sys.exit(main(Path(sys.argv[2]), int(sys.argv[3])))"
)


@dataclass(frozen=True, slots=True)
class ForeignBundle:
    """A bundle that may be run: where its files lie (by their names in it), what pins them, how its output is read.

    ``identity.bundle_sha256`` is what was approved: files that give another digest are refused before anything runs.
    """

    files: Mapping[str, Path]
    identity: ModelIdentity
    configuration: str
    mapping: OutputMapping


@dataclass(frozen=True, slots=True, eq=False)
class ForeignResult:
    """What a bundle made of a CT. ``record``: confinement, what was overridden, and which weights, as JSON."""

    prediction: Prediction
    opinion: ForeignOpinion
    record: dict[str, Any]


def run_foreign(
    volume: Volume,
    bundle: ForeignBundle,
    *,
    places: Sequence[PointMm],
    progress: Progress,
    limits: ChildLimits,
    archive_limits: ArchiveLimits,
    scratch: Path,
) -> ForeignResult:
    """Return the bundle's opinion on ``volume``, computed in a confined process.

    ``places``: LPS mm, where an outline is wanted; bundles that draw none give none. ``progress`` is told often and
    may raise to end the run. ``scratch``: where the private folder of the run is made, and removed again. No validated
    sizes and no sensitivity are claimed: nobody measured them here. Raises BundleError: ``bundle-altered``,
    ``confinement-missing``, ``bundle-took-too-long``, ``bundle-out-of-memory``, ``bundle-wrote-too-much``,
    ``bundle-died``, ``bundle-failed``, ``bundle-unpickles`` or ``bundle-answer-refused``.
    """
    began = time.perf_counter()
    with _private_folder(scratch) as folder:
        _place_bundle(bundle, folder, archive_limits)
        write_image(volume=volume, path=folder / layout.INPUT / layout.IMAGE)
        write_request(
            folder=folder,
            action=layout.RUN,
            limits=limits,
            content={"configuration": bundle.configuration, "mapping": bundle.mapping.as_json()},
        )
        answer = _ask(folder, limits, progress)
        opinion = _opinion(answer, folder, volume, bundle.mapping, places)
    output = answer["output"]
    record = {
        "confinement": answer.get("confinement", {}),
        "overridden": output.get("overridden", {}),
        "weights": output.get("weights", []),
        "mapping": bundle.mapping.as_json(),
        "remarks": list(opinion.remarks),
        "structures": [{"name": one.name, "voxels": one.mask.count} for one in opinion.structures],
    }
    prediction = Prediction(
        model=bundle.identity,
        input_sha256=input_digest(volume),
        backend=_backend(answer),
        threshold=bundle.mapping.threshold,
        candidates=opinion.candidates,
        outlines=opinion.outlines,
        validated_diameters_mm=None,
        sensitivity_by_diameter=(),
        seconds=time.perf_counter() - began,
    )
    return ForeignResult(prediction, opinion, record)


def check_weights(
    *, source: Path, names: Sequence[str], limits: ChildLimits, archive_limits: ArchiveLimits, scratch: Path
) -> dict[str, str]:
    """Return for each file of weights "" if it loads as tensors alone, or why not. In a confined process; nothing of
    the bundle's code runs. Raises BundleError as ``run_foreign`` does.
    """
    with _private_folder(scratch) as folder:
        take_bundle(source=source, into=folder / layout.BUNDLE, limits=archive_limits)
        write_request(folder=folder, action=layout.CHECK_WEIGHTS, limits=limits, content={"weights": list(names)})
        answer = _ask(folder, limits, _nobody)
    found = answer.get("weights")
    if not isinstance(found, dict):
        raise BundleError("bundle-answer-refused", "The check of the weights gave no answer.")
    return {name: str(found.get(name, "it was not looked at"))[:200] for name in names}


def _place_bundle(bundle: ForeignBundle, folder: Path, limits: ArchiveLimits) -> None:
    """Copy the bundle into the run's folder and require that the copy, which is what will run, is what was approved."""
    taken = place_files(files=bundle.files, into=folder / layout.BUNDLE, limits=limits)
    digest = bundle_digest({file.name: file.sha256 for file in taken.files})
    if digest != bundle.identity.bundle_sha256:
        message = f"The bundle's files give the digest {digest}, but {bundle.identity.bundle_sha256} was approved."
        raise BundleError("bundle-altered", message)


def _ask(folder: Path, limits: ChildLimits, progress: Progress) -> dict[str, Any]:
    """Start the child, watch it to its end, and return its answer."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(reading, False)
    try:
        process = _start(folder, limits, writing)
    finally:
        os.close(writing)
    try:
        _watch(process, reading, folder / layout.WORK, limits, progress)
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(reading)
    return _judged(process.returncode, folder, limits)


def _start(folder: Path, limits: ChildLimits, progress: int) -> subprocess.Popen[bytes]:
    work = folder / layout.WORK
    # Nothing of this process's environment: a site's passwords stand in it.
    environment = {
        "HOME": str(work),
        "TMPDIR": str(work),
        # Libraries ask who they run as; the file that would say is out of reach.
        "USER": "bundle",
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": str(limits.threads),
        "OPENBLAS_NUM_THREADS": str(limits.threads),
        "MKL_NUM_THREADS": str(limits.threads),
        "CUDA_VISIBLE_DEVICES": "",
        "MPLCONFIGDIR": str(work),
    }
    paths = [path for path in sys.path if path]
    command = [sys.executable, "-I", "-B", "-c", _START, json.dumps(paths), str(folder), str(progress)]

    return subprocess.Popen(  # noqa: S603 - our own interpreter and a constant
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=work,
        start_new_session=True,
        pass_fds=(progress,),
    )


def _watch(process: subprocess.Popen[bytes], reading: int, work: Path, limits: ChildLimits, progress: Progress) -> None:
    deadline = time.monotonic() + limits.seconds
    told = (0, 1, "starting the bundle's process")
    buffer = b""
    poll = select.poll()
    poll.register(reading, select.POLLIN)
    while process.poll() is None:
        if time.monotonic() > deadline:
            raise BundleError("bundle-took-too-long", f"The bundle took more than {limits.seconds:g} seconds.")
        if _size(work) > limits.work_bytes:
            raise BundleError("bundle-wrote-too-much", f"The bundle wrote more than {limits.work_bytes} bytes.")
        events = poll.poll(_SECONDS_BETWEEN_LOOKS * 1000)
        if events and events[0][1] & select.POLLIN:
            with suppress(BlockingIOError):
                buffer = (buffer + os.read(reading, 4096))[-_MOST_PROGRESS_BYTES:]
            *lines, buffer = buffer.split(b"\n")
            told = next((line for line in map(_line, reversed(lines)) if line is not None), told)
        elif events:
            # The pipe is closed; the process is about to end, or goes on without telling.
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        progress(*told)


def _line(data: bytes) -> tuple[int, int, str] | None:
    """Return a line of progress, None for anything else: the bundle's code could write here too."""
    try:
        done, total, note = json.loads(data)
        done, total = int(done), int(total)
    except (ValueError, TypeError, RecursionError, OverflowError):
        return None
    if not 0 <= done <= total <= 1_000_000:
        return None
    return done, total, "".join(letter for letter in str(note) if letter.isprintable())[:80]


def _judged(status: int, folder: Path, limits: ChildLimits) -> dict[str, Any]:
    if status in (-signal.SIGXCPU, -signal.SIGALRM):
        raise BundleError("bundle-took-too-long", f"The bundle took more than {limits.seconds:g} seconds of computing.")
    if status == -signal.SIGXFSZ:
        raise BundleError("bundle-wrote-too-much", f"The bundle wrote a file of more than {limits.file_bytes} bytes.")
    if status != 0:
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        raise BundleError("bundle-died", f"The bundle's process ended by itself ({how}).")
    answer = read_answer(folder=folder / layout.WORK)
    refused = answer.get("refused")
    if refused is not None:
        code, message = _refusal(refused)
        raise BundleError(code, message)
    return answer


_CODES = frozenset({"confinement-missing", "bundle-failed", "bundle-out-of-memory", "bundle-unpickles"})


def _refusal(refused: object) -> tuple[str, str]:
    if isinstance(refused, list) and len(refused) == 2 and refused[0] in _CODES:
        told = "".join(letter if letter.isprintable() else " " for letter in str(refused[1])[:400])
        return str(refused[0]), f"The bundle gave no result. {told}"
    return "bundle-failed", "The bundle gave no result, and no reason that is taken."


def _opinion(
    answer: dict[str, Any], folder: Path, volume: Volume, mapping: OutputMapping, places: Sequence[PointMm]
) -> ForeignOpinion:
    output = answer.get("output")
    if not isinstance(output, dict):
        raise BundleError("bundle-answer-refused", "The bundle's process handed back no output.")
    work = folder / layout.WORK
    if mapping.task is Task.DETECTION:
        return opinion_from_boxes(output=output, mapping=mapping, grid=volume.grid, places=places)
    shape = output.get("shape")
    plain = isinstance(shape, list) and len(shape) == 3 and all(type(n) is int and 0 < n <= 4096 for n in shape)
    if not isinstance(shape, list) or not plain:
        raise BundleError("bundle-answer-refused", "The bundle's process handed back a label map without a shape.")
    size = (shape[0], shape[1], shape[2])
    labels = read_array(folder=work, name=layout.LABELS, dtype="u1", shape=size)
    certainty = None
    if output.get("has_certainty") is True:
        certainty = read_array(folder=work, name=layout.CERTAINTY, dtype="u1", shape=size)
    return opinion_from_labels(
        labels=labels, certainty=certainty, output=output, mapping=mapping, grid=volume.grid, places=places
    )


def _backend(answer: dict[str, Any]) -> str:
    walls = answer.get("confinement")
    network = walls.get("network") if isinstance(walls, dict) else None
    means = ", ".join(str(one) for one in network) if isinstance(network, list) else "unknown"
    return f"MONAI bundle, torch-cpu-float32, confined ({means})"[:200]


def _size(folder: Path) -> int:
    total = 0
    for here, _folders, names in os.walk(folder, followlinks=False):
        for name in names:
            with suppress(OSError):
                status = (Path(here) / name).lstat()
                total += status.st_blocks * 512 if stat.S_ISREG(status.st_mode) else 0
    return total


@contextmanager
def _private_folder(scratch: Path) -> Iterator[Path]:
    scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bundle-", dir=scratch))
    try:
        for name in (layout.INPUT, layout.BUNDLE, layout.WORK):
            (folder / name).mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _nobody(_done: int, _total: int, _note: str) -> None:
    """Progress that nobody waits for."""
