"""The public scans that tests may read, from archives that are never part of the project."""

from __future__ import annotations

import functools
import os
import zipfile
from pathlib import Path

from imaging.geometry.gate import LUNG_CT_TOLERANCES, assess
from imaging.geometry.header import SliceHeader
from imaging.geometry.series import SeriesGeometry
from imaging.readers.series import CT_READ_LIMITS, read_header

_ROOT = Path(__file__).resolve().parents[3]


def folder() -> Path:
    """Where the public scans lie; tests that ask are marked real_data, and skipped by that mark if there are none."""
    return Path(os.environ.get("QASERVICE_REAL_DATA", _ROOT.parent / "shared" / "data"))


@functools.lru_cache(maxsize=4)
def _archive(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def archive(name: str) -> dict[str, bytes]:
    """The files of one archive by their names in it; a missing archive fails, since the folder is there."""
    return _archive(folder() / name)


def member(name: str, ending: str) -> bytes:
    """The one file of an archive whose name ends so."""
    (found,) = [data for path, data in archive(name).items() if path.endswith(ending)]
    return found


def files_under(name: str, part: str) -> dict[str, bytes]:
    """The files of an archive that lie in a folder (``part`` ends in a slash) anywhere in it."""
    return {path: data for path, data in archive(name).items() if f"/{part}" in f"/{path}"}


def lidc_slices() -> dict[str, tuple[SliceHeader, bytes]]:
    """LIDC-IDRI-0001's headers and files by SOP Instance UID."""
    found: dict[str, tuple[SliceHeader, bytes]] = {}
    for data in files_under("lidc-0001.zip", "ct/").values():
        header = read_header(data, CT_READ_LIMITS)
        found[header.sop_instance_uid] = (header, data)
    return found


@functools.lru_cache(maxsize=1)
def lidc_geometry() -> SeriesGeometry:
    """LIDC-IDRI-0001's geometry, as the gate accepts it."""
    headers = [header for header, _ in lidc_slices().values()]
    verdict = assess(headers, LUNG_CT_TOLERANCES)
    assert verdict.grid is not None
    return SeriesGeometry(verdict.grid, headers[0].series_instance_uid, verdict.sop_instance_uids)
