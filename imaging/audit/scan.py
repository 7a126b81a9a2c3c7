"""The CT side of an audit: which series a delivery holds, what the geometry gate says of each, and their volumes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imaging.errors import UnreadableFile
from imaging.geometry.gate import LUNG_CT_TOLERANCES, GeometryVerdict, assess
from imaging.geometry.header import SliceHeader
from imaging.geometry.policy import DEFAULT_GATE_POLICY
from imaging.geometry.series import SeriesGeometry
from imaging.readers.delivery import DELIVERY_LIMITS, Entry, EntryUnreadable, open_delivery
from imaging.readers.limits import CT_READ_LIMITS
from imaging.readers.naming import forms_of
from imaging.readers.registry import LABEL_FORMATS
from imaging.readers.series import load_volume, read_header
from imaging.readers.sniff import HEAD_BYTES, kind_of
from imaging.sandbox import Sandbox
from imaging.types import Volume

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that took no part, and why. ``name`` is its path in the delivery."""

    name: str
    code: str
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class FoundSeries:
    """One series of a delivery. ``names`` maps SOP Instance UIDs to the paths of their files."""

    series_instance_uid: str
    study_instance_uid: str
    headers: tuple[SliceHeader, ...]
    verdict: GeometryVerdict
    names: Mapping[str, str]

    @property
    def geometry(self) -> SeriesGeometry | None:
        """What readers of labels need; None where the gate refused the series."""
        if self.verdict.grid is None:
            return None
        return SeriesGeometry(self.verdict.grid, self.series_instance_uid, self.verdict.sop_instance_uids)


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """What a delivery of images holds: its series, largest first, and the files that are no part of any."""

    path: Path
    series: tuple[FoundSeries, ...]
    left_out: tuple[LeftOut, ...]

    def image_names(self) -> dict[str, str]:
        """Return what label files may call these images (UIDs, paths, file names, stems), with their SOP Instance UIDs.

        A name that two images share says nothing and is left out. The name of a folder that holds one series alone
        stands for that series' first image, as formats that name whole scans ask for it.
        """
        images: dict[str, set[str]] = {}
        folders: dict[str, set[str]] = {}
        for one in self.series:
            first = one.verdict.sop_instance_uids[0] if one.verdict.sop_instance_uids else ""
            for uid, name in one.names.items():
                parts = name.split("/")
                for form in (uid, name, *forms_of(parts[-1])):
                    images.setdefault(form, set()).add(uid)
                for folder in {one.series_instance_uid, self.path.name, *parts[:-1]} if first else ():
                    folders.setdefault(folder, set()).add(first)
        named = {name: uids for name, uids in folders.items() if name not in images} | images
        return {name: next(iter(uids)) for name, uids in named.items() if len(uids) == 1}


def read_scan(*, path: Path, sandbox: Sandbox, progress: Progress) -> Scan:
    """Return the series of a directory, an archive or a single file, each with the geometry gate's verdict.

    Headers are read in the sandbox's children, so that no file can do harm; a file that is a copy of another, byte for
    byte, is left out. Raises UnreadableFile where the delivery as a whole cannot be read.
    """
    left_out: list[LeftOut] = []
    found: dict[str, list[tuple[SliceHeader, str]]] = {}
    digests: dict[str, set[str]] = {}
    with open_delivery(path, DELIVERY_LIMITS) as entries:
        progress(f"reading the headers of {len(entries)} files")
        waiting: list[tuple[str, str]] = []
        # The children answer in order, so names and digests wait beside the bytes that were handed out.
        answers = sandbox.map(_header, _images(entries, left_out, waiting))
        for number, answer in enumerate(answers):
            name, digest = waiting[number]
            if answer.error is not None:
                left_out.append(LeftOut(name, answer.error.code, answer.error.message))
                continue
            header = answer.result()
            known = digests.setdefault(header.sop_instance_uid, set())
            if digest in known:
                left_out.append(LeftOut(name, "copy", "a copy, byte for byte, of a file that was read"))
                continue
            known.add(digest)
            found.setdefault(header.series_instance_uid, []).append((header, name))
    series = [_series(uid, members) for uid, members in found.items()]
    ordered = sorted(series, key=lambda one: (-len(one.headers), one.series_instance_uid))
    return Scan(path=path, series=tuple(ordered), left_out=tuple(left_out))


def load(*, scan: Scan, series: FoundSeries, sandbox: Sandbox) -> Volume:
    """Return an accepted series as a volume, its pixels decoded in a child.

    Raises UnreadableFile or GeometryError, as ``load_volume`` does, or as the sandbox for a file that ends its child.
    """
    volume = sandbox.call(_load, str(scan.path), dict(series.names), list(series.headers))
    # What comes through a pipe is a fresh array, which nothing may write to.
    volume.hounsfield.setflags(write=False)
    return volume


def reasons(left_out: Sequence[LeftOut]) -> tuple[tuple[str, int, str], ...]:
    """Return why files were left out: (message, how many, an example's name), the commonest first."""
    counts = Counter((item.code, item.message) for item in left_out)
    examples = {(item.code, item.message): item.name for item in reversed(left_out)}
    return tuple((key[1], number, examples[key]) for key, number in counts.most_common())


def _images(entries: Sequence[Entry], left_out: list[LeftOut], waiting: list[tuple[str, str]]) -> Iterator[bytes]:
    for entry in entries:
        try:
            kind = kind_of(entry.read(HEAD_BYTES))
            if kind in LABEL_FORMATS:
                message = "a label file among the images; name it as one to have it audited"
                left_out.append(LeftOut(entry.name, "label-file", message))
                continue
            if kind != "dicom-image":
                left_out.append(LeftOut(entry.name, "not-an-image", "not a DICOM image"))
                continue
            data = entry.read(None)
        except EntryUnreadable as error:
            left_out.append(LeftOut(entry.name, error.code, error.message))
            continue
        waiting.append((entry.name, hashlib.sha256(data).hexdigest()))
        yield data


def _series(uid: str, members: Sequence[tuple[SliceHeader, str]]) -> FoundSeries:
    headers = tuple(header for header, _ in members)
    return FoundSeries(
        series_instance_uid=uid,
        study_instance_uid=headers[0].study_instance_uid,
        headers=headers,
        verdict=assess(headers, LUNG_CT_TOLERANCES, DEFAULT_GATE_POLICY),
        names={header.sop_instance_uid: name for header, name in members},
    )


def _header(data: bytes) -> SliceHeader:
    return read_header(data, CT_READ_LIMITS)


def _load(path: str, names: dict[str, str], headers: list[SliceHeader]) -> Volume:
    with open_delivery(Path(path), DELIVERY_LIMITS) as entries:
        by_name = {entry.name: entry for entry in entries}

        def opened(uid: str) -> bytes:
            try:
                return by_name[names[uid]].read(None)
            except (EntryUnreadable, KeyError) as error:
                raise UnreadableFile("unreadable", "A file can no longer be read.", subjects=(uid,)) from error

        return load_volume(slices=headers, open_bytes=opened, tolerances=LUNG_CT_TOLERANCES, limits=CT_READ_LIMITS)
