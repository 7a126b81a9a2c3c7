"""From a reviewed project to a report and a kit that an outsider can check."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pypdfium2 as pdfium
import pytest
from django.core.management import CommandError, call_command

from compliance.models import Event, LedgerEntry
from compliance.recording import SYSTEM
from compliance.rendering.typst_pdf import DRAFT, EMBEDDED_DATABASE, SIMULATED_READERS, render
from compliance.sealing import head, root_at, seal
from qaservice.common.errors import Conflict
from qaservice.jobs.errors import LostLease
from qaservice.jobs.models import Job
from qaservice.jobs.runner import run_job
from qaservice.projects.services import create_project
from qaservice.reports import evidence as evidence_module
from qaservice.reports import services
from qaservice.reports.evidence import gather
from qaservice.reports.models import ValidationReport
from qaservice.reports.selectors import report_document, reports_of
from qaservice.reports.services import export_kit, export_report, marks_of, request_report
from qaservice.storage.selectors import read_blob
from tests.factories.records import assign_first_three
from tests.qaservice.reports.conftest import Reviewed, vote

# Keys and codes of the database; a reader of the report must never meet one.
KEYS = (
    "missing_nodule",
    "reader_disagreement",
    "geometry_mismatch",
    "label-right",
    "label-wrong",
    "cannot-tell",
    "guideline-unclear",
    "qa_lead",
    "not-applicable",
    "replace-outline",
    "flag.raised",
    "verdict.given",
    "None,",
    "NaN",
)


def export(reviewed: Reviewed) -> ValidationReport:
    return export_report(project=reviewed.site.project, actor=reviewed.lead, reason="end of the first round")


def text_of(pdf: bytes) -> list[str]:
    return [re.sub(r"\s+", " ", page.get_textpage().get_text_range()) for page in pdfium.PdfDocument(pdf)]


def facts_of(report: ValidationReport) -> dict:
    return json.loads(read_blob(report.facts_id))


def run_offline(program: str, kit: Path, *told: str) -> subprocess.CompletedProcess[str]:
    """Unpack one program from the kit and run it isolated from everything that is installed for the service."""
    script = kit.with_name(program)
    with zipfile.ZipFile(kit) as archive:
        script.write_bytes(archive.read(program))
    return subprocess.run(
        [sys.executable, "-I", str(script), str(kit), *told], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.requirement("REQ-03")
def test_a_report_is_stored_with_its_figures_at_a_ledger_head(reviewed: Reviewed):
    report = export(reviewed)
    assert (report.number, report.draft) == (1, True)
    assert root_at(report.ledger_size).hex() == report.ledger_head
    exported = Event.objects.get(kind="report.exported")
    assert exported.payload["document_sha256"] == report.document_id
    assert exported.payload["facts_sha256"] == report.facts_id
    assert (exported.actor_name, exported.reason) == (reviewed.lead.name, "end of the first round")
    assert export(reviewed).number == 2
    assert [one.number for one in reports_of(project=reviewed.site.project)] == [2, 1]


def test_nothing_in_a_report_is_later_than_its_ledger_head(reviewed: Reviewed):
    assert LedgerEntry.objects.count() == 0
    evidence = gather(project=reviewed.site.project)
    assert (evidence.ledger_size, evidence.ledger_head) == head()
    assert Event.objects.filter(project_key=reviewed.site.project.key, entry=None).count() == 0


def test_every_page_carries_the_marks_that_apply(simulated: Reviewed):
    report = export(simulated)
    marks = [DRAFT, SIMULATED_READERS]
    if gather(project=simulated.site.project).on_sqlite:
        marks.append(EMBEDDED_DATABASE)
    for text in text_of(read_blob(report.document_id)):
        assert all(mark in text for mark in marks)


def test_a_report_without_simulated_readers_does_not_mention_them_on_its_pages(reviewed: Reviewed):
    assert SIMULATED_READERS not in marks_of(gather(project=reviewed.site.project))


def test_no_key_of_the_database_reaches_the_paper(reviewed: Reviewed):
    text = " ".join(text_of(read_blob(export(reviewed).document_id)))
    assert [key for key in KEYS if key in text] == []


@pytest.mark.requirement("REQ-37")
def test_the_figures_on_paper_are_the_figures_in_the_facts(reviewed: Reviewed):
    report = export(reviewed)
    facts = facts_of(report)
    text = " ".join(text_of(read_blob(report.document_id)))
    (missing,) = [row for row in facts["label_errors"] if row["check"] == "missing_nodule"]
    assert (missing["wrong"], missing["settled"], missing["raised"]) == (1, 2, 3)
    # Wilson's interval for 1 of 2, as published tables have it: 0.0945 to 0.9055.
    assert (missing["lower"], missing["upper"]) == ("0.0945", "0.9055")
    assert "Missing nodule 3 1 2 1/2 50.0 % 9.4 % to 90.6 % Wilson score" in text
    assert facts["verdict_pairs"] == {"total": 7, "changed": 1}
    assert "1 of 7 (14.3 %;" in text
    assert facts["totals"] == {"flags": 4, "settled": 2, "wrong": 1, "verdicts": 14, "corrections": 1}
    assert report.ledger_head in text
    assert facts["document"]["audit"]["ledger_head"] == report.ledger_head


def test_every_flag_stands_in_the_listing_with_its_votes_decision_and_ledger_events(reviewed: Reviewed):
    listing = {flag["label"]: flag for flag in facts_of(export(reviewed))["document"]["flags"]}
    assert list(listing) == ["F-0001", "F-0002", "F-0003", "F-0004"]
    wrong, right, waiting, disputed = listing.values()
    assert (wrong["state"], wrong["outcome"]) == ("settled", "Label is wrong")
    assert [(vote["final"], vote["decision"], vote["changed"]) for vote in wrong["votes"]] == [
        (False, "Label is right", False),
        (True, "Label is wrong", True),
        (False, "Label is wrong", False),
        (True, "Label is wrong", False),
    ]
    assert wrong["correction"]["action"] == "Finding added"
    assert wrong["correction"]["before"] == "no finding in the reference standard"
    assert "a consensus settled a flag" in [what for _, what in wrong["trail"]]
    assert "a consensus was carried to the reference standard, or found there already" in [
        what for _, what in wrong["trail"]
    ]
    assert right["correction"] is None
    assert (waiting["votes"], waiting["decision"]) == ([], "None yet.")
    assert disputed["state"] == "readers disagree"
    assert "do not agree" in disputed["decision"]
    for flag in listing.values():
        for index, _ in flag["trail"]:
            assert LedgerEntry.objects.filter(index=int(index)).exists()


def test_a_vote_says_what_had_been_shown_before_it(reviewed: Reviewed):
    votes = facts_of(export(reviewed))["document"]["flags"][0]["votes"]
    assert "no other opinion" in votes[0]["shown"]
    assert "opinion of model bundle abababababab" in votes[1]["shown"]


def test_one_look_at_the_evidence_always_gives_the_same_bytes(reviewed: Reviewed):
    evidence = gather(project=reviewed.site.project)
    first, second = (
        render(report_document(evidence=evidence, number=1, made_by="Lead", progress=None), marks=marks_of(evidence))
        for _ in range(2)
    )
    assert first == second


def test_progress_is_reported_flag_by_flag(reviewed: Reviewed):
    seen: list[tuple[int, int, str]] = []
    export_report(
        project=reviewed.site.project,
        actor=reviewed.lead,
        reason="for a test",
        progress=lambda done, total, note: seen.append((done, total, note)),
    )
    assert [done for done, _, _ in seen] == [0, 1, 2, 3, 4]
    assert seen[-1] == (4, 4, "typesetting")


def test_a_number_taken_meanwhile_is_not_printed_twice(reviewed: Reviewed, monkeypatch: pytest.MonkeyPatch):
    export(reviewed)
    real, stale = services.next_number, iter([1])
    monkeypatch.setattr(services, "next_number", lambda *, project: next(stale, None) or real(project=project))
    report = export(reviewed)
    assert report.number == 2
    assert "Number 2, draft" in text_of(read_blob(report.document_id))[0]
    assert facts_of(report)["report_number"] == 2


def test_a_project_that_is_never_quiet_gets_no_report_instead_of_a_false_head(
    reviewed: Reviewed, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(evidence_module, "seal", lambda: 0)
    with pytest.raises(Conflict, match="quieter moment"):
        export(reviewed)
    assert ValidationReport.objects.count() == 0


def test_a_worker_that_lost_its_lease_stores_no_report(reviewed: Reviewed):
    def lost() -> None:
        raise LostLease

    with pytest.raises(LostLease):
        export_report(project=reviewed.site.project, actor=reviewed.lead, reason="for a test", complete=lost)
    assert ValidationReport.objects.count() == 0
    assert not Event.objects.filter(kind="report.exported").exists()


def test_a_project_without_a_dataset_version_has_nothing_to_report(db: None):
    project = create_project(key="empty", title="Empty", actor=SYSTEM, reason="for a test")
    with pytest.raises(Conflict, match="no dataset version"):
        export_report(project=project, actor=SYSTEM, reason="for a test")


@pytest.mark.requirement("REQ-03")
def test_the_kit_verifies_and_recomputes_offline(reviewed: Reviewed, tmp_path: Path):
    report = export(reviewed)
    kit = export_kit(report=report, path=tmp_path / "kit.zip", actor=reviewed.lead, reason="asked by the auditor")
    with zipfile.ZipFile(kit) as archive:
        assert archive.read("report.pdf") == read_blob(report.document_id)
        assert json.loads(archive.read("facts.json")) == facts_of(report)
        assert archive.read("dataset-manifest.json") == read_blob(report.dataset_version.manifest_id)
    verified = run_offline("verify.py", kit, "--head", report.ledger_head)
    assert verified.returncode == 0, verified.stdout
    assert run_offline("verify.py", kit, "--head", "00" * 32).returncode == 1
    recomputed = run_offline("recompute.py", kit)
    assert recomputed.returncode == 0, recomputed.stdout + recomputed.stderr
    assert "agrees   Missing nodule: 1/2 of 3 raised, 0.0945 to 0.9055" in recomputed.stdout
    handed_out = Event.objects.get(kind="kit.exported")
    assert handed_out.reason == "asked by the auditor"


def test_what_happens_after_a_report_does_not_change_what_is_recomputed_for_it(reviewed: Reviewed, tmp_path: Path):
    report = export(reviewed)
    for assignment in assign_first_three(reviewed.site, reviewed.site.flags[2])[:2]:
        vote(assignment, blind="label-right", final="label-right")
    kit = export_kit(report=report, path=tmp_path / "kit.zip", actor=reviewed.lead, reason="asked later")
    recomputed = run_offline("recompute.py", kit)
    assert recomputed.returncode == 0, recomputed.stdout


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("facts.json", lambda text: text.replace('"wrong":1', '"wrong":2')),
        ("facts.json", lambda text: text.replace('"upper":"0.9055"', '"upper":"0.9056"')),
        ("facts.json", lambda text: text.replace('"changed":1', '"changed":0')),
        ("records.jsonl", lambda text: text.replace('"outcome":"label-right"', '"outcome":"label-wrong"')),
        ("events.jsonl", lambda text: re.sub(r'"leaf_hash":"..', '"leaf_hash":"00', text)),
    ],
)
def test_a_figure_that_does_not_follow_from_the_records_is_found(reviewed: Reviewed, tmp_path: Path, name: str, change):
    kit = export_kit(
        report=export(reviewed), path=tmp_path / "kit.zip", actor=reviewed.lead, reason="asked by the auditor"
    )
    forged = tmp_path / "forged.zip"
    with zipfile.ZipFile(kit) as archive, zipfile.ZipFile(forged, "w") as copy:
        for member in archive.namelist():
            data = archive.read(member)
            if member == name:
                altered = change(data.decode()).encode()
                assert altered != data
                data = altered
            copy.writestr(member, data)
    found = run_offline("recompute.py", forged)
    assert found.returncode == 1
    assert "DIFFERS" in found.stdout


def test_recompute_tells_wrong_usage_from_a_wrong_figure(tmp_path: Path, reviewed: Reviewed):
    kit = export_kit(report=export(reviewed), path=tmp_path / "kit.zip", actor=reviewed.lead, reason="asked")
    run_offline("recompute.py", kit)
    (tmp_path / "broken.zip").write_bytes(b"PK")
    found = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "recompute.py"), str(tmp_path / "broken.zip")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (found.returncode, found.stdout) == (2, "")
    assert "cannot be read" in found.stderr


def test_a_worker_makes_the_report_in_the_name_of_whoever_asked(reviewed: Reviewed):
    job = request_report(project=reviewed.site.project, actor=reviewed.lead, reason="for the sponsor")
    run_job(job.pk, "worker-1")
    assert Job.objects.get(pk=job.pk).state == "done"
    report = ValidationReport.objects.get()
    exported = Event.objects.get(kind="report.exported")
    assert exported.subject_id == str(report.pk)
    assert (exported.actor_id, exported.actor_role, exported.reason) == (reviewed.lead.id, "qa_lead", "for the sponsor")
    run_job(job.pk, "worker-2")
    assert ValidationReport.objects.count() == 1


def test_the_command_writes_the_report_and_its_kit(reviewed: Reviewed, tmp_path: Path, capsys):
    folder = tmp_path / "out" / "new"
    call_command("export_report", project=reviewed.site.project.key, output=str(folder))
    report = ValidationReport.objects.get()
    assert (folder / "report.pdf").read_bytes() == read_blob(report.document_id)
    assert run_offline("verify.py", folder / "evidence-kit.zip").returncode == 0
    assert report.ledger_head in capsys.readouterr().out


def test_the_command_names_an_unknown_project(db: None, tmp_path: Path):
    with pytest.raises(CommandError, match="no project 'nowhere'"):
        call_command("export_report", project="nowhere", output=str(tmp_path))


def test_sealing_is_finished_before_the_evidence_is_read(reviewed: Reviewed):
    export(reviewed)
    assert seal() == 1  # the report's own event, and no other
