"""LIDC-IDRI-0001 and the published reader files, against LUNA16's table and an independent rasteriser."""

from __future__ import annotations

import csv
import functools
import math
import xml.etree.ElementTree as ElementTree
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.draw import polygon, polygon2mask

from imaging.geometry.affine import orientation_letters, to_index
from imaging.masks.build import full_voxels
from imaging.masks.matching import match_lesions
from imaging.masks.measure import centroid, measure
from imaging.readers.lidc import LidcDocument, parse_lidc_xml, place_lidc_document, read_lidc_xml
from imaging.types import AnnotationImport, Category, Finding
from tests.imaging.readers import real

pytestmark = pytest.mark.real_data


def imported() -> AnnotationImport:
    return read_lidc_xml(real.member("lidc-0001.zip", "annotations-lidc.xml"), real.lidc_geometry())


def nodules(found: AnnotationImport) -> list[Finding]:
    return [
        finding
        for one in found.annotation_sets
        for finding in one.findings
        if finding.category is Category.NODULE_GE_3MM
    ]


def luna_row() -> dict[str, str]:
    with (real.folder() / "luna16-annotations.csv").open(newline="") as table:
        (row,) = [row for row in csv.DictReader(table) if row["seriesuid"] == real.lidc_geometry().series_instance_uid]
    return row


def test_every_reader_s_nodule_lies_within_the_radius_that_luna16_gives() -> None:
    row = luna_row()
    place = (float(row["coordX"]), float(row["coordY"]), float(row["coordZ"]))
    diameter = float(row["diameter_mm"])
    found = nodules(imported())
    assert len(found) == 4
    for finding in found:
        assert finding.mask is not None
        assert math.dist(centroid(finding.mask), place) < 1.0 < diameter / 2
        # The table gives one diameter for the four outlines.
        assert measure(finding.mask).equivalent_diameter_mm == pytest.approx(diameter, abs=1.5)


def test_the_readers_ratings_are_theirs() -> None:
    assert [finding.characteristics["malignancy"] for finding in nodules(imported())] == [5, 5, 5, 4]


def test_three_readers_mark_the_same_three_small_nodules_and_one_marks_none() -> None:
    sets = imported().annotation_sets
    small = [[f for f in one.findings if f.category is Category.NODULE_LT_3MM] for one in sets]
    assert [len(marks) for marks in small] == [3, 0, 3, 3]
    assert [one.reader_label for one in sets] == [
        "session 1: 540461523",
        "session 2: 1428348137",
        "session 3: -750896469",
        "session 4: 2103845659",
    ]
    # The file's first small mark of session 1: column 187, row 166 of the slice at z = -150.
    first = small[0][0]
    assert first.point_mm is not None
    assert to_index(real.lidc_geometry().grid, first.point_mm) == pytest.approx((76.0, 166.0, 187.0), abs=1e-6)


def test_the_four_outlines_are_one_lesion_and_the_small_marks_three() -> None:
    found = imported()
    lesions = match_lesions(found.annotation_sets)
    by_size = Counter(len(lesion.members) for lesion in lesions)
    assert (by_size[4], by_size[3]) == (1, 3)
    (shared,) = [lesion for lesion in lesions if len(lesion.members) == 4]
    assert {finding for _, finding in shared.members} == {finding.finding_id for finding in nodules(found)}
    assert sum(len(lesion.members) for lesion in lesions) == sum(len(one.findings) for one in found.annotation_sets)


def independent_masks() -> list[NDArray[np.bool_]]:
    """The four outlines rasterised from the file by another parser and another library's polygons."""
    geometry = real.lidc_geometry()
    space = "{http://www.nih.gov}"
    root = ElementTree.fromstring(real.member("lidc-0001.zip", "annotations-lidc.xml"))
    masks = []
    for session in root.iter(f"{space}readingSession"):
        for read in session.iter(f"{space}unblindedReadNodule"):
            outlines = [
                (
                    roi.findtext(f"{space}imageSOP_UID", ""),
                    np.array([[int(e[1].text or ""), int(e[0].text or "")] for e in roi.iter(f"{space}edgeMap")]),
                )
                for roi in read.iter(f"{space}roi")
            ]
            if len(outlines) == 1 and len(outlines[0][1]) == 1:
                continue
            whole = np.zeros(geometry.grid.shape, dtype=np.bool_)
            for uid, points in outlines:
                index = geometry.sop_instance_uids.index(uid)
                plane = np.zeros(geometry.grid.shape[1:], dtype=np.bool_)
                plane[polygon(points[:, 0], points[:, 1], plane.shape)] = True
                plane |= polygon2mask(plane.shape, points)
                plane[points[:, 0], points[:, 1]] = False
                whole[index] |= plane
            masks.append(whole)
    return masks


def test_an_independent_rasteriser_agrees_to_one_voxel() -> None:
    ours = [full_voxels(finding.mask) for finding in nodules(imported()) if finding.mask is not None]
    theirs = independent_masks()
    assert len(ours) == len(theirs) == 4
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.sum() > 4000
        assert np.count_nonzero(mine != other) <= 1


def test_the_patient_s_left_is_on_the_screen_s_right() -> None:
    letters = orientation_letters(real.lidc_geometry().grid)
    assert (letters.left, letters.right, letters.top, letters.bottom) == ("R", "L", "A", "P")


@functools.lru_cache(maxsize=1)
def published() -> tuple[LidcDocument, ...]:
    files = real.archive("lidc-xml.zip").items()
    return tuple(parse_lidc_xml(data) for path, data in files if path.endswith(".xml"))


def test_all_published_reader_files_parse_and_x_rays_are_told_apart() -> None:
    documents = published()
    assert len(documents) == 237
    assert Counter(document.modality for document in documents) == {"ct": 120, "chest-x-ray": 117}
    readings = [session for document in documents for session in document.sessions if document.modality == "ct"]
    assert len(readings) == 480
    rois = [roi for session in readings for one in session.nodules for roi in one.rois]
    # Counted with another parser over the same files.
    assert len(rois) == 6752
    assert sum(not roi.inclusion for roi in rois) == 125
    assert sum(len(session.non_nodules) for session in readings) == 2503
    assert not any(document.unread_points for document in documents)


def test_no_published_reader_file_is_placed_on_a_series_that_it_does_not_describe() -> None:
    for document in published():
        found = place_lidc_document(document, real.lidc_geometry())
        assert found.annotation_sets == ()
        assert found.rejections[0].code in {"another-series", "chest-x-ray"}
