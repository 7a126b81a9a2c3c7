"""A model that was trained on the data it is asked about: refused or marked, whatever the data are called now."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from imaging.phantom.chest import chest_phantom
from imaging.phantom.dicom import write_series
from qaservice.analysis import external
from qaservice.analysis.leakage import independence_of
from qaservice.analysis.models import FitnessEvaluation, FlagObservation, ObservationStanding, QAModel, SeriesStanding
from qaservice.analysis.standing import worth_of
from qaservice.projects.models import IdentityPolicy, Project
from qaservice.projects.services import set_policies
from qaservice.studies.identity import keys_of
from qaservice.studies.management.commands import create_identity_key
from qaservice.studies.models import Series
from tests.imaging.readers.label_makers import CENTRE_MM, OTHER_SERIES
from tests.imaging.readers.made import SERIES
from tests.qaservice.analysis.golden_site import WHY, ask_of_models, deliver, make_golden
from tests.qaservice.studies.deliveries import ingest, series_files, written_to

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore")]

ELSEWHERE_MM = CENTRE_MM[0] + 10.0


def model_of(lineage: object) -> QAModel:
    return QAModel(name="m", version="1", bundle_sha256="00" * 32, metadata={"lineage": lineage}, model_card="")


def known(series: Series, lineage: object) -> tuple[str, str]:
    found = independence_of(model=model_of(lineage), series=series)
    return str(found.independence), found.why


def held(project: Project, uid: str) -> Series:
    return Series.objects.select_related("study", "project").get(project=project, series_instance_uid=uid)


def test_a_series_its_study_and_its_patient_are_all_known_to_the_lineage(project: Project, tmp_path: Path) -> None:
    deliver(project, tmp_path / "in")
    one, other = held(project, SERIES), held(project, OTHER_SERIES)
    assert known(one, {"background_series_instance_uids": {"a": SERIES}}) == (
        "not-independent",
        "the model was trained on this series",
    )
    assert known(one, {"studies": [one.study.study_instance_uid]})[1] == "the model was trained on this study"
    assert known(one, {"patient_ids": [one.study.patient_key]})[1] == "the model was trained on this patient's data"
    assert one.study_id == other.study_id, "the made series lie in one study"
    beside = known(other, {"background_series_instance_uids": {"a": SERIES}})
    assert beside == ("not-independent", "the model was trained on another series of this study")
    assert known(one, {"started_from": {"uids": [SERIES]}})[0] == "not-independent"
    assert known(one, {"series_instance_uids": ["1.2.3.4.5.6"]})[0] == "independent"


@pytest.mark.parametrize("lineage", [None, {}, {"minutes": 60, "torch": "2.13.0+cpu"}, "trained on LIDC"])
def test_a_model_that_does_not_state_its_training_is_not_shown_to_be_independent(
    project: Project, tmp_path: Path, lineage: object
) -> None:
    deliver(project, tmp_path / "in")
    assert known(held(project, SERIES), lineage)[0] == "not-stated"


def test_a_phantom_is_known_by_its_seed_whatever_its_size(project: Project, tmp_path: Path) -> None:
    case = chest_phantom(seed=7, shape=(24, 64, 64), spacing_mm=(5.0, 5.0, 5.0), nodule_count=1)
    write_series(case=case, directory=tmp_path / "phantom")
    ingest(project, tmp_path / "phantom")
    series = held(project, case.volume.series_instance_uid)
    assert known(series, {"phantom_seeds": [5, 9]})[1] == "the model was trained on the phantom of this seed"
    assert known(series, {"phantom_seeds": [8, 9]})[0] == "independent"
    series.series_instance_uid = "2.25.1"
    assert known(series, {"phantom_seeds": [5, 9]})[1] == "the model was trained on this patient's data"


def test_de_identified_data_are_known_under_the_names_that_the_project_gave_them(
    project: Project, tmp_path: Path
) -> None:
    call_command(create_identity_key.Command(), stdout=StringIO())
    project = set_policies(project=project, policies={"identity_policy": IdentityPolicy.DEIDENTIFY}, **WHY)
    ingest(project, written_to(tmp_path / "in", series_files(PatientID="known-1")))
    series = Series.objects.select_related("study", "project").get(project=project)
    assert series.series_instance_uid == keys_of(project).uid(SERIES) != SERIES
    assert known(series, {"series_instance_uids": [SERIES]})[1] == "the model was trained on this series"
    assert known(series, {"patient_ids": ["known-1"]})[1] == "the model was trained on this patient's data"
    assert known(series, {"series_instance_uids": [OTHER_SERIES]})[0] == "independent"


@pytest.fixture
def trained(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose detector was trained on one of its two scans."""
    made = QAModel.save

    def with_lineage(self: QAModel, **asked: object) -> None:
        self.metadata["lineage"] = {"series_instance_uids": [SERIES]}
        made(self, **asked)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(external.QAModel, "save", with_lineage)
    deliver(project, tmp_path / "in", detector_x_mm=ELSEWHERE_MM)
    return project


def test_a_run_does_not_let_the_model_look_at_what_it_was_trained_on(trained: Project) -> None:
    call_command("analyze", project=trained.key, predictions="detector", stdout=StringIO())
    standing = SeriesStanding.objects.get(series__series_instance_uid=SERIES)
    assert (standing.independence, standing.refused) == ("not-independent", True)
    assert standing.why == "the model was trained on this series"
    assert not FlagObservation.objects.filter(
        flag__series__series_instance_uid=SERIES, threshold__isnull=False
    ).exists()
    parts = ObservationStanding.objects.filter(observation__flag__series__series_instance_uid=SERIES)
    assert set(parts.values_list("model_part", flat=True)) <= {"none"}


def test_a_project_may_let_it_look_and_have_it_marked_wherever_it_is_shown(trained: Project) -> None:
    set_policies(project=trained, policies={"leakage_policy": "mark"}, **WHY)
    call_command("analyze", project=trained.key, predictions="detector", stdout=StringIO())
    standing = SeriesStanding.objects.get(series__series_instance_uid=SERIES)
    assert (standing.independence, standing.refused) == ("not-independent", False)
    observation = FlagObservation.objects.filter(
        flag__series__series_instance_uid=SERIES, flag__check_name="missing_nodule"
    ).get()
    assert worth_of(observation).marks == (
        "unproven model",
        "not independent: the model was trained on this data",
    )


def test_golden_cases_of_the_lineage_prove_nothing_and_are_left_out(trained: Project) -> None:
    make_golden(trained)
    ask_of_models(trained, least_nodules="1")
    call_command("evaluate_model", project=trained.key, predictions="detector", stdout=StringIO())
    made = FitnessEvaluation.objects.get()
    left_out = {one["series_instance_uid"]: one["left_out_because"] for one in made.cases}
    assert left_out[SERIES] == "the model was trained on this series"
    counted = [uid for uid, why in left_out.items() if not why]
    assert made.figures.get("scans", 0) == len(counted)
