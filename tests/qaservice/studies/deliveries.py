"""Deliveries made for tests: small regular series, archives good and bad, and the way a worker reads them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from compliance.recording import SYSTEM
from qaservice.jobs.runner import drain
from qaservice.projects.models import Project
from qaservice.studies.models import Ingest, IngestItem
from qaservice.studies.services import announce_ingest
from tests.imaging.readers.made import SERIES, a_file

SLICES = 5


def slice_file(*, number: int, series: str = SERIES, value: int = 1000, **changes: object) -> bytes:
    """Slice ``number`` of a regular series whose pixels all hold ``value``; UIDs follow the series."""
    stored = np.full((8, 12), value, dtype=np.int16)
    uids = {"SeriesInstanceUID": series, "SOPInstanceUID": f"{series}.{number + 1}"}
    return a_file(number=number, stored=stored, **{**uids, **changes})


def series_files(*, series: str = SERIES, count: int = SLICES, **changes: object) -> dict[str, bytes]:
    """A regular series as files by name."""
    return {
        f"{series}/{number:03d}.dcm": slice_file(number=number, series=series, **changes) for number in range(count)
    }


def written_to(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Put files into a folder and return it."""
    for name, data in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return folder


def zipped(files: Mapping[str, bytes]) -> bytes:
    """The files as a zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def ingest(project: Project, path: Path, *, simulated: bool = False) -> Ingest:
    """Hand a delivery in, do all the work in this process, and return the delivery as it ended."""
    announced = announce_ingest(
        project=project,
        source_path=path,
        source_name=path.name,
        actor=SYSTEM,
        reason="a test hands it in",
        simulated=simulated,
    )
    drain(project_key=project.key, on_progress=lambda progress: None)
    announced.refresh_from_db()
    return announced


def outcomes(ingested: Ingest) -> dict[str, tuple[str, str]]:
    """Outcome and code of every file of a delivery, by name."""
    rows = IngestItem.objects.filter(ingest=ingested)
    return {row.name: (row.outcome, row.code) for row in rows}
