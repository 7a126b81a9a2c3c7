"""The life of one record: who, when, why, what changed in plain words, where it is sealed, and what its pixels were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.db import models
from django.test import Client
from django.urls import reverse

from compliance.checkpoints import publish
from compliance.models import Event
from compliance.recording import SYSTEM
from compliance.redaction import redact
from imaging.pictures.crop import CORRECTED, LABEL
from qaservice.labels.models import FindingRevision
from qaservice.projects.models import Project
from qaservice.projects.services import set_policies
from qaservice.studies.models import Series
from qaservice.trail import sealing
from qaservice.trail.differences import changes_between
from qaservice.trail.life import Life, life_of
from qaservice.trail.outlines import outline_picture
from qaservice.trail.words import label_of, value_words
from tests.imaging.pictures.test_crop import decode
from tests.qaservice.trail.scene import ADDED, CHANGED_MOST, KEPT, REMOVED, VOXEL_MM3, Scene

pytestmark = pytest.mark.django_db


def life(scene: Scene, table: str, key: object) -> Life:
    return life_of(project=scene.site.project, table=table, key=str(key))


@pytest.mark.requirement("REQ-08")
@pytest.mark.requirement("REQ-30")
def test_a_flag_tells_each_state_with_person_reason_change_and_place_in_the_ledger(scene: Scene):
    publish()
    flag = scene.site.flags[0]
    found = life(scene, "analysis_flag", flag.pk)
    raised, settled = found.states
    assert (raised.what, settled.what) == ("created", "changed")
    assert [(one.label, one.before, one.after) for one in settled.changes] == [
        ("State", "open", "settled"),
        ("Outcome", "nothing", "label wrong"),
    ]
    event = settled.told.event
    assert (event.kind, event.actor_role) == ("flag.settled", "system") and "2 of 2 final verdicts" in event.reason
    seal = settled.told.seal
    assert seal.index is not None and seal.checkpoint is not None and seal.checkpoint > seal.index and seal.fits
    assert [(one.label, one.original, one.value) for one in found.changed] == [
        ("State", "open", "settled"),
        ("Outcome", "nothing", "label wrong"),
    ]
    assert found.sound and "verdict.given" in {one.event.kind for one in found.events}


@pytest.mark.requirement("REQ-11")
def test_a_flag_that_led_to_a_correction_tells_the_original_the_prompt_and_the_change(scene: Scene):
    found = life(scene, "analysis_flag", scene.site.flags[0].pk)
    [correction] = found.corrections
    assert correction.chain.original is None, "the reference standard held nothing there"
    prompt = dict(correction.chain.prompt)
    assert prompt["Reason"] == "The model gives 94 % for a 7 mm nodule here; this reader marked nothing."
    assert "ab" * 32 in prompt["Run"]
    assert correction.chain.change.shape == "sphere" and correction.chain.action == "add"
    kinds = {kind.kind: len(kind.rows) for kind in found.related}
    assert kinds["verdict"] == 4 and kinds["consensus"] == 1 and kinds["correction"] == 1 and kinds["assignment"] == 3
    said = dict(next(kind for kind in found.related if kind.kind == "verdict").rows[0].said)
    assert said["Decision"] == "Label is right" and said["Phase"] == "before the reveal"


@pytest.mark.requirement("REQ-08")
def test_a_project_tells_its_changed_policies_by_name_and_part(scene: Scene):
    project = Project.objects.get(pk=scene.site.project.pk)
    lead = scene.site.lead.as_actor(role="qa_lead")
    set_policies(
        project=project,
        policies={"gate_policy": {"missing-slices": "quarantine"}, "leakage_policy": "mark"},
        actor=lead,
        reason="site 3 loses slices",
    )
    *_, last = life(scene, "projects_project", project.pk).states
    told = {one.label: (one.before, one.after) for one in last.changes}
    assert told["Gate policy: Missing slices"] == ("nothing", "quarantine")
    assert told["Leakage policy"][1].startswith("let it look, and mark what it says as not independent")
    assert (last.told.event.actor_name, last.told.event.reason) == (lead.name, "site 3 loses slices")


def test_words_are_plain_and_values_that_differ_never_read_alike():
    assert label_of("bundle_sha256") == "Bundle SHA-256" and label_of("volume_mm3") == "Volume mm³"
    assert value_words({"a_b": [1.5, None, True]}) == "A b: 1.5, nothing, yes"
    before, after = Series(modality="CT", instance_count=3), Series(modality="MR", instance_count=3)
    assert [(one.name, one.before, one.after) for one in changes_between(before, after)] == [("modality", "CT", "MR")]
    near, nearer = FindingRevision(x_mm=1.00000001), FindingRevision(x_mm=1.00000002)
    [change] = changes_between(near, nearer)
    assert change.before != change.after


@pytest.mark.requirement("REQ-08")
def test_the_redrawn_outline_is_told_in_voxels_and_millimetres(scene: Scene, at: Callable[[str], Client]):
    found = life(scene, "labels_finding", scene.after.finding_id)
    first, second = found.states
    assert first.outline is not None and first.outline.words[0][0] == "First outline"
    assert second.outline is not None and second.outline.figures is not None
    figures = second.outline.figures
    assert (figures.kept, figures.added, figures.removed) == (KEPT, ADDED, REMOVED)
    assert figures.voxel_mm3 == pytest.approx(VOXEL_MM3)
    assert figures.dice == pytest.approx(2 * KEPT / (2 * KEPT + ADDED + REMOVED))
    assert (figures.slice_index, second.outline.image_number) == (CHANGED_MOST, CHANGED_MOST + 1)
    page = at("auditor").get(reverse("portal:record", args=["lung", "labels_finding", scene.after.finding_id]))
    text = page.content.decode()
    assert "60 voxels, 84.4 mm³" in text and "24 voxels, 33.8 mm³" in text and "0.364" in text
    assert "changed since the original entry" in text and "<b>R</b><img" in text
    told = at("auditor").get(reverse("api:record", args=["lung", "labels_finding", scene.after.finding_id])).json()
    assert told["states"][1]["outline"]["voxels_added"] == ADDED and told["sound"] is True


@pytest.mark.requirement("REQ-08")
def test_in_the_picture_left_is_left_and_before_and_after_lie_on_their_voxels(scene: Scene):
    picture = outline_picture(scene.after)
    assert picture.crop.letters.right.startswith("L") and picture.crop.letters.left.startswith("R")
    assert (picture.crop.slice_index, picture.image_number) == (CHANGED_MOST, CHANGED_MOST + 1)
    indices, _palette = decode(picture.crop.png)
    before, after = np.argwhere(indices == LABEL), np.argwhere(indices == CORRECTED)
    # The outline moved towards the patient's left, which is the picture's right.
    assert after[:, 1].max() > before[:, 1].max() and after[:, 1].min() > before[:, 1].min()
    # 4 columns of 0.75 mm before, 6 after; both begin at the same row, and the later one is two rows taller.
    pixel_mm = 40.0 / 384
    wide = [(spots[:, 1].max() - spots[:, 1].min()) * pixel_mm for spots in (before, after)]
    assert wide == pytest.approx([4 * 0.75, 6 * 0.75], abs=0.6)
    assert abs(int(after[:, 0].min()) - int(before[:, 0].min())) <= 2
    assert (after[:, 0].max() - before[:, 0].max()) * pixel_mm == pytest.approx(2 * 0.75, abs=0.4)


@pytest.mark.requirement("REQ-39")
def test_what_was_redacted_shows_as_redacted_and_still_fits_the_ledger(scene: Scene, at: Callable[[str], Client]):
    publish()
    event = Event.objects.get(kind="flag.settled", subject_id=str(scene.site.flags[0].pk))
    redact(event_id=event.pk, fields=["outcome"], actor=SYSTEM, reason="named a person")
    found = life(scene, "analysis_flag", scene.site.flags[0].pk)
    told = next(one for one in found.events if one.event.pk == event.pk)
    assert told.event.redacted == ["outcome"] and told.seal.fits
    page = at("auditor").get("/projects/lung/trail/", {"kind": "flag.settled", "subject": event.subject_id})
    assert "<dt>Outcome</dt><dd><em>redacted</em></dd>" in page.content.decode()


@pytest.mark.requirement("REQ-01")
def test_a_page_says_so_where_a_row_or_an_event_is_not_what_the_ledger_says(
    scene: Scene, at: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
):
    publish()
    key = scene.site.flags[0].pk
    address = reverse("portal:record", args=["lung", "analysis_flag", key])
    assert "Every row and event on this page" in at("auditor").get(address).content.decode()
    shown: Any = sealing.row_values

    def altered(row: models.Model, **options: Any) -> dict[str, object]:
        values = dict(shown(row, **options))
        return values | ({"score": "0.1"} if "score" in values else {})

    # As it would be read from a database whose triggers somebody had taken away.
    monkeypatch.setattr(sealing, "row_values", altered)
    text = at("auditor").get(address).content.decode()
    assert "not what its event says" in text and "Something on this page is not what the ledger says" in text


def test_secrets_and_records_that_are_not_there_are_not_shown(scene: Scene, at: Callable[[str], Client]):
    client = at("auditor")
    for table, key in (
        ("analysis_flag", scene.site.series.pk),
        ("accounts_user", scene.auditor.pk),
        ("compliance_event", Event.objects.first().pk),  # type: ignore[union-attr]  # there is one
        ("nothing", "x"),
        ("analysis_flag", "x"),
    ):
        assert client.get(reverse("api:record", args=["lung", table, key])).status_code == 404, (table, key)
