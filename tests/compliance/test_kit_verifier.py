"""The kit's verify.py names the first altered record, whatever was altered (REQ-01)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from compliance.evidence import Kit
from compliance.ledger import verify
from compliance.ledger.chain import leaf_hash
from compliance.ledger.commitments import leaf_document
from tests.compliance.kits import Lines, checked, contents, joined, lines, rehashed, rendered, repacked
from tests.compliance.testapp.models import Case

pytestmark = pytest.mark.requirement("REQ-01")


def test_every_single_altered_byte_of_the_evidence_is_found(kit: Kit, tmp_path: Path) -> None:
    files = contents(kit.path)
    for name in ("events.jsonl", "records.jsonl", "facts.json", "manifest.json", "report.pdf"):
        data = files[name]
        for place in range(0, len(data), max(1, len(data) // 150)):
            broken = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
            found = verify.verify(str(repacked(tmp_path / "broken.zip", {**files, name: broken})))
            assert found.problems, f"byte {place} of {name} was altered and nothing was found"


def test_an_altered_reason_is_found_in_its_event_even_if_the_manifest_was_put_right(kit: Kit, tmp_path: Path) -> None:
    files = contents(kit.path)
    events = lines(files["events.jsonl"])
    events[2]["event"]["reason"] = "a nicer reason"
    name = f"event 2 (case.changed, {events[2]['event']['id']})"
    for manifest in (False, True):
        status, output = checked(
            repacked(tmp_path / "k.zip", {**files, "events.jsonl": joined(events)}, manifest=manifest)
        )
        assert status == 1
        assert f"FAILED: {name}: its content was altered; it does not hash to its leaf" in output


def test_an_altered_event_with_its_leaf_put_right_breaks_its_link(kit: Kit, tmp_path: Path) -> None:
    files = contents(kit.path)
    events = lines(files["events.jsonl"])
    events[1]["event"]["reason"] = "another"
    events[1]["leaf_hash"] = leaf_hash(leaf_document(events[1]["event"])).hex()
    status, output = checked(repacked(tmp_path / "k.zip", {**files, "events.jsonl": joined(events)}, manifest=True))
    assert status == 1
    assert "FAILED: event 1: its link does not follow from the event before it" in output


def test_a_ledger_rewritten_from_an_event_on_is_caught_by_the_reported_head(kit: Kit, tmp_path: Path) -> None:
    files = contents(kit.path)
    events = lines(files["events.jsonl"])
    events[1]["event"]["reason"] = "another"
    forged = repacked(tmp_path / "k.zip", {**files, "events.jsonl": joined(rehashed(events))}, manifest=True)
    status, output = checked(forged)
    assert "FAILED: the checkpoint says root" in output, "the forger does not hold the key"
    status, output = checked(forged, "--head", kit.root)
    assert status == 1
    assert "this is not the ledger that was reported" in output
    status, output = checked(forged, "--manifest", kit.manifest_sha256)
    assert status == 1
    assert "the manifest's SHA-256 is" in output


def swap(events: Lines) -> None:
    events[1], events[2] = events[2], events[1]


def swap_and_renumber(events: Lines) -> None:
    swap(events)
    events[1]["index"], events[2]["index"] = 1, 2


@pytest.mark.parametrize(
    ("forgery", "first"),
    [
        (swap, "event 1: it is missing or out of order; event 2 stands in its place"),
        (swap_and_renumber, "event 1: its link does not follow from the event before it"),
        (lambda events: events.pop(1), "event 1: it is missing or out of order; event 2 stands in its place"),
        (lambda events: events.insert(1, events[1]), "event 2: it is missing or out of order; event 1 stands"),
        (
            lambda events: events[0].update(leaf_hash="ab"),
            "event 0: its line cannot be read (it is not a ledger entry)",
        ),
        (lambda events: events[0].update(more="x"), "event 0: its line cannot be read (it is not a ledger entry)"),
        (lambda events: events[0].pop("link_hash"), "event 0: its line cannot be read"),
        (lambda events: events[3].update(link_hash="zz"), "event 3: its link does not follow"),
        (lambda events: events[1]["event"].update(rows=[{}]), "event 1 (case.changed"),
        (lambda events: events[1]["event"].update(rows=[{"root": 1, "table": []}]), "event 1 (case.changed"),
    ],
)
def test_events_out_of_order_missing_doubled_or_malformed_are_named(
    kit: Kit, tmp_path: Path, forgery: Callable[[Lines], object], first: str
) -> None:
    files = contents(kit.path)
    events = lines(files["events.jsonl"])
    forgery(events)
    status, output = checked(repacked(tmp_path / "k.zip", {**files, "events.jsonl": joined(events)}))
    assert status == 1
    assert f"FAILED: {first}" in output


def test_a_ledger_cut_off_at_its_end_is_not_the_one_in_the_manifest(kit: Kit, tmp_path: Path) -> None:
    files = contents(kit.path)
    stated = json.loads(files["manifest.json"])
    shorter = b"".join(files["events.jsonl"].splitlines(keepends=True)[:3])
    stated["files"]["events.jsonl"] = {"sha256": verify.sha256(shorter), "size": len(shorter)}
    forged = {**files, "events.jsonl": shorter, "manifest.json": rendered(stated)}
    status, output = checked(repacked(tmp_path / "k.zip", forged))
    assert status == 1
    assert "the ledger ends at event 2, root " in output


def record(records: Lines, table: str, **values: Any) -> dict[str, Any]:
    return next(one for one in records if one["table"] == table and values.items() <= {**one["values"]}.items())


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("title", "Other"),
        ("size_mm", "4.26"),
        ("tags", []),
        ("reason", "x"),
        ("actor_id", "bob"),
        ("history_type", "-"),
    ],
)
def test_an_altered_record_is_named_with_event_table_id_and_field(
    kit: Kit, sealed_case: Case, tmp_path: Path, column: str, value: object
) -> None:
    files = contents(kit.path)
    records = lines(files["records.jsonl"])
    row = record(records, "testapp_case", title="Mass")
    row["values"][column] = value
    status, output = checked(repacked(tmp_path / "k.zip", {**files, "records.jsonl": joined(records)}, manifest=True))
    assert status == 1
    name = f"record testapp_case {sealed_case.pk} (history {row['history_id']}) of event 1"
    assert f"FAILED: {name}: field {column} was altered" in output


def test_a_record_with_a_field_more_is_altered_though_no_field_can_be_named(
    kit: Kit, sealed_case: Case, tmp_path: Path
) -> None:
    files = contents(kit.path)
    records = lines(files["records.jsonl"])
    record(records, "testapp_case", title="Mass")["values"]["more"] = 1
    status, output = checked(repacked(tmp_path / "k.zip", {**files, "records.jsonl": joined(records)}, manifest=True))
    assert status == 1
    assert " of event 1: altered\n" in output


def test_an_altered_record_among_many_is_named(kit: Kit, tmp_path: Path) -> None:
    files = contents(kit.path)
    records = lines(files["records.jsonl"])
    row = record(records, "testapp_slice", number=1)
    row["values"]["position_mm"] = "1.26"
    status, output = checked(repacked(tmp_path / "k.zip", {**files, "records.jsonl": joined(records)}, manifest=True))
    assert status == 1
    assert f"FAILED: record testapp_slice {row['id']} of event 0: altered; the rows do not hash" in output


def test_rows_whose_marks_agree_are_still_bound_by_the_root() -> None:
    kit = verify.Kit()
    digests = {"a": "11" * 32}
    verify.check_many(kit, "t", 3, 1, "00" * 32, "11" * 4, digests)
    assert kit.first() == "rows of t of event 3: altered; the rows do not hash to the event's root"


@pytest.mark.parametrize(
    ("forgery", "first"),
    [
        (lambda rows: rows.remove(record(rows, "testapp_case", title="Mass")), ") of event 1: the record is missing"),
        (
            lambda rows: rows.remove(record(rows, "testapp_slice", number=2)),
            "rows of testapp_slice of event 0: 2 records",
        ),
        (
            lambda rows: rows.append(record(rows, "testapp_case", title="Scar")),
            "no event names it, or it is there twice",
        ),
        (lambda rows: rows.append(record(rows, "testapp_slice", number=2)), "no event names it, or it is there twice"),
        (lambda rows: rows[0].update(more=1), "record on line 1: it cannot be read (it is not a record)"),
        (lambda rows: rows[0].update(values=[]), "record on line 1: it cannot be read"),
        (lambda rows: rows[0].update(id=["x"]), "file records.jsonl: it cannot be read to its end"),
        (lambda rows: rows[0].update(values={"event_id": 1.5}), "record on line 1: it cannot be read"),
    ],
)
def test_records_missing_doubled_or_malformed_are_named(
    kit: Kit, tmp_path: Path, forgery: Callable[[Lines], object], first: str
) -> None:
    files = contents(kit.path)
    records = lines(files["records.jsonl"])
    forgery(records)
    data = b"".join(json.dumps(one, separators=(",", ":"), sort_keys=True).encode() + b"\n" for one in records)
    status, output = checked(repacked(tmp_path / "k.zip", {**files, "records.jsonl": data}, manifest=True))
    assert status == 1
    assert first in output


def test_several_processes_find_what_one_finds_wherever_the_blocks_end(
    kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = contents(kit.path)
    events, records = lines(files["events.jsonl"]), lines(files["records.jsonl"])
    events[0]["event"]["reason"] = events[2]["event"]["reason"] = "another"
    records[-1]["values"]["title"] = "another"
    altered = {**files, "events.jsonl": joined(events), "records.jsonl": joined(records)[:-1]}
    torn = {**files, "events.jsonl": files["events.jsonl"].replace(b'"index":2', b'"index": 2')}
    kits = [kit.path, repacked(tmp_path / "altered.zip", altered), repacked(tmp_path / "torn.zip", torn)]
    alone = [verify.verify(str(path)) for path in kits]
    assert [bool(one.problems) for one in alone] == [False, True, True]
    with ProcessPoolExecutor(2) as pool:
        for block in (100, 5000):
            monkeypatch.setattr(verify, "BLOCK", block)
            together = [verify.verify(str(path), pool=pool) for path in kits]
            assert [one.problems for one in together] == [one.problems for one in alone]
            assert [(one.root, one.records, one.keys) for one in together] == [
                (one.root, one.records, one.keys) for one in alone
            ]


TOKENS = (b"", b'"', b",", b"{}", b"[]", b"-0", b"01", b"1.5", b"null", b"\\", b" ", b"\xc3\xa4", b"\xff", b'"a":1,')


def test_a_line_hashed_as_it_stands_is_judged_as_one_that_is_read_as_json(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = contents(kit.path)
    events, records = files["events.jsonl"].splitlines(), lines(files["records.jsonl"])
    assert [verify.plain_entry(line.decode()) is not None for line in events] == [False, True, True, True, False]
    history, row = (next(one for one in records if (one["history_id"] is None) is plain) for plain in (False, True))
    history["values"]["tags"] = ["solid", 1, {"$float": "0.5"}, {}, None]
    rows = joined([row, history]).splitlines()
    assert all(verify.plain_record(line.decode()) for line in rows)
    for judged, lines_of, step in ((verify.read_events, events[1:4], 11), (verify.read_records, rows, 7)):
        altered = [
            line[:place] + token + line[place + length :]
            for line in lines_of
            for place in range(0, len(line), step)
            for token in TOKENS
            for length in (0, 1)
        ]
        quickly = [said(judged([line])) for line in (*lines_of, *altered)]
        with monkeypatch.context() as patch:
            for name in ("plain_entry", "plain_record"):
                patch.setattr(verify, name, lambda line: None)
            slowly = [said(judged([line])) for line in (*lines_of, *altered)]
        assert quickly == slowly


def said(found: list[Any]) -> object:
    """Return what was found on one line, without the event's name and a history row's keys, which nobody then asks."""
    (one,) = found
    if isinstance(one, str) or one[3] is None:
        return one
    if len(one) == 4:
        *place, event = one
        return [*place, *(event[1:] if event else ([], [], [], None, ""))]
    return one[:5] if one[2] is not None else one


@pytest.mark.parametrize(
    "payload",
    [
        '"b":1,"a":2',
        '"a":1,"a":2',
        '"":1,"":2',
        '"a":-0',
        '"a":01',
        '"a":9007199254740992',
        '"a":1.0',
        '"a": 1',
        '"a":"\\u0041"',
        '"a":{"c":1,"b":2}',
        '"a":[1,]',
        '"a":[{"c":"1","b":"2"}]',
    ],
)
def test_what_is_not_canonical_is_refused_even_where_it_was_hashed_as_it_stands(payload: str) -> None:
    found = [(name, value) for name, value in (re.findall(r'"([^"]*)": ?((?:[^,{[]|[{[].*[]}])*)', payload))]
    salt = "ab" * 16
    commitments = ",".join(
        f'"{name}":"{verify.sha256(bytes([3]) + bytes.fromhex(salt) + f"""["{name}",{value}]""".encode())}"'
        for name, value in found
    )
    salts = ",".join(f'"{name}":"{salt}"' for name, _ in found)
    begin, middle, more, end = (
        '{"actor_id":"a","actor_name":"A","actor_role":"r"',
        ',"id":"1","kind":"k","occurred_at":"t","payload":',
        ',"project_key":"","reason":"r","rows":',
        ',"simulated":false,"subject_id":"1","subject_type":"s","txid":1}',
    )

    def line(fields: str, commitments: str, salts: str) -> bytes:
        bound = verify.sha256(f"\x04{{{commitments}}}".encode())
        leaf = verify.leaf(f'{begin}{middle}"{bound}"{more}"{verify.NO_ROWS}"{end}'.encode()).hex()
        event = f'{begin},"commitments":{{{commitments}}}{middle}{{{fields}}}{more}[],"salts":{{{salts}}}{end}'
        return f'{{"event":{event},"index":0,"leaf_hash":"{leaf}","link_hash":"{leaf}"}}'.encode()

    ((_, _, _, whole),) = verify.read_events([line("", "", "")])
    assert whole == (), "what is canonical holds"
    (refused,) = verify.read_events([line(payload, commitments, salts)])
    assert isinstance(refused, str)


def test_a_last_line_that_is_cut_short_is_found(kit: Kit, tmp_path: Path) -> None:
    files = contents(kit.path)
    forged = {**files, "records.jsonl": files["records.jsonl"][:-1]}
    status, output = checked(repacked(tmp_path / "k.zip", forged, manifest=True))
    assert status == 1
    assert "the last line is cut short" in output


def test_an_altered_missing_or_added_file_is_named(kit: Kit, tmp_path: Path) -> None:
    files = contents(kit.path)
    forged = repacked(tmp_path / "k.zip", {**files, "report.pdf": b"%PDF-1.7 another"})
    assert "FAILED: file report.pdf: it was altered; its SHA-256 is" in checked(forged)[1]
    forged = repacked(tmp_path / "k.zip", {name: data for name, data in files.items() if name != "facts.json"})
    assert "FAILED: file facts.json: it is missing" in checked(forged)[1]
    forged = repacked(tmp_path / "k.zip", {**files, "more.txt": b""})
    assert "FAILED: file more.txt: the manifest does not name it" in checked(forged)[1]
    without = {name: data for name, data in files.items() if name != "records.jsonl"}
    status, output = checked(repacked(tmp_path / "k.zip", without, manifest=True))
    assert status == 1
    assert "file records.jsonl: the manifest does not name it" in output


@pytest.mark.parametrize(
    "manifest",
    [
        b"not json",
        b"{}",
        b'{"files":{"a":1}}',
        lambda stated: stated.update(version=True),
        lambda stated: stated.update(more=1),
        lambda stated: stated["ledger"].update(size="4"),
        lambda stated: stated["files"]["report.pdf"].update(more=1),
    ],
)
def test_a_manifest_that_is_not_as_the_service_writes_it_is_not_relied_on(
    kit: Kit, tmp_path: Path, manifest: bytes | Callable[[dict[str, Any]], object]
) -> None:
    files = contents(kit.path)
    if not isinstance(manifest, bytes):
        stated = json.loads(files["manifest.json"])
        manifest(stated)
        manifest = rendered(stated)
    status, output = checked(repacked(tmp_path / "k.zip", {**files, "manifest.json": manifest}))
    assert status == 1
    assert "FAILED: file manifest.json: it cannot be relied on" in output


def test_a_file_that_is_there_twice_is_found(kit: Kit, tmp_path: Path) -> None:
    forged = repacked(tmp_path / "k.zip", contents(kit.path))
    with zipfile.ZipFile(forged, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("report.pdf", b"%PDF-1.7 report")
    assert "FAILED: file report.pdf: it is in the kit twice" in checked(forged)[1]


def test_a_damaged_or_missing_zip_is_said_to_be_so(kit: Kit, tmp_path: Path) -> None:
    whole = kit.path.read_bytes()
    for name, data in (("cut.zip", whole[:-30]), ("none.zip", b"nothing")):
        (tmp_path / name).write_bytes(data)
        assert "FAILED: the kit cannot be opened" in checked(tmp_path / name)[1]
    assert "FAILED: the kit cannot be opened" in checked(tmp_path / "absent.zip")[1]
    with zipfile.ZipFile(kit.path) as archive:
        entry = archive.getinfo("report.pdf")
    start = entry.header_offset + 30 + len("report.pdf")
    (tmp_path / "flipped.zip").write_bytes(whole[:start] + bytes([whole[start] ^ 0xFF]) + whole[start + 1 :])
    assert "FAILED: file report.pdf: it is damaged" in checked(tmp_path / "flipped.zip")[1]


def test_wrong_usage_has_a_status_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-I", "-S", verify.__file__], capture_output=True, text=True, check=False)
    assert done.returncode == 2


def test_at_most_ten_problems_are_printed_and_all_are_counted(
    kit: Kit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = contents(kit.path)
    forged = repacked(tmp_path / "k.zip", {**files, **{f"more-{number}": b"" for number in range(15)}})
    assert verify.main([str(forged)]) == 1
    output = capsys.readouterr().out.splitlines()
    assert output[-1] == "15 problems in all"
    assert len(output) == 4 + 1 + 9 + 1
    assert verify.main([str(kit.path)]) == 0
