"""What holds of every writer of label files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from imaging.errors import NotApplicable, WriteMismatch
from imaging.masks.build import mask_from_voxels
from imaging.readers.limits import CT_READ_LIMITS
from imaging.readers.sniff import kind_of_whole
from imaging.types import Category, Finding
from imaging.writers.carrying import shape_of
from imaging.writers.contract import LabelledSeries, LabelWriter, LossKind, WriteContext, Written, WrittenFile
from imaging.writers.identity import content_uid
from imaging.writers.names import WRITTEN_FORMATS
from imaging.writers.registry import LABEL_WRITERS
from imaging.writers.release import RELEASE_TOLERANCE, release
from tests.imaging.writers.made import CONTEXT, a_grid, a_mask, labelled, sets_of_every_kind

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:highdicom")

EVERY = pytest.mark.parametrize("writer", LABEL_WRITERS.values(), ids=LABEL_WRITERS.keys())


def released(writer: LabelWriter, series: LabelledSeries, context: WriteContext = CONTEXT) -> Written:
    return release(writer=writer, labelled=series, context=context, limits=CT_READ_LIMITS, tolerance=RELEASE_TOLERANCE)


def whole(finding_id: str) -> str:
    """The finding that a part stands for."""
    return finding_id.split("@")[0]


def tampered(writer: LabelWriter, change: Callable[[WrittenFile], WrittenFile]) -> LabelWriter:
    """A writer whose files do not say what it claims."""

    def write(series: LabelledSeries, context: WriteContext) -> Written:
        written = writer.write(series, context)
        return dataclasses.replace(written, files=tuple(change(one) for one in written.files))

    return dataclasses.replace(writer, write=write)


def test_the_names_are_those_of_the_writers():
    assert sorted(LABEL_WRITERS) == list(WRITTEN_FORMATS)
    assert all(writer.name == name and writer.title for name, writer in LABEL_WRITERS.items())


@EVERY
def test_labels_of_every_kind_read_back_as_they_were_meant(writer: LabelWriter):
    written = released(writer, labelled())
    assert written.files and all(one.data for one in written.files)
    assert all(kind_of_whole(one.data) == one.read_as for one in written.files if one.read_as is not None)
    assert len({one.name for one in written.files}) == len(written.files)


@EVERY
def test_slices_may_run_against_the_normal(writer: LabelWriter):
    grid = a_grid(reversed_slices=True)
    assert released(writer, labelled(grid, sets_of_every_kind(grid))).files


@EVERY
def test_every_finding_is_written_or_its_loss_is_named(writer: LabelWriter):
    series = labelled()
    written = released(writer, series)
    said = {whole(finding.finding_id) for one in written.files for finding in one.content}
    lost = {loss.finding_id for loss in written.losses if loss.kind is LossKind.FINDING}
    everything = {finding.finding_id for one in series.annotation_sets for finding in one.findings}
    assert said | lost == everything and not said & lost
    assert all(loss.message.endswith(".") for loss in written.losses)


@EVERY
def test_what_is_said_of_a_finding_is_carried_or_its_loss_is_named(writer: LabelWriter):
    series, carries = labelled(), writer.carries
    written = released(writer, series)
    named = {(loss.kind, loss.finding_id) for loss in written.losses}
    kept = {whole(finding.finding_id) for one in written.files for finding in one.content}
    for finding in (finding for one in series.annotation_sets for finding in one.findings):
        if finding.finding_id not in kept:
            continue
        for kind, there, carried in (
            (LossKind.TRACKING, True, carries.tracking),
            (LossKind.CHARACTERISTICS, bool(finding.characteristics), carries.characteristics),
            (LossKind.ATTRIBUTES, bool(finding.attributes), carries.attributes),
            (LossKind.MEASUREMENTS, bool(finding.measurements), carries.measurements),
            (LossKind.CONFIDENCE, finding.confidence is not None, carries.confidence),
        ):
            assert ((kind, finding.finding_id) in named) == (there and not carried), (kind, finding.finding_id)


@EVERY
def test_the_same_labels_are_the_same_bytes_and_others_have_other_uids(writer: LabelWriter):
    first, again = released(writer, labelled()), released(writer, labelled())
    assert [one.data for one in first.files] == [one.data for one in again.files]
    assert first.losses == again.losses
    grid = a_grid()
    reader, *others = sets_of_every_kind(grid)
    fewer = dataclasses.replace(reader, findings=reader.findings[:1])
    changed = released(writer, labelled(grid, (fewer, *others)))
    uids = [one.sop_instance_uid for one in first.files if "set-a" in one.set_ids]
    assert not set(filter(None, uids)) & {one.sop_instance_uid for one in changed.files}


@EVERY
def test_a_set_that_was_not_read_is_never_written(writer: LabelWriter):
    written = released(writer, labelled())
    assert not any("set-e" in one.set_ids for one in written.files)
    assert [loss.set_id for loss in written.losses if loss.kind is LossKind.UNREAD_SET] == ["set-e"]


@EVERY
def test_read_and_found_nothing_is_said_or_named_as_lost(writer: LabelWriter):
    written = released(writer, labelled())
    said = any("set-d" in one.set_ids for one in written.files)
    lost = any(loss.kind is LossKind.EMPTY_SET and loss.set_id == "set-d" for loss in written.losses)
    assert said is not lost and said is writer.carries.empty_sets


@EVERY
def test_a_finding_that_reads_back_otherwise_is_not_released(writer: LabelWriter):
    grid = a_grid()

    def one_voxel_less(file: WrittenFile) -> WrittenFile:
        return dataclasses.replace(file, content=tuple(_moved(finding) for finding in file.content))

    def _moved(finding: Finding) -> Finding:
        if finding.mask is not None:
            voxels = finding.mask.voxels.copy()
            voxels[tuple(np.argwhere(voxels)[0])] = False
            mask = mask_from_voxels(grid=grid, voxels=voxels, origin=finding.mask.origin)
            return dataclasses.replace(finding, mask=mask)
        if finding.sphere is not None:
            wider = dataclasses.replace(finding.sphere, diameter_mm=finding.sphere.diameter_mm + 2.0)
            return dataclasses.replace(finding, sphere=wider)
        if finding.box is not None:
            corner = (finding.box.corner_mm[0] + 2.0, *finding.box.corner_mm[1:])
            return dataclasses.replace(finding, box=dataclasses.replace(finding.box, corner_mm=corner))
        return finding

    with pytest.raises(WriteMismatch) as raised:
        released(tampered(writer, one_voxel_less), labelled(grid))
    assert raised.value.subjects and whole(raised.value.subjects[0])[:2] in {"a/", "b/", "c/"}
    assert raised.value.code in {"finding-lost", "mask-differs", "place-differs"}


@EVERY
def test_a_finding_that_nobody_meant_is_not_released(writer: LabelWriter):
    def fewer(file: WrittenFile) -> WrittenFile:
        return dataclasses.replace(file, content=file.content[1:])

    with pytest.raises(WriteMismatch) as raised:
        released(tampered(writer, fewer), labelled())
    assert raised.value.code in {"finding-made-up", "category-differs", "name-differs"}


@EVERY
def test_bytes_that_are_no_such_file_are_not_released(writer: LabelWriter):
    def cut(file: WrittenFile) -> WrittenFile:
        return dataclasses.replace(file, data=file.data[: len(file.data) // 2])

    with pytest.raises(WriteMismatch) as raised:
        released(tampered(writer, cut), labelled())
    assert raised.value.code in {"unreadable", "another-kind", "finding-lost"}


@pytest.mark.parametrize("name", [name for name, writer in LABEL_WRITERS.items() if writer.needs_header])
def test_a_dicom_label_needs_a_patient_and_a_frame_of_reference(name: str):
    writer, series = LABEL_WRITERS[name], labelled()
    with pytest.raises(NotApplicable) as raised:
        writer.write(dataclasses.replace(series, header=None), CONTEXT)
    assert raised.value.code == "no-source-header"
    nowhere = dataclasses.replace(series.image.grid, frame_of_reference_uid="")
    with pytest.raises(NotApplicable) as raised:
        writer.write(labelled(nowhere, sets_of_every_kind(nowhere)), CONTEXT)
    assert raised.value.code == "no-frame-of-reference"


def test_a_category_that_reads_back_as_another_is_not_released():
    def recategorised(file: WrittenFile) -> WrittenFile:
        first, *rest = file.content
        return dataclasses.replace(file, content=(dataclasses.replace(first, category=Category.NON_NODULE), *rest))

    writer = tampered(LABEL_WRITERS["coco-json"], recategorised)
    grid = a_grid()
    only = dataclasses.replace(sets_of_every_kind(grid)[2])
    with pytest.raises(WriteMismatch) as raised:
        released(writer, labelled(grid, (only,)))
    assert raised.value.code == "category-differs" and '"nodule >= 3 mm"' in raised.value.message


def test_ratings_that_read_back_as_others_are_not_released():
    def rerated(file: WrittenFile) -> WrittenFile:
        return dataclasses.replace(
            file,
            content=tuple(
                dataclasses.replace(one, characteristics={"malignancy": 1}) if one.characteristics else one
                for one in file.content
            ),
        )

    with pytest.raises(WriteMismatch) as raised:
        released(tampered(LABEL_WRITERS["dicom-sr"], rerated), labelled())
    assert raised.value.code == "characteristics-differ" and raised.value.subjects == ("a/1",)


def test_a_tracking_uid_is_made_once_and_is_the_same_in_every_format():
    of: dict[str, set[str]] = {}
    for name in ("dicom-seg", "dicom-sr", "dicom-rtstruct"):
        for file in released(LABEL_WRITERS[name], labelled()).files:
            for finding in file.content:
                of.setdefault(finding.finding_id, set()).add(finding.tracking_uid)
    assert of["a/1"] and all(len(uids) == 1 for uids in of.values())
    assert of["b/1"] == {"2.25.99"}
    assert len({uid for uids in of.values() for uid in uids}) == len(of)


def test_uids_from_content_are_uuids_that_dicom_allows():
    uid = content_uid("one")
    assert uid == content_uid("one") != content_uid("two")
    number = int(uid.removeprefix("2.25."))
    assert len(uid) <= 64 and number >> 76 & 0xF == 8 and number >> 62 & 0x3 == 0b10


def test_an_outline_without_a_voxel_has_no_place():
    grid = a_grid()
    empty = mask_from_voxels(grid=grid, voxels=np.zeros((1, 1, 1), dtype=np.bool_))
    assert shape_of(Finding("x", Category.STRUCTURE, mask=empty)) is None
    assert shape_of(Finding("x", Category.STRUCTURE, mask=a_mask(grid))) == "mask"
