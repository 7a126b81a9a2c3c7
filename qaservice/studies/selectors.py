"""Reading series and deliveries: volumes, slices, geometry, and what became of every file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from django.db.models import QuerySet
from numpy.typing import NDArray

from imaging.geometry.affine import orientation_letters
from imaging.types import Grid, Volume
from qaservice.common.errors import Conflict, NotFound
from qaservice.projects.models import Project
from qaservice.studies.assessment import grid_from_json
from qaservice.studies.models import Ingest, IngestItem, Instance, Series, SeriesState
from qaservice.studies.stored import hounsfield_of
from qaservice.studies.withdrawn import require_pixels


def series_of(project: Project) -> QuerySet[Series]:
    """Return a project's series, in the order in which their UIDs sort."""
    return Series.objects.filter(project=project).select_related("study").order_by("series_instance_uid")


def accepted_series(project: Project) -> QuerySet[Series]:
    """Return the series that became volumes and are still held."""
    return series_of(project).exclude(state=SeriesState.REFUSED).filter(study__pixel_removal=None)


def items_of(ingest: Ingest, outcome: str | None = None) -> QuerySet[IngestItem]:
    """Return what became of a delivery's files, by name; only those with ``outcome`` where it is given."""
    items = IngestItem.objects.filter(ingest=ingest).order_by("name")
    return items if outcome is None else items.filter(outcome=outcome)


def grid_of(series: Series) -> Grid:
    """Return the sampling of a series' volume. Raises Conflict ``series-refused`` where the gate gave it none."""
    return grid_from_json(_stored_grid(series))


def sop_instance_uids_of(series: Series) -> tuple[str, ...]:
    """Return the SOP Instance UIDs in slice order. Raises Conflict ``series-refused``."""
    return tuple(str(uid) for uid in _stored_grid(series)["sop_instance_uids"])


def volume_of(series: Series) -> Volume:
    """Return a series as a volume; the voxels are mapped from the cache, or built again from the stored bytes.

    Raises Conflict ``series-refused``, Gone where the pixel data are held no more.
    """
    stored = _stored_grid(series)
    thickness = stored["slice_thickness_mm"]
    return Volume(
        grid=grid_from_json(stored),
        hounsfield=_hounsfield(series),
        series_instance_uid=series.series_instance_uid,
        study_instance_uid=series.study.study_instance_uid,
        sop_instance_uids=sop_instance_uids_of(series),
        instance_numbers=tuple(stored["instance_numbers"]),
        slice_thickness_mm=None if thickness is None else float(thickness),
        acquisition=dict(series.acquisition),
    )


def slice_hounsfield(series: Series, index: int) -> NDArray[np.int16]:
    """Return one slice, (rows, columns) int16 Hounsfield units, slice 0 first along the grid's slice axis.

    Raises NotFound where there is no such slice, Conflict ``series-refused``, Gone where the pixel data are held no
    more.
    """
    count = grid_of(series).shape[0]
    if not 0 <= index < count:
        raise NotFound(f"there is no slice {index}; this series has slices 0 to {count - 1}")
    return np.array(_hounsfield(series)[index], dtype=np.int16)


def image_number_at(*, series: Series, slice_index: int) -> int:
    """Return the number by which people call a slice: its Instance Number, or its place from 1 where it has none.

    Raises NotFound where there is no such slice, Conflict ``series-refused``.
    """
    numbers = _stored_grid(series)["instance_numbers"]
    if not 0 <= slice_index < len(numbers):
        raise NotFound(f"there is no slice {slice_index}; this series has slices 0 to {len(numbers) - 1}")
    number = numbers[slice_index]
    return slice_index + 1 if number is None else int(number)


def series_view(series: Series) -> dict[str, object]:
    """Return what a viewer needs of a series besides its pixels, JSON-able.

    ``spacing_mm`` is (slice, row, column); ``affine`` takes (slice, row, column) to LPS millimetres; ``letters`` name
    the edges of a slice shown as stored. A refused series has the verdict and no geometry.
    """
    view: dict[str, object] = {
        "id": str(series.pk),
        "series_instance_uid": series.series_instance_uid,
        "study_instance_uid": series.study.study_instance_uid,
        "modality": series.modality,
        "state": series.state,
        "verdict": series.verdict,
        "instance_count": series.instance_count,
        "acquisition": series.acquisition,
        "shape": None,
        "spacing_mm": None,
        "affine": None,
        "letters": None,
        "frame_of_reference_uid": series.frame_of_reference_uid,
        "sop_instance_uids": [],
        "instance_numbers": [],
    }
    if series.grid is None:
        return view
    grid = grid_of(series)
    letters = orientation_letters(grid)
    return view | {
        "shape": list(grid.shape),
        "spacing_mm": list(grid.spacing_mm),
        "affine": [list(row) for row in grid.affine],
        "letters": {
            "left": letters.left,
            "right": letters.right,
            "top": letters.top,
            "bottom": letters.bottom,
        },
        "sop_instance_uids": list(sop_instance_uids_of(series)),
        "instance_numbers": list(series.grid["instance_numbers"]),
    }


def _stored_grid(series: Series) -> Mapping[str, Any]:
    if series.grid is None:
        raise Conflict(
            "the geometry gate refused this series, so it has no volume",
            code="series-refused",
            details={"series_instance_uid": series.series_instance_uid},
        )
    stored: Mapping[str, Any] = series.grid
    return stored


def _hounsfield(series: Series) -> NDArray[np.int16]:
    require_pixels(series)

    def digests() -> dict[str, str]:
        rows = Instance.objects.filter(project_id=series.project_id, series_instance_uid=series.series_instance_uid)
        return dict(rows.values_list("sop_instance_uid", "blob_id"))

    return hounsfield_of(digests=digests, input_digest=series.input_digest)
