"""Readers' labels written as an LIDC-style XML file.

The contour runs along the first pixels outside the nodule (Armato et al., Med Phys 38:915, 2011); where a contour would
swallow pixels that are not labelled, an exclusion contour gives them back, so that every mask survives a round trip
exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree  # only writes here; nothing is parsed

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.masks.polygons import polygon_interior
from imaging.phantom.chest import PhantomCase
from imaging.types import AnnotationSet, Category, Finding

NAMESPACE = "http://www.nih.gov"
_STEPS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
_CROSS = ndimage.generate_binary_structure(2, 1)
_SQUARE = ndimage.generate_binary_structure(2, 2)


def write_lidc_xml(*, case: PhantomCase, annotation_sets: tuple[AnnotationSet, ...], path: Path) -> None:
    """Write all sets as reading sessions of one LIDC-style file for the case's series.

    ``nodule >= 3 mm`` needs a mask; the other categories need a point, which is written as its nearest pixel.
    """
    root = ElementTree.Element("LidcReadMessage", {"uid": case.volume.series_instance_uid, "xmlns": NAMESPACE})
    header = ElementTree.SubElement(root, "ResponseHeader")
    _text(header, "Version", "1.8.1")
    _text(header, "TaskDescription", "Second unblinded read")
    _text(header, "SeriesInstanceUid", case.volume.series_instance_uid)
    _text(header, "DateService", "2000-01-01")
    _text(header, "TimeService", "12:00:00")
    _text(header, "ResponseDescription", "SYNTHETIC: simulated readers of a phantom")
    _text(header, "StudyInstanceUID", case.volume.study_instance_uid)
    for number, annotation_set in enumerate(annotation_sets, start=1):
        session = ElementTree.SubElement(root, "readingSession")
        _text(session, "annotationVersion", "3.12")
        _text(session, "servicingRadiologistID", f"simulated-{number}")
        for finding in annotation_set.findings:
            if finding.category is not Category.NON_NODULE:
                _nodule(session, finding, case)
        for finding in annotation_set.findings:
            if finding.category is Category.NON_NODULE:
                _non_nodule(session, finding, case)
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding="UTF-8", xml_declaration=True)


def exclusive_contours(plane: NDArray[np.bool_]) -> Iterator[tuple[bool, list[tuple[int, int]]]]:
    """Yield (inclusion, [(row, column), ...]) whose exclusive-boundary reading gives back ``plane``, (rows, columns).

    Vertices may lie one pixel outside the plane; the caller leaves such outlines room.
    """
    padded = np.pad(plane, 2)
    swallowed = np.zeros_like(padded)
    labels, count = ndimage.label(padded, _CROSS)
    for number in range(1, count + 1):
        outline = _trace(ndimage.binary_dilation(labels == number, _CROSS))
        interior, (top, left) = polygon_interior(vertices=outline)
        swallowed[top : top + interior.shape[0], left : left + interior.shape[1]] |= interior
        yield True, [(row - 2, column - 2) for row, column in outline]
    labels, count = ndimage.label(swallowed & ~padded, _SQUARE)
    for number in range(1, count + 1):
        hole = labels == number
        # A hole with an island would lose the island to the exclusion's interior: give back its pixels one by one.
        if (ndimage.binary_fill_holes(hole) & padded).any():
            for row, column in np.argwhere(hole):
                yield False, [(int(row) - 2, int(column) - 2)]
        else:
            yield False, [(row - 2, column - 2) for row, column in _trace(hole)]


def _trace(region: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Moore-neighbour tracing of the outer boundary of a connected region that does not touch the array's edge."""
    first = np.argwhere(region)[0]
    start = (int(first[0]), int(first[1]))
    path = [start]
    at, heading = start, 0
    entered = None
    while True:
        for turn in range(8):
            direction = (heading + turn) % 8
            row, column = at[0] + _STEPS[direction][0], at[1] + _STEPS[direction][1]
            if 0 <= row < region.shape[0] and 0 <= column < region.shape[1] and region[row, column]:
                break
        else:
            return path
        if at == start:
            if entered is None:
                entered = direction
            elif direction == entered:
                return path[:-1]
        at = (row, column)
        path.append(at)
        # Next, look from the pixel just behind the one we came from, so that the outside stays on the left.
        heading = (direction + 6) % 8 if direction % 2 == 0 else (direction + 5) % 8


def _nodule(session: ElementTree.Element, finding: Finding, case: PhantomCase) -> None:
    element = ElementTree.SubElement(session, "unblindedReadNodule")
    _text(element, "noduleID", finding.source_label)
    if finding.mask is None:
        _point(element, "roi", finding, case, inclusion=True)
        return
    ratings = ElementTree.SubElement(element, "characteristics")
    for name, value in finding.characteristics.items():
        _text(ratings, name, str(value))
    slice_origin, row_origin, column_origin = finding.mask.origin
    for offset, plane in enumerate(finding.mask.voxels):
        number = slice_origin + offset
        for inclusion, outline in exclusive_contours(plane):
            roi = _roi(element, "roi", number, case)
            _text(roi, "inclusion", "TRUE" if inclusion else "FALSE")
            for row, column in outline:
                edge = ElementTree.SubElement(roi, "edgeMap")
                _text(edge, "xCoord", str(column_origin + column))
                _text(edge, "yCoord", str(row_origin + row))


def _non_nodule(session: ElementTree.Element, finding: Finding, case: PhantomCase) -> None:
    element = ElementTree.SubElement(session, "nonNodule")
    _text(element, "nonNoduleID", finding.source_label)
    number, row, column = _nearest(finding, case)
    _text(element, "imageZposition", f"{_height(case, number):.6f}")
    _text(element, "imageSOP_UID", case.volume.sop_instance_uids[number])
    locus = ElementTree.SubElement(element, "locus")
    _text(locus, "xCoord", str(column))
    _text(locus, "yCoord", str(row))


def _point(element: ElementTree.Element, name: str, finding: Finding, case: PhantomCase, *, inclusion: bool) -> None:
    number, row, column = _nearest(finding, case)
    roi = _roi(element, name, number, case)
    _text(roi, "inclusion", "TRUE" if inclusion else "FALSE")
    edge = ElementTree.SubElement(roi, "edgeMap")
    _text(edge, "xCoord", str(column))
    _text(edge, "yCoord", str(row))


def _roi(element: ElementTree.Element, name: str, number: int, case: PhantomCase) -> ElementTree.Element:
    roi = ElementTree.SubElement(element, name)
    _text(roi, "imageZposition", f"{_height(case, number):.6f}")
    _text(roi, "imageSOP_UID", case.volume.sop_instance_uids[number])
    return roi


def _nearest(finding: Finding, case: PhantomCase) -> tuple[int, int, int]:
    if finding.point_mm is None:
        raise ValueError(f"{finding.finding_id}: a {finding.category} without outline needs a point")
    index = np.linalg.solve(case.volume.grid.matrix, np.array([*finding.point_mm, 1.0]))[:3].round().astype(int)
    return (int(index[0]), int(index[1]), int(index[2]))


def _height(case: PhantomCase, number: int) -> float:
    return float((case.volume.grid.matrix @ np.array([number, 0.0, 0.0, 1.0]))[2])


def _text(parent: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(parent, name).text = text
