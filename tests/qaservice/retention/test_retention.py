"""Keeping and destroying: schedules, holds, disposition by two people, withdrawal that can be proved."""

from __future__ import annotations

import datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from compliance import outside
from compliance.contents import verify_contents
from compliance.models import Event
from compliance.outside import Finding
from compliance.recording import SYSTEM
from compliance.verification import verify_live
from qaservice.accounts.alerts import open_alerts
from qaservice.accounts.models import User
from qaservice.common.errors import Conflict, Gone, InvalidInput, NotPermitted
from qaservice.jobs.registry import all_housekeeping
from qaservice.projects.models import Project
from qaservice.projects.services import create_project
from qaservice.retention import destruction, selectors, services, watch
from qaservice.retention.models import Destruction, DestructionState, DispositionState, RecordClass
from qaservice.storage import files
from qaservice.storage.models import Blob, DestroyedBlob
from qaservice.storage.selectors import read_blob
from qaservice.studies.models import IngestItem, Instance, Series, Study
from qaservice.studies.selectors import accepted_series, slice_hounsfield, volume_of
from tests.factories.records import make_user
from tests.qaservice.studies.deliveries import SLICES, ingest, outcomes, series_files, slice_file, written_to

pytestmark = [pytest.mark.django_db(transaction=False), pytest.mark.requirement("REQ-41")]

WHY = {"actor": SYSTEM, "reason": "a test says so"}
OTHER = "2.25.77"
ENTRIES = {name: {"years": 2, "basis": "ICH E6(R3)"} for name in RecordClass.values}


@pytest.fixture
def people(db: None) -> tuple[User, User]:
    return make_user("proposer"), make_user("approver")


@pytest.fixture
def study(project: Project, tmp_path: Path) -> Study:
    ingest(project, written_to(tmp_path / "delivery", series_files()))
    return Study.objects.get(project=project)


def series_of(study: Study) -> Series:
    return Series.objects.get(study=study)


def digests(study: Study) -> list[str]:
    return sorted(Instance.objects.filter(study=study).values_list("blob_id", flat=True))


def on_disk(study: Study) -> list[bool]:
    return [files.path_of(digest).exists() for digest in digests(study)]


def later(monkeypatch: pytest.MonkeyPatch, years: int) -> None:
    moment = datetime.datetime.now(tz=datetime.UTC) + datetime.timedelta(days=366 * years)
    monkeypatch.setattr(services, "now", lambda: moment)


def events(kind: str) -> list[dict[str, Any]]:
    return list(Event.objects.filter(kind=kind).order_by("occurred_at").values_list("payload", flat=True))


def test_a_schedule_speaks_of_every_class_and_is_versioned(project: Project) -> None:
    assert selectors.current_schedule(project) is None
    for entries, what in (
        ({"images": {"years": 2, "basis": "x"}}, "a schedule says how long for each of"),
        (ENTRIES | {"images": {"years": True, "basis": "x"}}, "images: the years are a whole number"),
        (ENTRIES | {"images": {"years": 0, "basis": "x"}}, "images: the years are a whole number"),
        (ENTRIES | {"trail": {"years": 9, "basis": " "}}, "trail: say on what basis"),
    ):
        with pytest.raises(InvalidInput, match=what):
            services.set_schedule(project=project, entries=entries, **WHY)
    first = services.set_schedule(project=project, entries=ENTRIES, **WHY)
    longer = ENTRIES | {"images": {"years": 5, "basis": "a new contract"}}
    second = services.set_schedule(project=project, entries=longer, **WHY)
    assert (first.number, second.number) == (1, 2)
    assert selectors.current_schedule(project) == second
    assert [one["number"] for one in events("retention.schedule-set")] == [1, 2]


@pytest.mark.requirement("REQ-05")
def test_nothing_is_destroyed_within_retention_under_a_hold_or_by_one_person(
    study: Study, people: tuple[User, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, (proposer, approver) = study.project, people

    def propose() -> Any:
        return services.propose(project=project, studies=[study], by=proposer, **WHY)

    with pytest.raises(Conflict, match="no retention schedule"):
        propose()
    services.set_schedule(project=project, entries=ENTRIES, **WHY)
    with pytest.raises(Conflict, match="has to be kept until"):
        propose()
    later(monkeypatch, 3)
    with pytest.raises(InvalidInput, match="name the studies"):
        services.propose(project=project, studies=[], by=proposer, **WHY)
    hold = services.place_hold(project=project, study=None, matter="case 12/2031", **WHY)
    with pytest.raises(Conflict, match=r"under a legal hold \(case 12/2031\)"):
        propose()
    services.lift_hold(hold=hold, **WHY)
    with pytest.raises(Conflict, match="lifted before"):
        services.lift_hold(hold=type(hold).objects.get(), **WHY)
    disposition = propose()
    with pytest.raises(NotPermitted, match="ask a colleague"):
        services.approve(disposition=disposition, by=proposer, **WHY)
    with pytest.raises(Conflict, match="possible only from approved"):
        services.carry_out(disposition=disposition, **WHY)
    with pytest.raises(NotPermitted, match="simulated"):
        services.approve(disposition=disposition, by=make_user("bot", kind="simulated"), **WHY)
    approved = services.approve(disposition=disposition, by=approver, **WHY)
    services.place_hold(project=project, study=study, matter="case 13/2031", **WHY)
    with pytest.raises(Conflict, match="case 13/2031"):
        services.carry_out(disposition=approved, **WHY)
    assert all(on_disk(study))
    assert services.drop(disposition=approved, **WHY).state == DispositionState.DROPPED
    with pytest.raises(InvalidInput, match="what the hold is about"):
        services.place_hold(project=project, study=None, matter=" ", **WHY)


def test_a_disposition_by_two_destroys_what_it_lists_and_the_record_still_verifies(
    study: Study, people: tuple[User, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, (proposer, approver) = study.project, people
    services.set_schedule(project=project, entries=ENTRIES, **WHY)
    volume_of(series_of(study))
    later(monkeypatch, 3)
    disposition = services.propose(project=project, studies=[study], by=proposer, **WHY)
    approved = services.approve(disposition=disposition, by=approver, **WHY)
    longer = ENTRIES | {"images": {"years": 9, "basis": "a new contract"}}
    services.set_schedule(project=project, entries=longer, **WHY)
    with pytest.raises(Conflict, match="by version 2 of the schedule"):
        services.carry_out(disposition=approved, **WHY)
    services.set_schedule(project=project, entries=ENTRIES, **WHY)
    assert services.carry_out(disposition=approved, **WHY).state == DispositionState.CARRIED_OUT
    (done,) = selectors.destructions_of(project)
    assert (done.state, done.blobs, done.cause) == (DestructionState.DONE, SLICES, "disposed")
    assert destruction.listed(done) == digests(study)
    assert not any(on_disk(study))
    with pytest.raises(Gone, match="time of keeping the images of this study is over"):
        volume_of(series_of(study))
    assert verify_live().ok
    assert verify_contents() == []
    with pytest.raises(Conflict, match="destroyed before"):
        services.propose(project=project, studies=[study], by=proposer, **WHY)
    row = type(disposition).objects.get()
    with pytest.raises(IntegrityError), transaction.atomic():
        type(row)._base_manager.filter(pk=row.pk).update(approved_by=row.proposed_by)


@pytest.mark.requirement("REQ-42")
def test_a_withdrawal_destroys_the_pixel_data_verifiably_and_keeps_the_proof(study: Study, tmp_path: Path) -> None:
    project = study.project
    with pytest.raises(InvalidInput, match="a use is one or more of"):
        services.record_use(study=study, purposes=["anything"], basis="x", until=None, **WHY)
    with pytest.raises(InvalidInput, match="on what basis"):
        services.record_use(study=study, purposes=["training"], basis="", until=None, **WHY)
    use = services.record_use(study=study, purposes=["training", "label-quality"], basis="form 3", until=None, **WHY)
    assert services.record_use(study=study, purposes=["training"], basis="form 4", until=None, **WHY).pk == use.pk
    assert volume_of(series_of(study)).grid.shape[0] == SLICES
    held, digest = digests(study), digests(study)[0]
    done = services.withdraw_consent(study=study, **WHY)
    assert done is not None and done.state == DestructionState.DONE
    assert not any(on_disk(study))
    assert not list((tmp_path / "data" / "derived").rglob("*.npy"))
    for read in (lambda: volume_of(series_of(study)), lambda: slice_hounsfield(series_of(study), 0)):
        with pytest.raises(Gone, match="withdrawn: consent to the use of this study was withdrawn on") as gone:
            read()
        assert gone.value.code == "study-withdrawn"
    with pytest.raises(Gone, match="these bytes were destroyed"):
        read_blob(digest)
    assert list(accepted_series(project)) == [], "no run looks at it any more"
    (ordered,), (told,) = events("retention.destruction-ordered"), events("retention.destroyed")
    assert (ordered["files"], told["files"], told["found"]) == (SLICES, SLICES, 0)
    assert ordered["root"] == told["root"] == done.root
    assert sorted(DestroyedBlob.objects.values_list("blob_id", flat=True)) == held
    assert Blob.objects.filter(pk__in=held).count() == SLICES, "the rows that name the bytes stay"
    assert verify_live().ok
    assert verify_contents() == []
    with pytest.raises(Conflict, match="withdrawn before"):
        services.withdraw_consent(study=study, **WHY)
    with pytest.raises(Conflict, match="held no more"):
        services.record_use(study=study, purposes=["training"], basis="form 5", until=None, **WHY)
    files.path_of(digest).write_bytes(b"restored from a backup")
    assert "says that they were destroyed" in verify_contents()[0].message


@pytest.mark.requirement("REQ-42")
def test_a_withdrawn_study_that_is_sent_again_is_turned_away_and_leaves_no_byte(
    study: Study, tmp_path: Path, settings: Any
) -> None:
    project = study.project
    services.withdraw_consent(study=study, **WHY)
    again = series_files()
    again["new.dcm"] = slice_file(number=SLICES, value=77)
    ingested = ingest(project, written_to(tmp_path / "again", again))
    assert set(outcomes(ingested).values()) == {("refused", "study-withdrawn")}
    assert not IngestItem.objects.filter(ingest=ingested).exclude(kept=None).exists()
    assert not any(on_disk(study))
    assert not [path for path in Path(settings.BLOB_DIR).glob("??/*") if not Blob.objects.filter(pk=path.name).exists()]
    assert verify_contents() == []


@pytest.mark.requirement("REQ-42")
def test_a_hold_keeps_withdrawn_data_unread_until_it_is_lifted(study: Study) -> None:
    hold = services.place_hold(project=study.project, study=study, matter="case 1", **WHY)
    assert services.withdraw_consent(study=study, **WHY) is None
    assert all(on_disk(study))
    with pytest.raises(Gone):
        volume_of(series_of(study))
    assert destruction.finish() == 0
    services.lift_hold(hold=hold, **WHY)
    assert destruction.finish() == 1
    assert not any(on_disk(study))
    assert destruction.finish() == 0
    assert verify_contents() == []


@pytest.mark.requirement("REQ-42")
def test_bytes_that_another_project_holds_too_stay_for_it(study: Study, tmp_path: Path) -> None:
    other = create_project(key="lung-2", title="Another", actor=SYSTEM, reason="a test needs one")
    shared = {name: data for number, (name, data) in enumerate(series_files().items()) if number}
    ingest(other, written_to(tmp_path / "other", shared))
    done = services.withdraw_consent(study=study, **WHY)
    assert done is not None
    assert (done.blobs, done.shared) == (1, SLICES - 1)
    assert sum(on_disk(study)) == SLICES - 1
    with pytest.raises(Gone):
        volume_of(series_of(study))
    theirs = Study.objects.get(project=other)
    last = services.withdraw_consent(study=theirs, **WHY)
    assert last is not None and (last.blobs, last.shared) == (SLICES - 1, 0)
    assert not any(on_disk(study))
    assert verify_contents() == []


@pytest.mark.requirement("REQ-42")
def test_a_destruction_that_was_cut_short_is_taken_up_again(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(sha256: str) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "remove", dies)
    with pytest.raises(KeyboardInterrupt):
        services.withdraw_consent(study=study, **WHY)
    monkeypatch.undo()
    assert all(on_disk(study))
    with pytest.raises(Gone):
        volume_of(series_of(study))
    assert "says that they were destroyed" in verify_contents()[0].message
    monkeypatch.setattr(files, "remove", lambda sha256: False)
    assert destruction.finish() == 0, "what is still there is not said to be gone"
    monkeypatch.undo()
    assert destruction.finish() == 1
    assert Destruction.objects.get().state == DestructionState.DONE
    assert destruction.carry_out(Destruction.objects.get()).state == DestructionState.DONE
    assert len(events("retention.destroyed")) == 1


def test_the_last_day_of_keeping_is_never_a_day_too_early(study: Study) -> None:
    schedule = services.set_schedule(
        project=study.project, entries=ENTRIES | {"images": {"years": 1, "basis": "x"}}, **WHY
    )
    for arrived, last in (("2028-02-29", "2029-03-01"), ("2027-05-01", "2028-05-01")):
        study.event.occurred_at = datetime.datetime.fromisoformat(f"{arrived}T12:00:00+00:00")
        assert str(selectors.kept_until(study, schedule)) == last


@pytest.mark.requirement("REQ-12")
def test_what_is_wrong_outside_becomes_one_alert_an_hour(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    drifting = Finding("clock.drift", ("clock", "database"), "The server's clock is 9.0 seconds behind.")
    monkeypatch.setattr(watch, "clock_findings", lambda: [drifting])
    monkeypatch.setattr(watch, "carry_out", outside.carry_out)
    assert watch.watch_outside() == [drifting]
    assert watch.watch_outside() == [], "another worker looked within the minute"
    out = StringIO()
    with pytest.raises(CommandError, match="1 findings"):
        call_command("look_outside", stdout=out, stderr=out)
    assert "9.0 seconds behind" in out.getvalue()
    (alert,) = open_alerts()
    assert (alert.kind, alert.times, alert.words) == ("clock.drift", 1, drifting.words)
    monkeypatch.setattr(watch, "EVERY", -datetime.timedelta(days=1))
    monkeypatch.setattr(watch, "TOLD_AGAIN", -datetime.timedelta(days=1))
    assert watch.watch_outside() == [drifting]
    assert open_alerts().get().times == 2
    monkeypatch.setattr(watch, "clock_findings", lambda: [])
    out = StringIO()
    call_command("look_outside", stdout=out)
    assert "the clocks agree" in out.getvalue()


def test_the_workers_look_outside_and_finish_destructions() -> None:
    names = {f"{one.__module__}.{one.__qualname__}" for one in all_housekeeping()}
    assert {
        "qaservice.retention.execution.look_outside",
        "qaservice.retention.execution.finish_destructions",
    } <= names
