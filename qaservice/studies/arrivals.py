"""What a file of a series means beside what is already held: new, the same again, or another with the same name.

Same UID and same bytes: nothing to do. Same UID and other bytes: kept apart and reported with both digests, and
nothing that is held changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from qaservice.studies.models import Outcome
from qaservice.studies.reading import Judged


@dataclass(frozen=True, slots=True)
class Held:
    """An instance that the project already holds."""

    sha256: str
    study_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """The files of one series, sorted out. Every file given is in exactly one of the three."""

    new: tuple[Judged, ...]
    duplicates: tuple[Judged, ...]
    quarantined: tuple[Judged, ...]


def sort_out(*, files: Sequence[Judged], held: Mapping[str, Held], study_of_series: str | None) -> Arrival:
    """Sort the files of one series by what the project holds.

    ``held`` maps SOP Instance UID to what is stored under it. ``study_of_series`` is the study in which the series is
    known, None where it is not known yet (then its first file says). All files have headers.
    """
    seen = dict(held)
    study = study_of_series
    new: list[Judged] = []
    duplicates: list[Judged] = []
    quarantined: list[Judged] = []
    for file in files:
        if file.header is None:
            raise ValueError("a file without a header belongs to no series")
        study = study or file.header.study_instance_uid
        known = seen.get(file.uid)
        if known is None and file.header.study_instance_uid != study:
            quarantined.append(
                file.quarantined("series-in-two-studies", f"its series is known in another study ({study}); kept apart")
            )
        elif known is None:
            new.append(file)
            seen[file.uid] = Held(file.sha256, file.header.study_instance_uid, file.header.series_instance_uid)
        elif known.sha256 == file.sha256:
            duplicates.append(
                replace(file, outcome=Outcome.DUPLICATE, code="already-held", message="the same bytes are already held")
            )
        else:
            message = (
                f"the same SOP Instance UID is already held with other bytes: held SHA-256 {known.sha256}, "
                f"arrived SHA-256 {file.sha256}; the held instance was not changed"
            )
            quarantined.append(file.quarantined("same-uid-other-bytes", message))
    return Arrival(tuple(new), tuple(duplicates), tuple(quarantined))
