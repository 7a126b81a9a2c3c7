"""What is remembered of every analysed series so that series can be compared with each other without their images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from imaging.types import Category, PointMm


@dataclass(frozen=True, slots=True)
class FindingFacts:
    """One finding as numbers.

    ``features``: name to value, each name with its unit at its end (``volume_mm3``, ``mean_hu``, ``sphericity``); one
    that cannot be measured is absent, never zero. ``characteristics``: ratings as the reader gave them.
    ``guideline``: version of the reading guideline, "" where unknown. ``marked_on``: ISO 8601 date or time at which the
    label was made or, failing that, delivered; "" where unknown. ``tracking_uid``: the source's identity of the lesion
    across objects, "" where it has none.
    """

    set_id: str
    reader_label: str
    finding_id: str
    category: Category
    place_mm: PointMm
    diameter_mm: float | None
    features: Mapping[str, float] = field(default_factory=dict)
    characteristics: Mapping[str, int] = field(default_factory=dict)
    guideline: str = ""
    marked_on: str = ""
    tracking_uid: str = ""


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """One series as numbers.

    ``patient``: a key that is the same for one patient and tells nothing about who it is. ``split``: "train" or
    whatever the project calls its parts, "" without one. ``acquisition``: tags that say how the image was made
    (``kernel``, ``kvp``, ``slice_thickness_mm``, ``manufacturer``). ``embedding``: describes the whole image, all of
    one length within a version of ``embedding_version``. ``slice_hashes``: perceptual hash (hex) of each slice,
    in order, "" for a slice without structure.
    """

    series_instance_uid: str
    study_instance_uid: str
    patient: str
    split: str
    acquisition: Mapping[str, str | float]
    embedding_version: str
    embedding: tuple[float, ...]
    slice_hashes: tuple[str, ...]
    findings: tuple[FindingFacts, ...]


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """All series that one run looked at, in order of their UID."""

    series: tuple[SeriesFacts, ...]
