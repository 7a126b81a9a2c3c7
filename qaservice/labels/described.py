"""Which of a project's series a label file describes, in whatever way its format can say it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product

import numpy as np
from numpy.typing import NDArray

from imaging.geometry.affine import to_patient
from imaging.readers.formats import ImageReferences
from imaging.readers.naming import forms_of, telling_form
from imaging.types import Grid
from qaservice.projects.models import Project
from qaservice.studies.models import Instance, Series
from qaservice.studies.selectors import accepted_series, grid_of, series_of

QUERY_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Described:
    """The series that a label file may describe, likeliest first, and how that was told.

    ``certain``: the file names these series or their images, and all of them are meant where its format can describe
    ``several``. Otherwise they are what its study, frame of reference or own grid leaves, and the label belongs to the
    one it fits. ``unknown`` says in words what the file names and what
    is not held here; empty where nothing is missing.
    """

    series: tuple[Series, ...]
    certain: bool
    several: bool = False
    unknown: str = ""


def series_described(
    *, project: Project, references: ImageReferences, image_names: Mapping[str, str], several: bool
) -> Described:
    """Return the series that ``references`` mean: by SOP Instance UIDs, else series, study, frame of reference, grid.

    ``image_names`` are the file's names for images that mean something here, with their SOP Instance UIDs. With
    ``several`` one file may describe many series and each way may add some; without, the first way that finds any
    decides, since some files name another series than the one whose images they mark.
    """
    named_images = {image_names[name] for name in references.image_names if name in image_names}
    images = references.sop_instance_uids | named_images
    found, held_images = _by_images(project, images)
    by_name = list(_by_series(project, references.series_instance_uids)) if several or not found else []
    certain = [*found, *(one for one in by_name if one not in found)]
    if certain:
        missing = _missing_parts(references, certain, held_images, image_names) if several else ""
        return Described(tuple(certain), True, several, missing)
    likely = (
        _by_study(project, references)
        or _by_frame(project, references.frame_of_reference_uids)
        or (_by_grid(project, references.grid) if references.grid is not None else [])
    )
    return Described(tuple(likely), False, several, "" if likely else _not_held(references, image_names))


def _by_images(project: Project, sop_instance_uids: Iterable[str]) -> tuple[list[Series], frozenset[str]]:
    """Return the series of these images, the one with most of them first, and which of the images are held."""
    marked: Counter[str] = Counter()
    held: set[str] = set()
    for chunk in _chunks(sorted(sop_instance_uids)):
        rows = Instance.objects.filter(project=project, sop_instance_uid__in=chunk)
        for uid, series_uid in rows.values_list("sop_instance_uid", "series_instance_uid"):
            held.add(uid)
            marked[series_uid] += 1
    # Annotation objects are instances too, but no series of images.
    known = {one.series_instance_uid: one for one in _by_series(project, marked)}
    return [known[uid] for uid, _ in marked.most_common() if uid in known], frozenset(held)


def _by_series(project: Project, series_instance_uids: Iterable[str]) -> Iterator[Series]:
    for chunk in _chunks(sorted(series_instance_uids)):
        yield from series_of(project).select_related("project").filter(series_instance_uid__in=chunk)


def _by_study(project: Project, references: ImageReferences) -> list[Series]:
    if not references.study_instance_uids:
        return []
    rows = list(
        accepted_series(project)
        .select_related("project")
        .filter(study__study_instance_uid__in=sorted(references.study_instance_uids)[:QUERY_CHUNK])
    )
    framed = [one for one in rows if one.frame_of_reference_uid in references.frame_of_reference_uids]
    return framed or rows


def _by_frame(project: Project, frame_of_reference_uids: frozenset[str]) -> list[Series]:
    if not frame_of_reference_uids:
        return []
    rows = accepted_series(project).select_related("project")
    return list(rows.filter(frame_of_reference_uid__in=sorted(frame_of_reference_uids)[:QUERY_CHUNK]))


def _by_grid(project: Project, grid: Grid) -> list[Series]:
    """Return the series that fill the same box of the patient, else those of as many voxels, else the only series.

    The last two let a label that was flipped or shifted meet the image that it was made for, which then refuses it in
    millimetres; nothing is placed by its number of voxels.
    """
    rows = list(accepted_series(project).select_related("project"))
    grids = [grid_of(one) for one in rows]
    reach = max(grid.spacing_mm) / 2
    same = [one for one, other in zip(rows, grids, strict=True) if _box_distance(grid, other) <= reach]
    if same:
        return same
    sized = [one for one, other in zip(rows, grids, strict=True) if sorted(other.shape) == sorted(grid.shape)]
    return sized or (rows if len(rows) == 1 else [])


def _box_distance(first: Grid, second: Grid) -> float:
    """Return how far the corners of two grids lie apart at worst, in mm, each matched with its nearest."""
    distances = np.linalg.norm(_corners(first)[:, None, :] - _corners(second)[None, :, :], axis=2)
    return float(max(distances.min(axis=0).max(), distances.min(axis=1).max()))


def _corners(grid: Grid) -> NDArray[np.float64]:
    """Return the centres of the eight corner voxels, (8, 3) LPS millimetres."""
    ends = [(0, size - 1) for size in grid.shape]
    return np.array([to_patient(grid, corner) for corner in product(*ends)])


def _missing_parts(
    references: ImageReferences, found: Sequence[Series], images: frozenset[str], image_names: Mapping[str, str]
) -> str:
    """Say what a file about many scans names that is not held here; ``images`` are those of its images that are."""
    series = references.series_instance_uids - {one.series_instance_uid for one in found} - images
    names = _unresolved(references, image_names)
    said = [_list("series", sorted(series))] if series and len(references.series_instance_uids) > 1 else []
    return "; ".join([*said, *([_list("images named", names)] if names else [])])


def _not_held(references: ImageReferences, image_names: Mapping[str, str]) -> str:
    """Say what a file describes of which nothing is held here."""
    if references.grid is not None:
        return f"a series with this label's own grid, {' x '.join(str(size) for size in references.grid.shape)} voxels"
    # A UID in a file's name may be an image's or a series'; with nothing found it is called an image.
    series = sorted(references.series_instance_uids - references.sop_instance_uids)
    names = _unresolved(references, image_names)
    said = [_list("series", series)] if series else []
    if not series and references.sop_instance_uids:
        said.append(_list("images", sorted(references.sop_instance_uids)))
    if names:
        said.append(_list("images named", names))
    if not said and references.study_instance_uids:
        said.append(_list("an accepted series of study", sorted(references.study_instance_uids)))
    return "; ".join(said)


def _unresolved(references: ImageReferences, image_names: Mapping[str, str]) -> list[str]:
    """Return the file's names for images that mean nothing here, each once and without its folders.

    A file lists the forms of a name that may be meant (with its path, without its ending), and folders are more often
    called after people than files are.
    """
    known = {form for name in image_names for form in forms_of(name)}
    above = {form for name in references.image_names for form in forms_of(name)[1:] if "/" in name.replace("\\", "/")}
    own = {telling_form(name) for name in references.image_names if "/" in name.replace("\\", "/")}
    listed = {
        telling_form(name)
        for name in references.image_names
        if not known & set(forms_of(name)) and (name not in above or name in own)
    }
    uids = references.sop_instance_uids | references.series_instance_uids
    return sorted(name for name in listed if not uids & set(forms_of(name)) and not _is_ending_cut(name, listed))


def _is_ending_cut(name: str, listed: set[str]) -> bool:
    return any(other != name and name in forms_of(other) for other in listed)


def _list(what: str, names: Sequence[str]) -> str:
    shown = ", ".join(name[:80] for name in names[:3])
    return f"{what} {shown}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _chunks(values: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(values)
    while chunk := list(islice(iterator, QUERY_CHUNK)):
        yield chunk
