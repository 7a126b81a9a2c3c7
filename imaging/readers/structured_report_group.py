"""One measurement group of a report: what it says of one thing, and where that thing lies (TID 1410, 1411, 1501)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from imaging.geometry.series import PlacedSeries
from imaging.readers import structured_report_codes as concepts
from imaging.readers.formats import ReadContext
from imaging.readers.pseudonyms import reader_pseudonym
from imaging.readers.segmentation_segments import category_of
from imaging.readers.structured_report_codes import Code, characteristic_of, checked_rating, is_concept, rating_of
from imaging.readers.structured_report_content import ContentItem
from imaging.readers.structured_report_regions import Region, RegionPlacer, united
from imaging.types import Algorithm, Finding, Mask, PointMm, Rejection, ReportedMeasurement, RoundTrip

SEGMENTATION_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
_COORDINATES = ("SCOORD", "SCOORD3D")
_WORDS = ("TEXT", "UIDREF", "DATE", "TIME", "DATETIME")


@dataclass(slots=True)
class Observer:
    """Who or what made a report or a group of it, as far as it says. ``person`` is a name: it goes no further."""

    person: str = ""
    is_person: bool = False
    is_device: bool = False
    device_name: str = ""
    device_model: str = ""

    def take(self, item: ContentItem) -> bool:
        """Take over an item of the observation context; False if the item is none (PS3.16 TID 1001)."""
        if is_concept(item.name, concepts.OBSERVER_TYPE):
            self.is_person |= is_concept(item.code, concepts.PERSON)
            self.is_device |= is_concept(item.code, concepts.DEVICE)
        elif is_concept(item.name, concepts.PERSON_NAME):
            self.person, self.is_person = self.person or item.text, True
        elif is_concept(item.name, concepts.DEVICE_NAME):
            self.device_name, self.is_device = item.text, True
        elif is_concept(item.name, concepts.DEVICE_MODEL):
            self.device_model, self.is_device = item.text, True
        else:
            return is_concept(item.name, concepts.DEVICE_MANUFACTURER | concepts.OBSERVER_DETAIL)
        return True


@dataclass(slots=True)
class GroupReading:
    """What was understood of one measurement group. ``regions`` are the group's own, ``lines`` its measurements'."""

    subject: str
    tracking_identifier: str = ""
    tracking_uid: str = ""
    finding: Code | None = None
    algorithm_name: str = ""
    algorithm_version: str = ""
    observer: Observer = field(default_factory=Observer)
    attributes: dict[str, str] = field(default_factory=dict)
    characteristics: dict[str, int] = field(default_factory=dict)
    measurements: list[ReportedMeasurement] = field(default_factory=list)
    confidence: float | None = None
    regions: list[Region] = field(default_factory=list)
    lines: list[Region] = field(default_factory=list)
    refused: bool = False
    lines_refused: bool = False

    @property
    def algorithm(self) -> Algorithm | None:
        """The algorithm that the group names, None where it names none."""
        named = self.algorithm_name or self.algorithm_version
        return Algorithm(self.algorithm_name, self.algorithm_version) if named else None

    def say(self, name: str, value: str) -> None:
        """Keep an attribute; a name that is there already gets a number."""
        key, count = name, 1
        while key in self.attributes:
            count += 1
            key = f"{name} ({count})"
        self.attributes[key] = value


def read_group(container: ContentItem, placer: RegionPlacer, image: PlacedSeries) -> GroupReading:
    """Return what a measurement group says; what is not understood goes to the placer's rejections by name."""
    return _GroupReader(container, placer, image).read()


def finding_of(
    group: GroupReading, finding_id: str, image: PlacedSeries, context: ReadContext, placer: RegionPlacer
) -> Finding | None:
    """Return a group as a finding, None (and a rejection) where it has no place on this series."""
    if group.refused or (group.lines_refused and not group.regions):
        message = "The measurement group was left out, because where it lies was refused."
        placer.rejections.append(Rejection("group-without-place", message, _names(group)))
        return None
    regions = group.regions or group.lines
    if not regions:
        message = (
            f"The measurement group outlines nothing on this series; its {len(group.measurements)} measurements and "
            f"{len(group.attributes) + len(group.characteristics)} evaluations were left out."
        )
        placer.rejections.append(Rejection("group-without-place", message, _names(group)))
        return None
    if group.regions and group.lines:
        message = f"{len(group.lines)} regions of single measurements were left out: the group has an outline."
        placer.rejections.append(Rejection("region-not-kept", message, _names(group)))
    mask, point, round_trip = _place(regions, image, group, placer)
    segments = [region.segment.segment for region in regions if region.segment is not None]
    said = [group.finding.meaning] if group.finding else []
    outlined = [name for segment in segments for name in segment.names]
    tracked = [group.tracking_identifier] if group.tracking_identifier else []
    # What the finding is coded as decides; an identifier is a name to be told by, unless the vocabulary lists it.
    listed = {name.strip().lower() for name in context.vocabulary.exact}
    own = [name for name in tracked if name.strip().lower() in listed]
    names = tuple(own or said or [*tracked, *outlined])
    slices = sorted({index for region in regions for index in region.slices})
    label = group.tracking_identifier or (said[0] if said else segments[0].label if segments else "")
    return Finding(
        finding_id,
        category_of(context.vocabulary, names, mask),
        mask=mask,
        point_mm=point,
        source_label=label,
        characteristics=group.characteristics,
        sop_instance_uids=tuple(
            image.sop_instance_uids[index] for index in slices if 0 <= index < len(image.sop_instance_uids)
        ),
        tracking_uid=group.tracking_uid or next((one.tracking_uid for one in segments if one.tracking_uid), ""),
        confidence=group.confidence,
        attributes=group.attributes,
        measurements=tuple(group.measurements),
        round_trip=round_trip,
    )


def _place(
    regions: Sequence[Region], image: PlacedSeries, group: GroupReading, placer: RegionPlacer
) -> tuple[Mask | None, PointMm | None, RoundTrip]:
    masks = [region.mask for region in regions if region.mask is not None]
    if masks:
        rest = len(regions) - len(masks)
        if rest:
            message = f"{rest} points, lines or outlines without a voxel were left out beside the outline."
            placer.rejections.append(Rejection("region-not-kept", message, _names(group)))
        held = [region.round_trip for region in regions if region.mask is not None]
        return united(masks), None, max(held, key=lambda one: one.mm)
    points: NDArray[np.float64] = np.concatenate([region.points_mm for region in regions])
    middle = points.mean(axis=0)
    offsets = points - middle
    if len(points) > 1:
        message = "Lines, several points or an outline without a voxel have no extent to hold; their middle is kept."
        placer.rejections.append(Rejection("kept-as-point", message, _names(group)))
    voxels = np.linalg.solve(image.grid.matrix[:3, :3], offsets.T)
    round_trip = RoundTrip(float(np.abs(voxels).max()), float(np.linalg.norm(offsets, axis=1).max()))
    return None, (float(middle[0]), float(middle[1]), float(middle[2])), round_trip


def _names(group: GroupReading) -> tuple[str, ...]:
    names = (group.tracking_identifier, group.tracking_uid, group.finding.meaning if group.finding else "")
    return (group.subject, *(name for name in names if name))


class _GroupReader:
    """Walks through one group once and leaves no item without an answer."""

    def __init__(self, container: ContentItem, placer: RegionPlacer, image: PlacedSeries) -> None:
        self._container = container
        self._placer = placer
        self._image = image
        self._group = GroupReading(container.subject)

    def read(self) -> GroupReading:
        for item in self._container.children:
            resolved = self._placer.resolved(item)
            if resolved is None or not self._take(resolved):
                self._not_understood(item)
        return self._group

    def _take(self, item: ContentItem) -> bool:
        group, name = self._group, item.name
        if item.value_type in _COORDINATES:
            region = self._placer.region(item)
            if region is None:
                group.refused = True
            else:
                group.regions.append(region)
            return True
        if item.value_type in {"IMAGE", "COMPOSITE"}:
            return self._reference(item)
        if item.value_type == "NUM":
            return self._measurement(item)
        if name is None or item.value_type not in {"CODE", "PNAME", *_WORDS}:
            return False
        if group.observer.take(item):
            return True
        if is_concept(name, concepts.TRACKING_IDENTIFIER):
            group.tracking_identifier = item.text
        elif is_concept(name, concepts.TRACKING_UID):
            group.tracking_uid = item.text
        elif is_concept(name, concepts.ALGORITHM_NAME):
            group.algorithm_name = item.text
        elif is_concept(name, concepts.ALGORITHM_VERSION):
            group.algorithm_version = item.text
        elif is_concept(name, concepts.SOURCE_SERIES):
            if item.text != self._image.series_instance_uid:
                message = "The report names as its source a series other than this one."
                self._reject("dangling-reference", message, item.text, item.subject)
        else:
            return self._evaluation(item, name)
        self._qualify(item, name.meaning)
        return True

    def _evaluation(self, item: ContentItem, name: Code) -> bool:
        group = self._group
        if item.value_type == "CODE":
            if item.code is None:
                return False
            characteristic = characteristic_of(name)
            rating = rating_of(characteristic, item.code) if characteristic else None
            if is_concept(name, concepts.FINDING) and group.finding is None:
                group.finding = item.code
            elif characteristic and rating is not None:
                group.characteristics[characteristic] = rating
            else:
                group.say(name.meaning, item.code.meaning)
        else:
            group.say(name.meaning, reader_pseudonym(item.text) if item.value_type == "PNAME" else item.text)
        self._qualify(item, name.meaning)
        return True

    def _measurement(self, item: ContentItem) -> bool:
        group = self._group
        if item.name is None:
            return False
        if item.number is None:
            message = "The measurement has no value."
            self._reject("measurement-without-value", message, item.subject)
            return True
        modifiers = [
            child
            for child in item.children
            if child.value_type == "CODE" and is_concept(child.name, concepts.DERIVATION)
        ]
        name = ", ".join([item.name.meaning, *(child.code.meaning for child in modifiers if child.code is not None)])
        unit = item.unit.value if item.unit is not None else ""
        group.measurements.append(ReportedMeasurement(name, item.number, unit))
        characteristic = characteristic_of(item.name)
        rating = checked_rating(characteristic, item.number) if characteristic else None
        if characteristic and rating is not None:
            group.characteristics[characteristic] = rating
        if is_concept(item.name, concepts.CERTAINTY) and unit in {"%", "1"}:
            score = item.number / 100.0 if unit == "%" else item.number
            group.confidence = score if 0.0 <= score <= 1.0 else None
        self._qualify(item, name, taken=modifiers)
        return True

    def _qualify(self, item: ContentItem, prefix: str, taken: Sequence[ContentItem] = ()) -> None:
        """Keep what stands beneath an item: words and numbers as attributes, coordinates as where it was measured."""
        for child in item.children:
            resolved = self._placer.resolved(child)
            if any(child is one for one in taken) or self._refers_within(child):
                continue
            if resolved is None:
                self._not_understood(child)
            elif resolved.value_type in _COORDINATES:
                region = self._placer.region(resolved)
                if region is None:
                    self._group.lines_refused = True
                else:
                    self._group.lines.append(region)
            elif resolved.value_type in {"IMAGE", "COMPOSITE"}:
                if not self._reference(resolved):
                    self._not_understood(child)
            elif resolved.name is None:
                self._not_understood(child)
            else:
                value = _in_words(resolved)
                if value is None:
                    self._not_understood(child)
                else:
                    self._group.say(f"{prefix} / {resolved.name.meaning}", value)
                    if not child.target:  # what is only referred to may refer back
                        self._qualify(resolved, f"{prefix} / {resolved.name.meaning}")

    def _refers_within(self, item: ContentItem) -> bool:
        """Whether an item refers to one of this group's own, which is read where it stands."""
        own = self._container.position
        return len(item.target) > len(own) and item.target[: len(own)] == own

    def _reference(self, item: ContentItem) -> bool:
        reference = item.reference
        if reference is None:
            return False
        if reference.sop_class_uid in SEGMENTATION_CLASSES:
            placed = self._placer.segment(item, reference)
            if placed is None:
                self._group.refused = True
            else:
                self._group.regions.extend(placed)
        elif reference.sop_instance_uid not in self._image.sop_instance_uids:
            message = "The report names an object that is not in the series."
            self._reject("dangling-reference", message, reference.sop_instance_uid, item.subject)
        return True

    def _not_understood(self, item: ContentItem) -> None:
        self._reject(*not_understood(item))

    def _reject(self, code: str, message: str, *subjects: str) -> None:
        self._placer.rejections.append(Rejection(code, message, subjects))


def not_understood(item: ContentItem) -> tuple[str, str, str]:
    """Return code, message and subject of the rejection of an item that no rule takes."""
    beneath = sum(1 for _ in item.walk()) - 1
    kind = item.value_type or "an item given by reference"
    message = f"A content item ({kind}) with {beneath} items beneath it is not understood and was left out."
    return ("content-not-understood", message, item.subject)


def _in_words(item: ContentItem) -> str | None:
    if item.value_type == "CODE":
        return item.code.meaning if item.code is not None else None
    if item.value_type == "NUM":
        unit = item.unit.value if item.unit is not None else ""
        return None if item.number is None else f"{item.number:g} {unit}".strip()
    if item.value_type == "PNAME":
        return reader_pseudonym(item.text)
    return item.text if item.value_type in _WORDS else None
