"""A judgement counts what the rules say, holds as long as the answers stay, and is refused where it would be unfair."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from imaging.evaluation.froc import Detection
from imaging.inference.applicability import validated_for
from imaging.inference.bundle import METADATA, Bundle, load_bundle
from imaging.phantom.chest import WantedNodule, chest_phantom
from imaging.phantom.dicom import write_series
from imaging.phantom.nodules import Attenuation, Site
from imaging.training import judge as module
from imaging.training.backgrounds import SOURCES
from imaging.training.held_out import FOLD_FIRST_SEED, FOLDS, INSERTED_REPEATS, UNSEEN, UNSEEN_FIRST_SEED, HeldOut
from imaging.training.judge import Share, judge_background, judge_phantoms
from imaging.training.judged import OWN, Judged, Known, figures, kept_judgement
from imaging.training.own_lesions import own_lesions
from imaging.training.scans import read_scan
from imaging.training.state import state
from imaging.types import Candidate, Prediction
from tests.imaging.inference.conftest import make_bundle, write_manifest

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("QASERVICE_REAL_DATA", ROOT.parent / "shared" / "data"))
HERE, THERE, NOWHERE = (0.0, 0.0, 0.0), (50.0, 0.0, 0.0), (200.0, 0.0, 0.0)


def known(
    centre: tuple[float, float, float], *, shows: bool = True, included: bool = True, kind: str = "solid"
) -> Known:
    return Known(centre, 10.0, kind, 1.25, included, shows)


def test_a_nodule_that_a_vessel_swallowed_counts_in_the_bars_figure_and_not_in_the_one_beside_it() -> None:
    seen = Detection(HERE, 0.9)
    found = figures([Judged("a", (known(HERE), known(THERE, shows=False)), (seen,))])
    assert (found["nodules"], found["hidden"]) == (2, 1)
    assert found["from_6_mm_at_1_fp"] == "1/2"
    beside = found["that_show"]
    assert isinstance(beside, dict)
    assert (beside["nodules"], beside["from_6_mm_at_1_fp"]) == (1, "1/1")
    assert beside["sensitivity_at_2_fp"]["value"] == 1.0


def test_a_candidate_on_a_swallowed_nodule_is_no_false_one_in_the_figure_beside() -> None:
    seen = (Detection(THERE, 0.95), Detection(HERE, 0.9))
    found = figures([Judged("a", (known(HERE), known(THERE, shows=False)), seen)])["that_show"]
    assert isinstance(found, dict)
    # With a false one above it, nothing would be found at an eighth of a false one a scan.
    assert found["cpm"]["value"] == 1.0


def test_what_a_background_holds_itself_is_in_no_table_and_no_count() -> None:
    own = Known(NOWHERE, 40.0, OWN, 0.0, False, True)
    found = figures([Judged("a", (known(HERE), own), (Detection(NOWHERE, 0.99), Detection(HERE, 0.9)))])
    assert found["by_kind_at_1_fp"] == {"solid": "1/1"}
    assert (found["nodules"], found["from_6_mm_at_1_fp"]) == (1, "1/1")


def test_where_no_nodule_shows_the_figure_beside_says_so() -> None:
    found = figures([Judged("a", (known(HERE, shows=False),), (Detection(HERE, 0.9),))])
    assert found["sensitivity_at_2_fp"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert "not_measured" in str(found["that_show"])


def planned(count: int) -> list[HeldOut]:
    wanted = (WantedNodule(12.0, Attenuation.SOLID, Site.ISOLATED),)
    return [HeldOut(number, (30, 80, 80), (5.0, 4.5, 4.5), wanted) for number in range(count)]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands in for the network, and tells which scans it was asked about."""
    names: list[str] = []

    def predict(volume, bundle, **_: object) -> Prediction:  # type: ignore[no-untyped-def]  # as judge calls it
        assert bundle.settings.applicability is None
        names.append(volume.series_instance_uid)
        return Prediction(
            model=bundle.identity,
            input_sha256="0" * 64,
            backend="none",
            threshold=0.5,
            candidates=(Candidate(HERE, 10.0, 0.7, None),),
            outlines=(),
            validated_diameters_mm=(4.0, 30.0),
            sensitivity_by_diameter=(),
            seconds=0.0,
            backend_refusals=(),
            weights_sha256=bundle.weights_sha256,
        )

    monkeypatch.setattr(module, "predict", predict)
    return names


def rewritten(folder: Path, **changes: object) -> Bundle:
    content = json.loads((folder / METADATA).read_text())
    content |= {name: value for name, value in changes.items() if name != "qa_settings"}
    content["qa_settings"] |= changes.get("qa_settings", {})  # type: ignore[operator]  # a mapping where it is given
    (folder / METADATA).write_text(json.dumps(content))
    write_manifest(folder)
    return load_bundle(folder, expected_sha256=None)


def test_a_judgement_holds_for_a_bundle_that_only_says_more_of_itself_and_for_no_other(
    tmp_path: Path, asked: list[str]
) -> None:
    folder = make_bundle(tmp_path)
    first = load_bundle(folder, expected_sha256=None)
    judged = judge_phantoms(bundle=first, folder=tmp_path / "kept", planned=planned(1))
    assert len(asked) == 1
    said = rewritten(folder, applicability={"slice_step_mm": [1.0, 3.0]}, judged={"phantoms": {}})
    assert said.identity.bundle_sha256 != first.identity.bundle_sha256
    assert judge_phantoms(bundle=said, folder=tmp_path / "kept", planned=planned(1)) == judged
    assert len(asked) == 1
    other = rewritten(folder, qa_settings={"calibration": [[0.0, 0.0], [1.0, 0.9]]})
    judge_phantoms(bundle=other, folder=tmp_path / "kept", planned=planned(1))
    assert len(asked) == 2
    assert kept_judgement(tmp_path / "kept" / "phantom-0.json") == judged[0]
    assert judged[0].known[0].shows in (True, False)


def test_a_bundle_states_what_it_was_judged_to_do_and_answers_as_before(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path)
    before = load_bundle(folder, expected_sha256=None)
    found = {"answers_digest": before.answers_digest, "detectability_at_1_fp": {"4-6 mm, solid, 1.25 mm": "7/8"}}
    judged = tmp_path / "judged.json"
    judged.write_text(json.dumps({"phantoms": found, "phantoms_digest": "left out"}))
    digest = state(bundle=folder, judged=judged, version="2")
    after = load_bundle(folder, expected_sha256=digest)
    assert (after.answers_digest, after.identity.version) == (before.answers_digest, "2")
    assert "1 to 3 mm" in validated_for(after.settings.applicability)
    assert after.settings.detectability is not None
    assert [(cell.found, cell.of) for cell in after.settings.detectability.cells] == [(7, 8)]
    # A new card is pinned by stating the same again.
    (folder / "docs").mkdir()
    (folder / "docs" / "README.md").write_text("what it cannot do")
    assert state(bundle=folder, judged=judged, version="2") != digest
    judged.write_text(json.dumps({"phantoms": {**found, "answers_digest": "of another"}}))
    with pytest.raises(ValueError, match="answers otherwise"):
        state(bundle=folder, judged=judged, version="3")
    assert load_bundle(folder, expected_sha256=None).identity.version == "2"


def test_parts_judge_every_scan_once_and_together_they_are_the_whole(tmp_path: Path, asked: list[str]) -> None:
    bundle = load_bundle(make_bundle(tmp_path), expected_sha256=None)
    parts = [
        judge_phantoms(bundle=bundle, folder=tmp_path / "kept", planned=planned(3), share=Share(number, 2, 1))
        for number in (1, 2)
    ]
    assert [len(part) for part in parts] == [2, 1]
    assert len(asked) == len(set(asked)) == 3
    whole = judge_phantoms(bundle=bundle, folder=tmp_path / "kept", planned=planned(3))
    assert len(asked) == 3
    assert {one.name for one in whole} == {one.name for part in parts for one in part}


def test_a_background_that_the_lineage_names_is_refused_and_another_is_judged_with_its_own_seeds(
    tmp_path: Path, asked: list[str]
) -> None:
    scan = chest_phantom(seed=21, shape=(40, 112, 112), spacing_mm=(4.0, 3.0, 3.0), nodule_count=0)
    write_series(case=scan, directory=tmp_path / "scans" / UNSEEN[0] / "ct")
    folder = make_bundle(tmp_path)
    judged = judge_background(
        name=UNSEEN[0],
        bundle=load_bundle(folder, expected_sha256=None),
        scans=tmp_path / "scans",
        folder=tmp_path / "kept",
        first_seed=UNSEEN_FIRST_SEED,
    )
    assert len(judged) == INSERTED_REPEATS
    # Slices of 4 mm: only nodules from 8 mm are counted.
    assert all(one.included == (one.diameter_mm >= 8.0) for each in judged for one in each.known)
    uid = scan.volume.series_instance_uid
    seen = {"places": {"background_series_instance_uids": {"x": uid}}}
    with pytest.raises(ValueError, match="was trained on"):
        judge_background(
            name=UNSEEN[0],
            bundle=rewritten(folder, lineage={"averaged_from": [{"started_from": seen}]}),
            scans=tmp_path / "scans",
            folder=tmp_path / "other",
            first_seed=UNSEEN_FIRST_SEED,
        )
    assert not (tmp_path / "other").exists()


def test_no_training_draws_from_the_unseen_backgrounds_and_no_seed_is_used_twice() -> None:
    assert not set(UNSEEN) & {source.name for source in SOURCES}
    assert not set(UNSEEN) & set(FOLDS)
    folds, unseen = (set(range(first, first + INSERTED_REPEATS)) for first in (FOLD_FIRST_SEED, UNSEEN_FIRST_SEED))
    # Calibration draws 0 and 1, the trial on lidc-0001 100 to 102.
    assert not folds & unseen and not (folds | unseen) & {0, 1, 100, 101, 102}


@pytest.mark.real_data
@pytest.mark.skipif(not DATA.is_dir(), reason="the folder of real scans (QASERVICE_REAL_DATA) is not there")
@pytest.mark.parametrize(("name", "least", "most"), [("lungdx-a0002", 10, 10), ("lidc-0001", 4, 60)])
def test_what_an_unseen_background_holds_itself_is_known(name: str, least: int, most: int) -> None:
    found = read_scan(folder=DATA, name=name, usable_mm=1000.0)
    assert found is not None
    own = own_lesions(scans=DATA, name=name, scan=found)
    assert least <= len(own) <= most
    assert all(10.0 <= one.diameter_mm <= 150.0 for one in own)
