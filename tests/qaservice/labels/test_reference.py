"""The reference standard: how it begins, what a settled correction does to it, and that no reader's record changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compliance.models import Event
from compliance.recording import SYSTEM, change
from imaging.errors import NotApplicable
from imaging.masks.build import mask_from_sphere
from imaging.types import Action, AnnotationImport, Category, Mask, PointMm, Rejection, Sphere
from imaging.types import AnnotationSet as ImagingSet
from imaging.types import Finding as ImagingFinding
from imaging.types import SetKind as ImagingKind
from qaservice.accounts.services import create_user
from qaservice.common.errors import Conflict, InvalidInput, NotPermitted
from qaservice.labels.models import AnnotationSet, DatasetVersion, Finding, FindingRevision
from qaservice.labels.selectors import (
    annotation_sets_of,
    current_revisions,
    manifest_of,
    mask_of,
    reader_sets,
    reference_findings,
    reference_set,
    sets_of_user,
)
from qaservice.labels.services import (
    correct_reference,
    fix_dataset_version,
    identify_reader,
    import_annotations,
    publish_guideline,
)
from qaservice.projects.models import Project
from qaservice.storage.services import write_bytes
from qaservice.studies.models import Series
from qaservice.studies.selectors import grid_of
from tests.qaservice.studies.deliveries import ingest, slice_file, written_to

pytestmark = pytest.mark.django_db

# The made series spans x -4..1.5, y -3..0.5 (0.5 mm voxels) and z 10..38.5 (1.5 mm steps).
HERE: PointMm = (-1.5, -1.5, 19.0)
THERE: PointMm = (0.5, -0.5, 34.0)
GE3 = Category.NODULE_GE_3MM
LT3 = Category.NODULE_LT_3MM


@pytest.fixture
def series(project: Project, tmp_path: Path) -> Series:
    files = {f"{number:02d}.dcm": slice_file(number=number) for number in range(20)}
    ingest(project, written_to(tmp_path / "in", files))
    return Series.objects.select_related("project", "study").get()


def ball(series: Series, centre: PointMm, diameter: float) -> Mask:
    return mask_from_sphere(grid=grid_of(series), sphere=Sphere(centre_mm=centre, diameter_mm=diameter))


def reader(name: str, *findings: ImagingFinding, read: bool = True) -> ImagingSet:
    return ImagingSet(set_id=name, reader_label=name, kind=ImagingKind.READER, read=read, findings=findings)


def outlined(name: str, mask: Mask, category: Category = GE3) -> ImagingFinding:
    return ImagingFinding(finding_id=name, category=category, mask=mask, source_label=name)


def brought_in(
    series: Series, *sets: ImagingSet, rejections: tuple[Rejection, ...] = (), simulated: bool = False
) -> list[AnnotationSet]:
    return import_annotations(
        series=series,
        annotation_import=AnnotationImport("lidc-xml", series.series_instance_uid, sets, rejections),
        source=write_bytes(data=repr([one.set_id for one in sets]).encode(), media_type="application/xml"),
        simulated=simulated,
        actor=SYSTEM,
        reason="a test brings labels in",
    )


def three_of_four(series: Series) -> list[AnnotationSet]:
    """Three readers outline a nodule of 4 mm alike, the fourth read and marked only something else."""
    mask = ball(series, HERE, 4.0)
    return brought_in(
        series,
        *(reader(f"r{number}", outlined(f"r{number}/n", mask)) for number in (1, 2, 3)),
        reader("r4", ImagingFinding(finding_id="r4/p", category=LT3, point_mm=THERE)),
    )


def correct(
    series: Series,
    action: Action,
    *,
    before: Finding | None = None,
    place: PointMm = HERE,
    shape: Mask | Sphere | None = None,
    category: str | None = None,
) -> tuple[FindingRevision | None, FindingRevision | None]:
    with change("reference.corrected", actor=SYSTEM, reason="readers agreed", subject=("series", str(series.pk))):
        return correct_reference(
            series=series,
            action=action,
            before_finding=before,
            place_mm=place,
            shape=shape,
            category=category,
            origin="outline accepted by consensus",
        )


def test_labels_come_back_as_they_went_in(series: Series) -> None:
    [row, *_] = three_of_four(series)
    sets = annotation_sets_of(series=series)
    assert [one.reader_label for one in sets] == ["r1", "r2", "r3", "r4"]
    [finding] = sets[0].findings
    expected = ball(series, HERE, 4.0)
    assert finding.mask is not None and finding.mask.origin == expected.origin
    assert np.array_equal(finding.mask.voxels, expected.voxels)
    [revision] = current_revisions(set_id=str(row.pk))
    assert mask_of(revision).count == expected.count and revision.diameter_mm is not None
    assert revision.measurement["long_axis_mm"] == revision.diameter_mm
    [point] = current_revisions(set_id=str(reader_sets(series=series).get(reader_label="r4").pk))
    assert (point.x_mm, point.y_mm, point.z_mm) == THERE
    with pytest.raises(NotApplicable):
        mask_of(point)


def test_labels_brought_in_twice_are_there_once(series: Series) -> None:
    first = three_of_four(series)
    assert [row.pk for row in three_of_four(series)] == [row.pk for row in first]
    assert AnnotationSet.objects.count() == 4


def test_a_reader_who_found_nothing_is_told_apart_from_one_who_did_not_read(series: Series) -> None:
    brought_in(series, reader("found-nothing"), reader("away", read=False))
    assert {one.reader_label: one.read for one in annotation_sets_of(series=series)} == {
        "found-nothing": True,
        "away": False,
    }
    assert [row.reader_label for row in reader_sets(series=series)] == ["found-nothing"]


def test_what_could_not_be_taken_stands_with_the_set_it_concerns(series: Series) -> None:
    mask = ball(series, HERE, 4.0)
    about_one = Rejection("z-disagrees", "one mark lies elsewhere", ("b/n",))
    about_set = Rejection("spacing-disagrees", "half a millimetre", ("a", "a/refused", "1.2.3"))
    about_all = Rejection("unread-coordinates", "three points", ())
    rows = brought_in(
        series,
        reader("a", outlined("a/n", mask)),
        reader("b", outlined("b/n", mask)),
        rejections=(about_one, about_set, about_all),
    )
    kept = {row.reader_label: row.rejections for row in rows}
    assert [one["code"] for one in kept["a"]] == ["spacing-disagrees", "unread-coordinates"]
    assert kept["a"][0]["subjects"] == [str(rows[0].pk), f"{rows[0].pk}/refused", "1.2.3"]
    [remark] = kept["b"]
    assert remark["subjects"] == [str(Finding.objects.get(source_label="b/n").pk)], "named by its row"


def test_a_refused_source_leaves_its_reasons_and_no_reading(series: Series) -> None:
    [row] = brought_in(series, rejections=(Rejection("label-outside-image", "125 mm beyond", ("x",)),))
    assert not row.read and row.kind == "algorithm" and row.rejections[0]["code"] == "label-outside-image"
    assert annotation_sets_of(series=series) == ()


def test_simulated_labels_are_marked_and_refused_where_regulated(series: Series) -> None:
    [row] = brought_in(series, reader("machine"), simulated=True)
    assert row.simulated
    series.project.regulated = True
    with pytest.raises(NotPermitted):
        brought_in(series, reader("another"), simulated=True)


@pytest.mark.requirement("REQ-32")
def test_a_reference_standard_begins_as_what_a_majority_of_readers_marked(series: Series) -> None:
    three_of_four(series)
    assert reference_set(series) is None and reference_findings(series) == []
    before, after = correct(series, Action.REMOVE, place=THERE)
    assert (before, after) == (None, None), "one reader of four is no majority: there was nothing to remove"
    [revision] = reference_findings(series)
    assert revision.category == GE3 and "3 of 4" in revision.origin
    assert mask_of(revision).count == ball(series, HERE, 4.0).count
    assert Event.objects.get(kind="reference.opened").payload["findings"] == 1


@pytest.mark.requirement("REQ-11")
def test_the_withheld_mark_of_one_reader_is_in_the_reference_standard_already(series: Series) -> None:
    three_of_four(series)
    before, after = correct(series, Action.ADD, shape=ball(series, HERE, 4.0), category=GE3)
    assert before is not None and after is None
    assert len(reference_findings(series)) == 1


@pytest.mark.requirement("REQ-11")
def test_a_missed_nodule_is_added(series: Series) -> None:
    three_of_four(series)
    before, after = correct(
        series, Action.ADD, place=THERE, shape=Sphere(centre_mm=THERE, diameter_mm=3.0), category=GE3
    )
    assert before is None and after is not None and after.number == 1
    assert (after.shape, after.diameter_mm, after.origin) == ("sphere", 3.0, "outline accepted by consensus")
    assert len(reference_findings(series)) == 2
    again = correct(series, Action.ADD, place=THERE, shape=Sphere(centre_mm=THERE, diameter_mm=3.0), category=GE3)
    assert again[1] is None and len(reference_findings(series)) == 2


@pytest.mark.requirement("REQ-11")
def test_a_spurious_finding_is_taken_out_and_the_original_stays(series: Series) -> None:
    [row, *_] = three_of_four(series)
    own = Finding.objects.get(annotation_set=row)
    before, after = correct(series, Action.REMOVE, before=own)
    assert before is not None and after is not None
    assert (before.number, before.present, after.number, after.present) == (1, True, 2, False)
    assert reference_findings(series) == []
    assert len(annotation_sets_of(series=series)[0].findings) == 1, "the reader's own record is as it was"
    assert FindingRevision.objects.filter(finding=own).count() == 1


@pytest.mark.requirement("REQ-11")
def test_an_outline_is_replaced_in_the_reference_standard_alone(series: Series) -> None:
    [row, *_] = three_of_four(series)
    own = Finding.objects.get(annotation_set=row)
    better = ball(series, HERE, 3.0)
    before, after = correct(series, Action.REPLACE_OUTLINE, before=own, shape=better)
    assert before is not None and after is not None and after.category == GE3
    assert mask_of(after).count == better.count < mask_of(before).count
    assert correct(series, Action.REPLACE_OUTLINE, before=own, shape=better)[1] is None, "said so already"
    own_mask = annotation_sets_of(series=series)[0].findings[0].mask
    assert own_mask is not None and own_mask.count == mask_of(before).count


def test_an_outline_of_something_the_reference_lacks_is_added(series: Series) -> None:
    rows = three_of_four(series)
    own = Finding.objects.get(annotation_set=next(row for row in rows if row.reader_label == "r4"))
    before, after = correct(
        series, Action.REPLACE_OUTLINE, before=own, place=THERE, shape=Sphere(centre_mm=THERE, diameter_mm=2.0)
    )
    assert before is None and after is not None and after.category == LT3


def test_a_category_is_changed_and_the_shape_stays(series: Series) -> None:
    [row, *_] = three_of_four(series)
    own = Finding.objects.get(annotation_set=row)
    before, after = correct(series, Action.RECATEGORISE, before=own, category=Category.NON_NODULE)
    assert before is not None and after is not None
    assert after.category == Category.NON_NODULE and after.mask_id == before.mask_id
    assert correct(series, Action.RECATEGORISE, before=own, category=Category.NON_NODULE)[1] is None


def test_a_recategorised_finding_the_reference_lacks_enters_as_it_was_drawn(series: Series) -> None:
    rows = three_of_four(series)
    own = Finding.objects.get(annotation_set=next(row for row in rows if row.reader_label == "r4"))
    before, after = correct(series, Action.RECATEGORISE, before=own, place=THERE, category=Category.NON_NODULE)
    assert before is None and after is not None and after.shape == "point"


@pytest.mark.parametrize(
    ("action", "shape", "category", "code"),
    [
        (Action.ADD, Sphere(centre_mm=THERE, diameter_mm=3.0), None, "correction-without-category"),
        (Action.ADD, None, "nodule >= 3 mm", "correction-without-shape"),
        (Action.RECATEGORISE, None, None, "correction-without-category"),
        (Action.RECATEGORISE, None, "nodule >= 3 mm", "correction-without-shape"),
        (Action.ADD, Sphere(centre_mm=THERE, diameter_mm=3.0), "a big one", "no-such-category"),
    ],
)
def test_a_correction_that_does_not_say_enough_is_refused(
    series: Series, action: Action, shape: Sphere | None, category: str | None, code: str
) -> None:
    three_of_four(series)
    with pytest.raises(InvalidInput) as refusal:
        correct(series, action, place=THERE, shape=shape, category=category)
    assert refusal.value.code == code


@pytest.mark.requirement("REQ-20")
def test_a_dataset_version_is_fixed_once_for_the_same_labels(series: Series, project: Project) -> None:
    three_of_four(series)
    first = fix_dataset_version(project=project, note="first", actor=SYSTEM, reason="a test")
    assert (first.number, first.series_count, first.finding_count) == (1, 1, 4)
    same = fix_dataset_version(project=project, note="again", actor=SYSTEM, reason="a test")
    assert same.pk == first.pk
    correct(series, Action.REMOVE)
    second = fix_dataset_version(project=project, note="after", actor=SYSTEM, reason="a test")
    assert (second.number, second.parent_id) == (2, first.pk)
    [entry] = manifest_of(second)["series"]
    reference = next(one for one in entry["sets"] if one["kind"] == "reference")
    assert [(one["revision"], one["present"]) for one in reference["findings"]] == [(2, False)]
    publish_guideline(project=project, title="Ours", text="Outline every nodule.", actor=SYSTEM, reason="a test")
    third = fix_dataset_version(project=project, note="new rules", actor=SYSTEM, reason="a test")
    assert third.number == 3 and third.guideline.number == 2
    assert DatasetVersion.objects.count() == 3


@pytest.mark.requirement("REQ-16")
def test_a_reader_named_in_a_source_is_linked_to_an_account(series: Series, project: Project) -> None:
    [row, *_] = three_of_four(series)
    user = create_user(username="ada", display_name="Ada", password=None, actor=SYSTEM, reason="a test")
    other = create_user(username="bea", display_name="Bea", password=None, actor=SYSTEM, reason="a test")
    assert sets_of_user(project=project, user=user) == frozenset()
    arguments = {"project": project, "reader_label": "r1", "actor": SYSTEM, "reason": "she says so"}
    identity = identify_reader(user=user, **arguments)  # type: ignore[arg-type]  # one dict of mixed arguments
    assert sets_of_user(project=project, user=user) == {str(row.pk)}
    assert identify_reader(user=user, **arguments).pk == identity.pk  # type: ignore[arg-type]  # as above
    identify_reader(user=other, **arguments)  # type: ignore[arg-type]  # as above
    assert sets_of_user(project=project, user=user) == frozenset()
    assert sets_of_user(project=project, user=other) == {str(row.pk)}
    with pytest.raises(Conflict):
        identify_reader(project=project, reader_label="nobody", user=user, actor=SYSTEM, reason="a test")
