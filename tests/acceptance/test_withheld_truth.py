"""Take one reader's mark away from a real scan, and see it found, voted on and put into the reference standard."""

from __future__ import annotations

import csv
import math
import re
import zipfile
from pathlib import Path

import pytest

from tests.acceptance.service import Person, Service

pytestmark = [pytest.mark.real_data, pytest.mark.slow, pytest.mark.timeout(900)]

SERIES_UID = "1.3.6.1.4.1.14519.5.2.1.6279.6001.179049373636438705059720603192"


def without_first_nodule(xml: str) -> str:
    """Return the XML with the large nodule of its first reading session taken out; the session itself stays."""
    first = xml.index("<readingSession>")
    end = xml.index("</readingSession>", first)
    session = xml[first:end]
    nodules = re.findall(r"<unblindedReadNodule>.*?</unblindedReadNodule>", session, flags=re.DOTALL)
    large = [nodule for nodule in nodules if nodule.count("<edgeMap>") > 1]
    assert len(large) == 1
    return xml[:first] + session.replace(large[0], "") + xml[end:]


def luna_nodule(folder: Path) -> tuple[tuple[float, float, float], float]:
    """Return place (LPS mm) and diameter that LUNA16 gives for this scan."""
    with (folder / "luna16-annotations.csv").open() as stream:
        (row,) = [row for row in csv.DictReader(stream) if row["seriesuid"] == SERIES_UID]
    return (float(row["coordX"]), float(row["coordY"]), float(row["coordZ"])), float(row["diameter_mm"])


def vote(person: Person, assignment: str) -> None:
    """Say blind that the label is wrong, then accept the first proposal that adds a finding."""
    blind = person.post(
        f"assignments/{assignment}/verdicts/", {"decision": "label-wrong", "rationale": "a nodule here"}
    )
    assert blind.status == 201, blind.body
    case = person.post(f"assignments/{assignment}/reveal/", {}).body
    proposal = next(one for one in case["revealed"]["proposals"] if one["action"] == "add")
    final = person.post(
        f"assignments/{assignment}/verdicts/",
        {"decision": "label-wrong", "rationale": "the others outline it", "proposal_id": proposal["id"]},
    )
    assert final.status == 201, final.body


def test_a_mark_taken_away_is_flagged_voted_on_and_restored_to_the_reference(tmp_path: Path, real_data: Path):
    delivery = tmp_path / "delivery"
    with zipfile.ZipFile(real_data / "lidc-0001.zip") as archive:
        archive.extractall(delivery)
    annotations = delivery / "annotations-lidc.xml"
    annotations.write_text(without_first_nodule(annotations.read_text()))
    place, diameter = luna_nodule(real_data)

    service = Service(tmp_path / "site")
    service.run("migrate")
    told = service.run("ingest", delivery, "--project", "lidc").stdout
    assert "seg-wrong-geometry.dcm" in told and "133" in told
    service.run("analyze", "--project", "lidc")

    with service.serving() as address:
        lead = service.open_account("lead", "qa_lead", project="lidc", address=address)
        flags = lead.get("projects/lidc/flags/?limit=200").body["results"]
        near = [
            flag
            for flag in flags
            if flag["check_name"] in {"missing_nodule", "reader_disagreement"}
            and flag["finding"] is None
            and math.dist(flag["place_mm"], place) < diameter / 2
        ]
        assert near, f"no flag at the withheld nodule among {[flag['check_name'] for flag in flags]}"
        # The suspect is the reader whose mark was taken away: the first session.
        assert {flag["annotation_set"].split(":")[0] for flag in near} == {"session 1"}

        readers = [
            service.open_account(f"reader{number}", "reader", project="lidc", address=address) for number in (1, 2, 3)
        ]
        # No golden set stands behind the model here: what rests on it alone is asked about once the lead says so.
        held = [flag["name"] for flag in flags if flag["held"]]
        released = lead.post("projects/lidc/flag-releases/", {"reason": "a known nodule was taken out on purpose"})
        assert released.status == (200 if held else 409)
        assert sorted(released.body.get("released", [])) == sorted(held)
        assert lead.post("projects/lidc/assignments/", {"reason": "first reads"}).status == 201
        wanted = near[0]["name"]
        for reader in readers[:2]:
            worklist = reader.get("projects/lidc/worklist/?state=waiting").body
            vote(reader, next(line["id"] for line in worklist if line["flag"] == wanted))
        record = lead.get(f"flags/{near[0]['id']}/").body
        assert (record["state"], record["outcome"]) == ("settled", "label-wrong")
        assert len(record["verdicts"]) == 4 and {vote["phase"] for vote in record["verdicts"]} == {"blind", "final"}
        series = lead.get("projects/lidc/series/").body[0]["id"]
        reference = lead.get(f"series/{series}/reference/").body
        assert any(math.dist(finding["centre_mm"], place) < diameter / 2 for finding in reference)

    # A second run with the same model raises nothing twice, and the settled flag stays settled.
    service.run("analyze", "--project", "lidc")
    with service.serving() as address:
        lead = Person(address=address, token=lead.token)
        again = lead.get("projects/lidc/flags/?limit=200").body["results"]
        assert {flag["id"] for flag in again} == {flag["id"] for flag in flags}
        assert next(flag for flag in again if flag["name"] == wanted)["state"] == "settled"
    assert service.run("verify_ledger").returncode == 0
