"""What label files call images: the paths, file names, stems and folders under which deliveries brought them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import PurePosixPath

from qaservice.projects.models import Project
from qaservice.studies.models import AnnotationFile, IngestItem, Instance, Series

# Taken off a name to get its stem; any other dot is part of it, as in a UID.
_SUFFIXES: tuple[str, ...] = (
    ".gz",
    ".dcm",
    ".dicom",
    ".ima",
    ".png",
    ".jpg",
    ".jpeg",
    ".tif",
    ".tiff",
    ".bmp",
    ".nii",
    ".nrrd",
)
_SUFFIXES += (".mha", ".mhd", ".raw", ".xml", ".json", ".txt")


@dataclass(frozen=True, slots=True)
class _Named:
    """One image, or one folder of images of a single series, as a delivery named it."""

    parts: tuple[str, ...]
    ingest: object
    uid: str


class ImageNames:
    """The names of a project's images, looked up at most once for many label files.

    A name is understood if it means exactly one image, or one folder whose images are all of one series: the more of
    its path agrees the better, and a name in the label file's own delivery goes before one in another.
    """

    def __init__(self, project: Project) -> None:
        self._project = project

    def resolve(self, names: Iterable[str], *, ingest: object, volumes: bool) -> Mapping[str, str]:
        """Return the names that mean something here, each with the SOP Instance UID of its image.

        With ``volumes`` the format names whole scans, and a name may mean a folder: its scan's first image stands for
        it. Without, a folder is never taken for an image. A part of another name's path says nothing by itself.
        """
        listed = set(names)
        above = {part for name in listed for part in _parts(name)[:-1]}
        found = {name: uid for name in listed - above if (uid := self._one(name, ingest, volumes)) is not None}
        # A reader may ask by the whole path, by the file's name or by its stem; only what stays unambiguous is added.
        shorter: dict[str, set[str]] = defaultdict(set)
        for name, uid in found.items():
            parts = _parts(name)
            for short in {parts[-1], _stem(parts[-1])} - set(found):
                shorter[short].add(uid)
        return found | {short: uids.pop() for short, uids in shorter.items() if len(uids) == 1}

    def _one(self, name: str, ingest: object, volumes: bool) -> str | None:
        parts = _parts(name)
        if not parts:
            return None
        stem = _stem(parts[-1])
        for uid in (name, parts[-1], stem):
            if uid in self._series_of_image:
                return uid
            if volumes and uid in self._image_of_series:
                return self._image_of_series[uid]
        candidates = self._images.get(parts[-1]) or self._images.get(stem) or []
        if volumes:
            candidates = self._folders.get(parts[-1]) or self._folders.get(stem) or candidates
        return _nearest([one for one in candidates if one.ingest == ingest], parts) or _nearest(candidates, parts)

    @cached_property
    def _series_of_image(self) -> dict[str, str]:
        rows = Instance.objects.filter(project=self._project)
        return dict(rows.values_list("sop_instance_uid", "series_instance_uid"))

    @cached_property
    def _image_of_series(self) -> dict[str, str]:
        return {series: uid for uid, series in sorted(self._series_of_image.items(), reverse=True)}

    @cached_property
    def _delivered(self) -> list[_Named]:
        rows = IngestItem.objects.filter(ingest__project=self._project, kind="dicom-image").exclude(uid="")
        found = rows.values_list("name", "uid", "ingest_id")
        return [_Named(_parts(name), ingest, uid) for name, uid, ingest in found if uid in self._series_of_image]

    @cached_property
    def _images(self) -> dict[str, list[_Named]]:
        index: dict[str, list[_Named]] = defaultdict(list)
        for one in self._delivered:
            for key in {one.parts[-1], _stem(one.parts[-1])}:
                index[key].append(one)
        return index

    @cached_property
    def _folders(self) -> dict[str, list[_Named]]:
        inside: dict[tuple[object, tuple[str, ...]], set[str]] = defaultdict(set)
        for one in self._delivered:
            for depth in range(1, len(one.parts)):
                inside[one.ingest, one.parts[:depth]].add(self._series_of_image[one.uid])
        index: dict[str, list[_Named]] = defaultdict(list)
        for (ingest, parts), series in inside.items():
            if len(series) == 1:
                index[parts[-1]].append(_Named(parts, ingest, self._image_of_series[next(iter(series))]))
        return index


def series_beside(file: AnnotationFile, series: Sequence[Series]) -> Series | None:
    """Return the one series whose images lie nearest to a label file in the folders of its own delivery, if one does.

    Near means that their paths agree from the beginning for longer. None where two are equally near, or none came.
    """
    own = _parts(file.name)[:-1]
    depths: dict[Series, int] = {}
    for one in series:
        uids = Instance.objects.filter(project_id=one.project_id, series_instance_uid=one.series_instance_uid)
        rows = IngestItem.objects.filter(ingest_id=file.ingest_id, uid__in=uids.values("sop_instance_uid"))
        agreed = [_shared_depth(own, _parts(name)[:-1]) for name in rows.values_list("name", flat=True)]
        if agreed:
            depths[one] = max(agreed)
    nearest = [one for one, depth in depths.items() if depth == max(depths.values())]
    return nearest[0] if len(nearest) == 1 else None


def _shared_depth(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def _nearest(candidates: list[_Named], parts: tuple[str, ...]) -> str | None:
    """Return the image whose path agrees farthest with ``parts`` from its end; None where that is not one alone."""
    if not candidates:
        return None
    agreed = [(_agreement(one.parts, parts), one.uid) for one in candidates]
    most = max(length for length, _ in agreed)
    uids = {uid for length, uid in agreed if length == most}
    return uids.pop() if len(uids) == 1 else None


def _agreement(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    length = 0
    for one, other in zip(reversed(first[:-1]), reversed(second[:-1]), strict=False):
        if one != other:
            break
        length += 1
    return length


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in {"/", ".", ".."})


def _stem(name: str) -> str:
    stem = name
    while (suffix := next((one for one in _SUFFIXES if stem.lower().endswith(one)), None)) is not None:
        stem = stem[: -len(suffix)]
    return stem or name
