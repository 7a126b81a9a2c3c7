"""What every format of label files keeps to, whichever is added to the registry."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.errors import UnreadableFile
from imaging.geometry.series import SeriesGeometry
from imaging.masks.canonical import mask_digest
from imaging.readers.formats import LabelFormat, ReadContext
from imaging.readers.limits import CT_READ_LIMITS
from imaging.readers.registry import LABEL_FORMATS
from imaging.readers.sniff import HEAD_BYTES, Kind, kind_of, kind_of_whole
from imaging.readers.vocabulary import LUNG_CT_VOCABULARY
from imaging.types import AnnotationImport, Finding, PointMm
from tests.imaging.readers import test_segmentation
from tests.imaging.readers.label_makers import ABSENT, CENTRE_MM, MAKERS, OTHER_SERIES, PERSON

KINDS = tuple(sorted(LABEL_FORMATS))
WITHOUT_REFERENCES = {"nifti", "nrrd"}
"""Label volumes name no image: they are tied to one by their affine alone."""

LISTS_OF_SCANS = {"luna16-csv", "monai-datalist", "predictions-csv", "predictions-json"}
"""A scan that is not this one is no fault there: the importer finds it among the references, once for the file."""

pytestmark = pytest.mark.filterwarnings("ignore")
every_format = pytest.mark.parametrize("kind", KINDS)


IMAGE: SeriesGeometry = test_segmentation.image()


def context(kind: Kind) -> ReadContext:
    return ReadContext(MAKERS[kind].file_name, LUNG_CT_VOCABULARY, CT_READ_LIMITS, fraction_threshold=0.5)


def read(kind: Kind, data: bytes) -> AnnotationImport:
    return LABEL_FORMATS[kind].read(data, IMAGE, context(kind))


def findings_of(found: AnnotationImport) -> list[Finding]:
    return [finding for one in found.annotation_sets for finding in one.findings]


def middle_of(finding: Finding) -> PointMm:
    if finding.mask is not None:
        index = np.argwhere(finding.mask.voxels).mean(axis=0) + np.array(finding.mask.origin)
        place = finding.mask.grid.matrix @ np.array([*index, 1.0])
        return (float(place[0]), float(place[1]), float(place[2]))
    if finding.sphere is not None:
        return finding.sphere.centre_mm
    if finding.box is not None:
        ends = zip(finding.box.corner_mm, finding.box.opposite_corner_mm, strict=True)
        x, y, z = ((first + second) / 2 for first, second in ends)
        return (x, y, z)
    assert finding.point_mm is not None
    return finding.point_mm


def said(found: AnnotationImport) -> str:
    """All texts of an outcome."""
    texts = [
        repr((one.set_id, one.reader_label, one.algorithm, one.case_probabilities)) for one in found.annotation_sets
    ]
    texts += [
        repr((one.finding_id, one.source_label, dict(one.attributes), one.measurements, one.tracking_uid))
        for one in findings_of(found)
    ]
    return "\n".join([*texts, *(repr(rejection) for rejection in found.rejections)])


def told(found: AnnotationImport) -> list[object]:
    """An outcome in a form that compares."""
    parts: list[object] = [(found.source_format, found.series_instance_uid, found.rejections)]
    for one in found.annotation_sets:
        parts.append((one.set_id, one.reader_label, one.kind, one.read, one.algorithm, dict(one.case_probabilities)))
        for finding in one.findings:
            mask = None if finding.mask is None else mask_digest(finding.mask)
            parts.append((mask, dataclasses.replace(finding, mask=None).__repr__()))
    return parts


@pytest.mark.parametrize("kind", KINDS)
def test_every_registered_format_has_its_makers_and_the_other_way_round(kind: Kind) -> None:
    assert set(MAKERS) == set(LABEL_FORMATS)
    one = LABEL_FORMATS[kind]
    assert isinstance(one, LabelFormat)
    assert one.source_format
    assert one.title


@every_format
def test_a_file_is_known_by_its_content(kind: Kind) -> None:
    data = MAKERS[kind].valid()
    assert kind_of(data[:HEAD_BYTES]) == kind
    assert kind_of_whole(data) == kind


@every_format
def test_a_label_lands_where_it_was_drawn(kind: Kind) -> None:
    found = read(kind, MAKERS[kind].valid())
    assert [rejection.code for rejection in found.rejections] == []
    (finding,) = findings_of(found)
    assert middle_of(finding) == pytest.approx(CENTRE_MM, abs=0.26)
    assert finding.category.is_nodule
    assert found.series_instance_uid == IMAGE.series_instance_uid


@every_format
def test_every_finding_has_one_shape_and_the_measured_cost_of_holding_it(kind: Kind) -> None:
    for making in (MAKERS[kind].valid, MAKERS[kind].named):
        found = findings_of(read(kind, making()))
        assert found
        assert len({finding.finding_id for finding in found}) == len(found)
        for finding in found:
            shapes = (finding.mask, finding.sphere, finding.box, finding.point_mm)
            assert sum(shape is not None for shape in shapes) == 1
            assert finding.round_trip is not None
            assert math.isfinite(finding.round_trip.mm)
            assert 0 <= finding.round_trip.mm <= 0.75
            assert 0 <= finding.round_trip.voxels <= 1.5
            assert set(finding.sop_instance_uids) <= set(IMAGE.sop_instance_uids)
            assert finding.sop_instance_uids


@every_format
def test_the_references_lead_to_the_series_that_was_labelled(kind: Kind) -> None:
    found = LABEL_FORMATS[kind].references(MAKERS[kind].valid(), context(kind))
    if kind in WITHOUT_REFERENCES:
        assert found.grid is not None
        assert found.grid.shape == IMAGE.grid.shape
        assert np.allclose(found.grid.matrix, IMAGE.grid.matrix)
        return
    leads = found.series_instance_uids | found.sop_instance_uids
    assert leads & {IMAGE.series_instance_uid, *IMAGE.sop_instance_uids}


@every_format
def test_a_file_for_another_series_is_refused_by_name(kind: Kind) -> None:
    found = read(kind, MAKERS[kind].elsewhere())
    assert findings_of(found) == []
    assert MAKERS[kind].elsewhere_code in {rejection.code for rejection in found.rejections}
    assert all(rejection.message for rejection in found.rejections)


@every_format
def test_a_label_outside_the_image_is_named_and_not_moved_into_it(kind: Kind) -> None:
    found = read(kind, MAKERS[kind].outside())
    assert findings_of(found) == []
    assert "label-outside-image" in {rejection.code for rejection in found.rejections}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in WITHOUT_REFERENCES])
def test_images_that_are_named_but_absent_are_reported(kind: Kind) -> None:
    maker = MAKERS[kind]
    assert maker.half_dangling is not None
    data = maker.half_dangling()
    if kind in LISTS_OF_SCANS:
        assert OTHER_SERIES in LABEL_FORMATS[kind].references(data, context(kind)).series_instance_uids
        assert len(findings_of(read(kind, data))) == 1
        return
    found = read(kind, data)
    subjects = [uid for one in found.rejections if one.code == "dangling-reference" for uid in one.subjects]
    assert any(uid.endswith((ABSENT, ".900")) for uid in subjects)


@every_format
def test_no_name_of_a_person_reaches_an_outcome(kind: Kind) -> None:
    data = MAKERS[kind].named()
    assert PERSON.encode() in data
    assert PERSON not in said(read(kind, data))
    for cut in range(0, len(data), max(1, len(data) // 40)):
        try:
            found = read(kind, data[:cut])
        except UnreadableFile as error:
            assert PERSON not in f"{error.message} {error.subjects}"
        else:
            assert PERSON not in said(found)


@every_format
def test_reading_twice_gives_the_same(kind: Kind) -> None:
    for making in (MAKERS[kind].valid, MAKERS[kind].elsewhere, MAKERS[kind].outside):
        data = making()
        assert told(read(kind, data)) == told(read(kind, data))


@every_format
@pytest.mark.parametrize(
    "data", [b"", b"\0" * 400, b"\xff" * 5000, b"{", b"[]", b"<a/>", b"a,b\n1,2\n", b"\x1f\x8b\x08"]
)
def test_what_is_not_the_format_is_unreadable(kind: Kind, data: bytes) -> None:
    for take in (lambda: read(kind, data), lambda: LABEL_FORMATS[kind].references(data, context(kind))):
        with pytest.raises(UnreadableFile) as refusal:
            take()
        assert refusal.value.code
        assert refusal.value.message


edits = st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), max_size=8)


@every_format
@settings(max_examples=40, deadline=None)
@given(changes=edits, keep=st.floats(0.0, 1.0) | st.just(1.0))
def test_a_damaged_file_is_read_or_unreadable_and_nothing_else(
    kind: Kind, changes: list[tuple[float, bytes]], keep: float
) -> None:
    data = bytearray(MAKERS[kind].valid())
    for place, replacement in changes:
        at = int(place * max(0, len(data) - 5))
        data[at : at + len(replacement)] = replacement
    damaged = bytes(data[: int(keep * len(data))])
    for take in (read, lambda kind, data: LABEL_FORMATS[kind].references(data, context(kind))):
        try:
            take(kind, damaged)
        except UnreadableFile as error:
            assert error.code
            assert error.message


@every_format
@settings(max_examples=25, deadline=None)
@given(noise=st.binary(max_size=600))
def test_noise_behind_a_sound_beginning_is_read_or_unreadable_and_nothing_else(kind: Kind, noise: bytes) -> None:
    sound = MAKERS[kind].valid()
    for data in (sound[:400] + noise, sound + noise):
        try:
            found = read(kind, data)
        except UnreadableFile as error:
            assert error.code
        else:
            assert found.series_instance_uid == IMAGE.series_instance_uid


ODD: tuple[object, ...] = (
    None,
    True,
    -1,
    0,
    1e308,
    -1e308,
    10**30,
    "",
    "x",
    [],
    {},
    [[None]],
    [1, 2, 3],
    {"size": [8, 12]},
)


def places_in(document: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [path, *(place for key, value in inner for place in places_in(value, (*path, key)))]


def replaced(document: object, path: tuple[object, ...], value: object) -> object:
    if not path:
        return value
    if isinstance(document, dict):
        return {key: replaced(one, path[1:], value) if key == path[0] else one for key, one in document.items()}
    assert isinstance(document, list)
    return [replaced(one, path[1:], value) if index == path[0] else one for index, one in enumerate(document)]


@pytest.mark.parametrize("kind", ["coco-json", "monai-datalist", "predictions-json"])
def test_a_wrong_value_anywhere_in_a_document_is_refused_or_named_and_nothing_else(kind: Kind) -> None:
    document = json.loads(MAKERS[kind].valid())
    for path in places_in(document):
        for value in ODD:
            data = json.dumps(replaced(document, path, value)).encode()
            for take in (read, lambda kind, data: LABEL_FORMATS[kind].references(data, context(kind))):
                with contextlib.suppress(UnreadableFile):
                    take(kind, data)
            kind_of_whole(data)


@pytest.mark.parametrize("kind", ["luna16-csv", "predictions-csv"])
def test_a_wrong_cell_anywhere_in_a_table_is_refused_or_named_and_nothing_else(kind: Kind) -> None:
    head, row = MAKERS[kind].valid().decode().splitlines()
    cells = row.split(",")
    for place in range(len(cells)):
        for value in ("", "x", "1e308", "-1e308", "nan", "-1", "0", "9" * 400):
            data = "\n".join([head, ",".join([*cells[:place], value, *cells[place + 1 :]])]).encode()
            with contextlib.suppress(UnreadableFile):
                read(kind, data)
