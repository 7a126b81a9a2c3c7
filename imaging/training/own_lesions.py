"""What real scans hold of their own, as far as anybody marked it: places where a judgement counts nothing."""

from __future__ import annotations

from pathlib import Path

from imaging.masks.boxes import box_centre, box_extents_mm
from imaging.masks.place import centre_of
from imaging.readers.formats import ReadContext
from imaging.readers.lidc import read_lidc_xml
from imaging.readers.limits import CT_READ_LIMITS
from imaging.readers.voc import read_voc
from imaging.readers.vocabulary import LUNG_CT_VOCABULARY
from imaging.training.scans import Scan, members, read_member
from imaging.training.trials import ball_around
from imaging.types import Mask, PointMm, Sphere, Volume

LIDC_SCAN, LIDC_MARKS = "lidc-0001", "annotations-lidc.xml"
OUTLINED_MM, POINT_MM = 45.0, 12.0
"""Diameters of the balls around an outlined nodule and around any other mark of lidc-0001."""

BOX_MARGIN_MM = 8.0
"""Added to the longest side of a box, which is one slice thick and one of many on the same lesion."""


def lidc_findings(scans: Path, volume: Volume) -> tuple[tuple[PointMm, Mask | None], ...]:
    """Every mark of every reader of lidc-0001, with its mask where it has one."""
    imported = read_lidc_xml(read_member(folder=scans, name=LIDC_SCAN, member=LIDC_MARKS), volume)
    return tuple(
        (centre_of(finding), finding.mask)
        for annotation_set in imported.annotation_sets
        for finding in annotation_set.findings
    )


def balls_of_marks(marks: tuple[tuple[PointMm, Mask | None], ...]) -> tuple[Sphere, ...]:
    """Return a ball around each mark of lidc-0001."""
    return tuple(Sphere(place, OUTLINED_MM if mask is not None else POINT_MM) for place, mask in marks)


def own_lesions(*, scans: Path, name: str, scan: Scan) -> tuple[Sphere, ...]:
    """Return balls around everything that was outlined, boxed or marked in a scan of ``scans``."""
    found = [ball_around(low, high) for low, high in scan.lesion_boxes]
    if name == LIDC_SCAN:
        found.extend(balls_of_marks(lidc_findings(scans, scan.volume)))
    found.extend(_boxed(scans, name, scan.volume))
    return tuple(found)


def _boxed(scans: Path, name: str, volume: Volume) -> list[Sphere]:
    """Balls around the Pascal-VOC boxes that come with a scan; those of a sister series say nothing of this one."""
    found = []
    for path, content in members(scans, name, ".xml"):
        if "/voc/" not in f"/{path}":
            continue
        context = ReadContext(path, LUNG_CT_VOCABULARY, CT_READ_LIMITS, 0.5)
        for annotation_set in read_voc(content, volume, context).annotation_sets:
            for finding in annotation_set.findings:
                if finding.box is not None:
                    longest = max(box_extents_mm(box=finding.box, grid=volume.grid))
                    found.append(Sphere(box_centre(finding.box), longest + BOX_MARGIN_MM))
    return found
