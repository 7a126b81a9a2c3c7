"""The survey of files: what is counted, set aside and refused, what the page and the lists hold, and the command."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from pathlib import Path

import pytest

from imaging.__main__ import main
from imaging.audit.marks_command import FILES
from imaging.audit.marks_machine import COLUMNS, counts, marks_as_csv, marks_as_json
from imaging.audit.marks_page import render_marks
from imaging.audit.marks_run import MarksAudit, audit_marks
from imaging.marks.survey import survey
from imaging.marks.types import Nature
from tests.imaging.audit.test_page import Reading
from tests.imaging.marks.made import Reader, Roi, ball, chest_x_ray, point, ring, scan, xml
from tests.imaging.readers import real

ROOT = Path(__file__).resolve().parents[3]
EVIL = '=1+1<script>alert("x")</script>'


def delivery(folder: Path) -> Path:
    """A zip with two scans (one clean), a chest X-ray, a file cut short, a copy, and one that is no reader file."""
    faulty = Reader([ball(name=EVIL), ball(x=300, name=EVIL)], [point(100, 100, 2), point(101, 100, 2)])
    clean = xml([Reader([ball()]), Reader([ball(x=201)])], uid="1.2.4")
    path = folder / "marks.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("b/faulty.xml", xml([faulty, Reader([ball(x=201)])]))
        archive.writestr("a/<b>clean.xml", clean)
        archive.writestr("copy.xml", clean)
        archive.writestr("x-ray.xml", chest_x_ray())
        archive.writestr("cut.xml", xml([faulty])[:700])
        archive.writestr("notes.txt", "nothing")
    return path


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> MarksAudit:
    path = delivery(tmp_path_factory.mktemp("marks"))
    return audit_marks(path=path, made_at="2026-01-01 00:00", version="0", progress=lambda message: None)


def test_every_file_has_its_outcome_and_none_stops_the_others(audit: MarksAudit) -> None:
    found = audit.survey
    assert [one.scan.file_name for one in found.scans] == ["a/<b>clean.xml", "b/faulty.xml"]
    outcomes = {one.file_name: one.code for one in found.not_surveyed}
    assert outcomes == {
        "x-ray.xml": "chest-x-ray",
        "cut.xml": "not-xml",
        "copy.xml": "same-file",
        "notes.txt": "not-lidc",
    }
    assert [one.file_name for one in found.set_aside] == ["x-ray.xml"]
    assert [bool(one.issues) for one in found.scans] == [False, True]


def test_counts_by_kind_reader_and_strength_add_up(audit: MarksAudit) -> None:
    found = audit.survey
    assert sum(one.issues for one in found.kinds) == len(found.issues) == sum(found.count(one) for one in Nature)
    for one in found.kinds:
        assert sum(one.by_reader) == sum(one.by_band) == one.issues
        assert one.scans <= min(one.issues, len(found.scans))
    strengths = [issue.strength for _, issue in found.issues]
    assert strengths == sorted(strengths, reverse=True)
    kinds = {one.kind.name: one.issues for one in found.kinds if one.issues}
    assert kinds == {"duplicate_id": 1, "marked_twice": 1}


def test_the_order_of_files_changes_nothing() -> None:
    scans = [scan([Reader([ball()], [point(90 + n, 90, 2), point(92, 90, 2)])], file_name=f"{n}.xml") for n in range(4)]
    one = survey(scans=scans, not_surveyed=())
    other = survey(scans=scans[::-1], not_surveyed=())
    assert counts(one) == counts(other)
    assert [(at.scan.file_name, issue.kind) for at, issue in one.issues] == [
        (at.scan.file_name, issue.kind) for at, issue in other.issues
    ]


def test_marks_moved_apart_no_longer_stand_against_each_other() -> None:
    readers = [Reader([], [point(200, 200, 2)]), Reader([ball(x=201)]), Reader([ball(y=201)])]
    found = survey(scans=[scan(readers)], not_surveyed=())
    (kind,) = [one for one in found.kinds if one.kind.name == "category_against_others"]
    assert (kind.issues, kind.coincidences) == (1, 0)


def test_four_alike_issues_in_one_reading_are_one_pattern() -> None:
    pairs = [point(100 + 40 * n + aside, 100, 2) for n in range(4) for aside in (0, 2)]
    found = survey(scans=[scan([Reader([], pairs)])], not_surveyed=())
    (pattern,) = found.patterns
    assert (pattern.kind, pattern.reader, pattern.issues) == ("marked_twice", 1, 4)


def test_a_nodule_that_one_reader_left_unmarked_is_counted_and_no_issue() -> None:
    found = survey(
        scans=[scan([Reader([ball(x=x)]) for x in (199, 200, 201)] + [Reader([], [point(9, 9, 1)])])], not_surveyed=()
    )
    assert (found.unmarked_by_one, found.issues) == (1, ())


def test_two_images_at_one_position_are_remarked_with_who_marked_which() -> None:
    one, other = (
        Reader([ball()]),
        Reader(
            [
                point(90, 90, 2),
            ]
        ),
    )
    moved = Reader([type(ball())([Roi(12, ring(200, 200, 6), z=5.0)])])
    found = survey(scans=[scan([one, other, moved])], not_surveyed=())
    (surveyed,) = found.scans
    assert any("two different images" in remark and "reader 3" in remark for remark in surveyed.remarks)


def test_the_page_stands_alone_and_no_text_of_a_file_becomes_a_part_of_it(audit: MarksAudit) -> None:
    page = render_marks(audit)
    read = Reading(page)
    assert read.open == [] and read.run == []
    assert all(one.startswith("#i") for one in read.fetched)
    assert not re.search(r"url\(|@import|https?://", page)
    text = re.sub(r"\s+", " ", " ".join(read.text))
    assert text.count("Not for clinical use") == 2
    assert EVIL in text and "a/<b>clean.xml" in text
    for _, issue in audit.survey.issues:
        assert issue.reason.replace(">=", "≥").replace("'", "’") in text
    for one in audit.survey.refused:
        assert one.file_name in text
    assert page.count('role="img"') == len(audit.survey.issues)


def test_the_lists_say_the_same_as_the_page_and_a_table_runs_nothing(audit: MarksAudit) -> None:
    held = json.loads(marks_as_json(audit))
    rows = list(csv.DictReader(io.StringIO(marks_as_csv(audit))))
    assert tuple(rows[0]) == COLUMNS
    assert [row["issue_id"] for row in rows] == [one["issue_id"] for one in held["issues"]]
    assert len({row["issue_id"] for row in rows}) == len(rows) == len(audit.survey.issues)
    assert all(row["answer"] == "" for row in rows)
    assert all(not value.startswith(("=", "+", "@")) for row in rows for value in row.values())
    assert held["counts"] == json.loads(json.dumps(counts(audit.survey)))
    assert all(0 < one["strength"] < 1 and one["features"] is not None for one in held["issues"])


def test_the_command_writes_three_files_and_says_by_its_exit_code_what_came_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean = tmp_path / "clean.xml"
    clean.write_bytes(xml([Reader([ball()]), Reader([ball(x=201)])]))
    assert main(["audit-marks", str(clean), "--output", str(tmp_path / "one")]) == 0
    assert main(["audit-marks", str(delivery(tmp_path)), "--output", str(tmp_path / "two")]) == 1
    for folder in ("one", "two"):
        assert sorted(path.name for path in (tmp_path / folder).iterdir()) == sorted(FILES)
    x_ray = tmp_path / "x-ray.xml"
    x_ray.write_bytes(chest_x_ray())
    assert main(["audit-marks", str(x_ray), "--output", str(tmp_path / "three")]) == 2
    assert main(["audit-marks", str(tmp_path / "absent"), "--output", str(tmp_path / "four")]) == 2
    assert "no such file" in capsys.readouterr().err


@pytest.mark.real_data
@pytest.mark.slow
def test_the_published_reader_files_give_the_counts_that_are_committed(tmp_path: Path) -> None:
    found = audit_marks(
        path=real.folder() / "lidc-xml.zip", made_at="2026-01-01 00:00", version="0", progress=lambda message: None
    )
    committed = json.loads((ROOT / "docs/audits/lidc-xml.json").read_text(encoding="utf-8"))
    assert json.loads(json.dumps(counts(found.survey))) == committed
    table = (ROOT / "docs/audits/lidc-xml.md").read_text(encoding="utf-8")
    for one in found.survey.kinds:
        if one.issues:
            assert f"| `{one.kind.name}` | {one.issues} | {one.scans} |" in table
