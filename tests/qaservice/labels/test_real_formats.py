"""Published data in other formats through the whole service: boxes, structures and a list of scans."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from imaging.types import Category
from qaservice.labels.models import AnnotationSet
from qaservice.labels.selectors import annotation_sets_of
from qaservice.projects.models import Project
from qaservice.studies.models import IngestItem, Series
from qaservice.studies.quarantine import quarantined
from tests.imaging.readers import real
from tests.qaservice.studies.deliveries import ingest, outcomes

pytestmark = [pytest.mark.real_data, pytest.mark.django_db, pytest.mark.filterwarnings("ignore")]


@pytest.mark.requirement("REQ-17")
def test_ten_boxes_are_placed_as_one_reading_and_eight_name_a_series_that_is_not_here(project: Project) -> None:
    done = ingest(project, real.folder() / "lungdx-a0002.zip")
    boxes = {name: outcome for name, outcome in outcomes(done).items() if name.endswith(".xml")}
    assert Counter(boxes.values()) == {("stored", ""): 10, ("refused", "images-not-held"): 8}
    [one] = annotation_sets_of(series=Series.objects.get())
    assert len(one.findings) == 10 and all(finding.box is not None for finding in one.findings)
    assert {finding.round_trip.mm < 1e-6 for finding in one.findings if finding.round_trip} == {True}
    waiting = quarantined(project=project, state="open", code="images-not-held")
    assert waiting.count() == 8
    for item in waiting:
        assert Path(item.name).stem in item.message, "the image that is missing is named"


def test_a_planning_s_tumour_is_a_nodule_and_its_other_structures_stay_structures(project: Project) -> None:
    ingest(project, real.folder() / "4dlung.zip")
    [one] = annotation_sets_of(series=Series.objects.get())
    assert {finding.source_label: finding.category for finding in one.findings} == {
        "Tumor_c40": Category.NODULE_GE_3MM,
        "LN_c40": Category.STRUCTURE,
        "Carina_c40": Category.STRUCTURE,
        "Vertebra_c40": Category.STRUCTURE,
    }


def test_a_list_of_many_scans_gives_the_one_that_is_held_its_nodule_and_names_the_others(project: Project) -> None:
    ingest(project, real.folder() / "lidc-0001.zip")
    done = ingest(project, real.folder() / "luna16-annotations.csv")
    item = IngestItem.objects.get(ingest=done)
    assert (item.outcome, item.code) == ("stored", "part-not-held")
    row = AnnotationSet.objects.get(source_id=item.sha256)
    [finding] = next(one for one in annotation_sets_of(series=row.series) if one.set_id == str(row.pk)).findings
    assert finding.sphere is not None
