"""What passes between the service's process and a bundle's: JSON and plain arrays in files, never a pickle.

What comes back was written by a process that ran other people's code: it is read as hostile bytes are.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.errors import BundleError
from imaging.inference.foreign.layout import ANSWER, REQUEST
from imaging.types import Volume

_MOST_ANSWER_BYTES = 16 * 1024 * 1024
_MOST_ARRAY_BYTES = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """Bounds on one run of a bundle.

    ``seconds``: wall-clock time. ``memory_bytes``: address space on top of what the interpreter and its libraries
    hold. ``file_bytes``: the largest file, and ``work_bytes`` all files together, that it may write. ``threads``:
    computed with at a time.
    """

    seconds: float
    memory_bytes: int
    file_bytes: int
    work_bytes: int
    threads: int

    def __post_init__(self) -> None:
        if min(self.seconds, self.memory_bytes, self.file_bytes, self.work_bytes, self.threads) <= 0:
            raise ValueError("every limit is greater than zero")


def write_request(*, folder: Path, action: str, limits: ChildLimits, content: Mapping[str, Any]) -> None:
    """Write what is asked of the child into ``folder``."""
    request = {
        "action": action,
        "seconds": limits.seconds,
        "memory_bytes": limits.memory_bytes,
        "file_bytes": limits.file_bytes,
        "threads": limits.threads,
        **content,
    }
    (folder / REQUEST).write_text(json.dumps(request), encoding="utf-8")


def write_image(*, volume: Volume, path: Path) -> None:
    """Write a CT as NIfTI: int16 Hounsfield units, axes (column, row, slice), affine to RAS millimetres.

    NIfTI's frame is RAS, DICOM's LPS: the first two world axes change their sign.
    """
    nib: Any = import_module("nibabel")
    image = nib.Nifti1Image(np.ascontiguousarray(volume.hounsfield.transpose(2, 1, 0)), ras_affine(volume))
    image.header.set_xyzt_units("mm")
    image.header.set_qform(image.affine, code=1)
    image.header.set_sform(image.affine, code=1)
    image.to_filename(path)


def ras_affine(volume: Volume) -> NDArray[np.float64]:
    """Return (4, 4): voxel (column, row, slice) to RAS millimetres."""
    matrix = volume.grid.matrix[:, [2, 1, 0, 3]]
    return np.asarray(np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix, dtype=np.float64)


def read_answer(*, folder: Path) -> dict[str, Any]:
    """Return the child's answer. Raises BundleError ``bundle-answer-refused`` for anything but a modest JSON object."""
    data = _read(folder / ANSWER, _MOST_ANSWER_BYTES)
    try:
        answer = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise _refused("it is not JSON") from error
    if not isinstance(answer, dict):
        raise _refused("it is not an object")
    return answer


def read_array(*, folder: Path, name: str, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an array that the child wrote. Raises BundleError ``bundle-answer-refused`` for another type or shape."""
    path = folder / name
    descriptor = _open(path, _MOST_ARRAY_BYTES)
    with os.fdopen(descriptor, "rb") as reading:
        try:
            form: Any = np.lib.format
            version = form.read_magic(reading)
            if version != (1, 0):
                raise ValueError("another version of the format")
            found, fortran, kind = form.read_array_header_1_0(reading)
            if found != shape or kind != np.dtype(dtype) or fortran:
                raise ValueError(f"{found} {kind} instead of {shape} {dtype}")
            data = reading.read(int(np.prod(shape)) * kind.itemsize + 1)
            if len(data) != int(np.prod(shape)) * kind.itemsize:
                raise ValueError("its size is not what it says")
        except (ValueError, EOFError) as error:
            raise _refused(f"{name} is not the array that was asked for ({str(error)[:120]})") from error
    return np.frombuffer(data, dtype=kind).reshape(shape)


def _read(path: Path, most: int) -> bytes:
    with os.fdopen(_open(path, most), "rb") as reading:
        return reading.read(most + 1)


def _open(path: Path, most: int) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(f"{path.name} is missing") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > most:
        os.close(descriptor)
        raise _refused(f"{path.name} is not a file of modest size")
    return descriptor


def _refused(why: str) -> BundleError:
    return BundleError("bundle-answer-refused", f"What the bundle's process handed back is not taken: {why}.")
