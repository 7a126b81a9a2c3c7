"""A project's identity policy in the service: nothing that identifies is kept, labels still find their images."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from compliance.models import Event
from compliance.recording import SYSTEM
from imaging.deidentification.keys import ProjectKeys
from qaservice.common.errors import Conflict, InvalidInput, NotFound, Unavailable
from qaservice.jobs.runner import drain
from qaservice.labels.models import AnnotationSet, FindingRevision
from qaservice.projects.models import Project
from qaservice.projects.services import create_project, set_policies
from qaservice.storage.selectors import read_blob
from qaservice.studies.identity import keys_of, reidentify, report_of, terms_for_a_trial
from qaservice.studies.ingest import terms_of
from qaservice.studies.models import CrosswalkPage, IdentityKey, Ingest, IngestItem, Instance, Outcome, Series, Study
from qaservice.studies.sealed import create_key, seal, unseal
from qaservice.studies.services import receive_upload
from tests.imaging.deidentification.identified import SECRETS, identified, read, written
from tests.imaging.readers import real
from tests.qaservice.studies.deliveries import ingest, outcomes, series_files, written_to, zipped

SLICES = 5
PATIENT_FOLDER = "Mustermann_Erika"


def policy(project: Project, **policies: object) -> Project:
    """The project under other policies."""
    return set_policies(project=project, policies=policies, actor=SYSTEM, reason="a test asks for it")


@pytest.fixture
def deidentifying(project: Project) -> Project:
    return policy(project, identity_policy="de-identify", crosswalk_policy="kept")


def delivery(**changes: object) -> dict[str, bytes]:
    """An identified series, in a folder called after its patient."""
    return {
        f"{PATIENT_FOLDER}/{number:03d}.dcm": written(identified(number=number, **changes)) for number in range(SLICES)
    }


def lidc_of(series_uid: str, image_uid: str) -> bytes:
    """A reading of one point, by a named reader."""
    return f"""<LidcReadMessage><ResponseHeader><SeriesInstanceUid>{series_uid}</SeriesInstanceUid></ResponseHeader>
    <readingSession><annotationVersion>3.12</annotationVersion><servicingRadiologistID>Quincke</servicingRadiologistID>
    <unblindedReadNodule><noduleID>Nodule 001</noduleID><roi><imageZposition>11.5</imageZposition>
    <imageSOP_UID>{image_uid}</imageSOP_UID><inclusion>TRUE</inclusion>
    <edgeMap><xCoord>5</xCoord><yCoord>4</yCoord></edgeMap></roi></unblindedReadNodule></readingSession>
    </LidcReadMessage>""".encode()


def texts_in_the_database() -> str:
    """Every value of every table, as text."""
    with connection.cursor() as cursor:
        told = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            told.extend(str(row) for row in cursor.fetchall())
    return "\n".join(told)


def files_under(folder: Path) -> Iterator[tuple[str, bytes]]:
    for place in folder.rglob("*"):
        if place.is_file() and place.name != "identity-key":
            yield place.relative_to(folder).as_posix(), place.read_bytes()


@pytest.mark.requirement("REQ-17")
def test_nothing_that_identifies_is_kept_in_files_database_or_logs(
    deidentifying: Project,
    tmp_path: Path,
    own_data_folder: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    files = delivery()
    series, image = "1.2.826.0.1.3680043.10.1", "1.2.826.0.1.3680043.10.1.2"
    files[f"{PATIENT_FOLDER}/Quincke.xml"] = lidc_of(series, image)
    files[f"{PATIENT_FOLDER}/photo-of-Mustermann.txt"] = b"Mustermann at the seaside"
    files[f"{PATIENT_FOLDER}/report.dcm"] = written(identified(number=8, EncapsulatedDocument=b"Mustermann"))
    files[f"{PATIENT_FOLDER}/damaged.dcm"] = written(identified(number=9))[:-60]
    done = ingest(deidentifying, written_to(tmp_path / "Mustermann^Erika 1961", files))
    kept = texts_in_the_database() + caplog.text + "".join(capfd.readouterr())
    for secret in (*SECRETS, "MUSTERMANN", "Mustermann_Erika"):
        assert secret not in kept, secret
        for name, data in files_under(own_data_folder):
            assert secret.encode() not in data, (secret, name)
            assert secret not in name
    told = sorted(IngestItem.objects.filter(ingest=done).values_list("kind", "outcome", "code"))
    assert told.count(("dicom-image", Outcome.STORED, "")) == SLICES
    assert ("lidc-xml", Outcome.STORED, "") in told
    assert ("dicom-image", Outcome.REFUSED, "encapsulated-document") in told
    assert ("dicom-image", Outcome.REFUSED, "truncated") in told
    assert AnnotationSet.objects.get().source_format == "lidc-xml"


@pytest.mark.requirement("REQ-17")
def test_what_is_stored_is_the_deidentified_file_with_the_digest_of_the_original(
    deidentifying: Project, tmp_path: Path
) -> None:
    files = delivery()
    ingest(deidentifying, written_to(tmp_path / "in", files))
    originals = {hashlib.sha256(data).hexdigest() for data in files.values()}
    assert set(Instance.objects.values_list("original_sha256", flat=True)) == originals
    assert set(IngestItem.objects.values_list("original_sha256", flat=True)) == originals
    keys = keys_of(deidentifying)
    for instance in Instance.objects.all():
        stored = read(read_blob(instance.blob_id))
        assert stored.PatientIdentityRemoved == "YES"
        assert stored.SOPInstanceUID == instance.sop_instance_uid
    assert Study.objects.get().patient_key == keys.patient("MRN4711-08")
    assert Series.objects.get().series_instance_uid == keys.uid("1.2.826.0.1.3680043.10.1")


def test_the_same_delivery_twice_changes_nothing(deidentifying: Project, tmp_path: Path) -> None:
    folder = written_to(tmp_path / "in", delivery())
    ingest(deidentifying, folder)
    again = ingest(deidentifying, folder)
    assert {outcome for outcome, _ in outcomes(again).values()} == {Outcome.DUPLICATE}
    assert Instance.objects.count() == SLICES
    assert IdentityKey.objects.count() == 1


def test_two_projects_give_one_patient_two_pseudonyms(deidentifying: Project, tmp_path: Path) -> None:
    made = create_project(key="lung-2", title="Other", actor=SYSTEM, reason="a test needs one")
    other = policy(made, identity_policy="de-identify")
    folder = written_to(tmp_path / "in", delivery())
    ingest(deidentifying, folder)
    ingest(other, folder)
    assert len(set(Study.objects.values_list("patient_key", flat=True))) == 2
    assert keys_of(other) != keys_of(deidentifying)


def test_a_project_that_refuses_identities_keeps_nothing_of_an_identified_file(
    project: Project, tmp_path: Path, own_data_folder: Path
) -> None:
    policy(project, identity_policy="refuse")
    harmless = series_files(PatientIdentityRemoved="YES", PatientName="", PatientID="case-17")
    project.refresh_from_db()
    done = ingest(project, written_to(tmp_path / "in", {**delivery(SeriesInstanceUID="1.2.3.4.5.6"), **harmless}))
    refused = IngestItem.objects.filter(ingest=done, code="identifies-a-person")
    assert refused.count() == SLICES
    assert all(item.kept_id is None and "PatientName" in item.message for item in refused)
    assert Instance.objects.count() == len(harmless)
    assert not any(b"Mustermann" in data for _, data in files_under(own_data_folder))


def test_a_project_that_keeps_identities_keeps_the_bytes_as_they_came(project: Project, tmp_path: Path) -> None:
    files = delivery()
    ingest(project, written_to(tmp_path / "in", files))
    assert set(Instance.objects.values_list("blob_id", flat=True)) == {
        hashlib.sha256(data).hexdigest() for data in files.values()
    }
    assert not IdentityKey.objects.exists()
    assert not Event.objects.filter(kind="identity.removed").exists()


def test_an_upload_is_gone_once_it_is_read_or_was_given_up(
    deidentifying: Project,
    own_data_folder: Path,
    settings: Settings,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    good = io.BytesIO(zipped(delivery()))
    bad = io.BytesIO(zipped(delivery(PatientID="x"))[:-30] + b"\0" * 30)
    made = receive_upload(
        project=deidentifying, filename="Mustermann.zip", stream=good, actor=SYSTEM, reason="a test sends it"
    )
    assert "Mustermann" not in made.source_name
    with pytest.raises(InvalidInput):
        receive_upload(project=deidentifying, filename="b.zip", stream=bad, actor=SYSTEM, reason="a test sends it")
    with django_capture_on_commit_callbacks(execute=True):
        drain(project_key=deidentifying.key, on_progress=lambda progress: None)
    assert list((own_data_folder / "uploads").iterdir()) == []
    assert Instance.objects.count() == SLICES
    # Without the site's key nothing can be read any more; the upload does not stay behind for that.
    Path(settings.IDENTITY_KEY_FILE).unlink()
    settings.EMBEDDED = False
    failed = receive_upload_again(deidentifying)
    assert failed == "identity-key-missing"
    assert list((own_data_folder / "uploads").iterdir()) == []


def receive_upload_again(project: Project) -> str:
    """Send a delivery once more and return the code with which it is refused."""
    with pytest.raises(Unavailable) as refused:
        receive_upload(
            project=project,
            filename="again.zip",
            stream=io.BytesIO(zipped(delivery())),
            actor=SYSTEM,
            reason="a test sends it",
        )
    return refused.value.code


def test_the_secret_lies_encrypted_and_its_key_apart(
    deidentifying: Project, settings: Settings, own_data_folder: Path
) -> None:
    secret = keys_of(deidentifying).secret
    assert keys_of(deidentifying) == ProjectKeys(secret)
    told = texts_in_the_database()
    assert secret.hex() not in told
    assert str(secret) not in told
    assert Path(settings.IDENTITY_KEY_FILE).stat().st_mode & 0o777 == 0o600
    with pytest.raises(Unavailable) as other_purpose:
        unseal(seal(b"x", purpose="one thing"), purpose="another")
    assert other_purpose.value.code == "identity-key-wrong"


def test_a_production_site_never_makes_its_key_by_itself(deidentifying: Project, settings: Settings) -> None:
    settings.EMBEDDED = False
    with pytest.raises(Unavailable) as refused:
        keys_of(deidentifying)
    assert refused.value.code == "identity-key-missing"
    call_command("create_identity_key", stdout=io.StringIO())
    assert keys_of(deidentifying)
    with pytest.raises(Conflict):
        create_key()


def test_another_key_does_not_open_what_is_sealed(deidentifying: Project, settings: Settings) -> None:
    keys_of(deidentifying)
    Path(settings.IDENTITY_KEY_FILE).unlink()
    create_key()
    with pytest.raises(Unavailable) as refused:
        keys_of(deidentifying)
    assert refused.value.code == "identity-key-wrong"


def test_a_trial_leaves_no_secret_behind(deidentifying: Project) -> None:
    assert terms_for_a_trial(deidentifying).policy == "de-identify"
    assert terms_of(deidentifying, folder=None).identity.policy == "de-identify"
    assert not IdentityKey.objects.exists()


@pytest.mark.requirement("REQ-17")
def test_a_pseudonym_is_looked_up_with_a_reason_and_on_the_record(deidentifying: Project, tmp_path: Path) -> None:
    ingest(deidentifying, written_to(tmp_path / "in", delivery()))
    pseudonym = Study.objects.get().patient_key
    told = io.StringIO()
    call_command("reidentify", pseudonym, project=deidentifying.key, reason="incidental finding to report", stdout=told)
    assert told.getvalue().splitlines() == ["patient: MRN4711-08", "patient-name: Mustermann^Erika"]
    event = Event.objects.get(kind="identity.revealed")
    assert event.reason == "incidental finding to report"
    assert event.payload == {"pseudonym": pseudonym, "found": 2}
    study = io.StringIO()
    uid = Study.objects.get().study_instance_uid
    call_command("reidentify", uid, project=deidentifying.key, reason="as above", stdout=study)
    assert study.getvalue().strip() == "study: 1.2.826.0.1.3680043.10"


def test_looking_for_a_name_finds_nothing_and_the_record_does_not_hold_it(
    deidentifying: Project, tmp_path: Path
) -> None:
    ingest(deidentifying, written_to(tmp_path / "in", delivery()))
    with pytest.raises(NotFound):
        reidentify(project=deidentifying, pseudonym="Mustermann", actor=SYSTEM, reason="curiosity")
    assert Event.objects.get(kind="identity.revealed").payload == {"pseudonym": "", "found": 0}
    with pytest.raises(CommandError, match="why"):
        call_command("reidentify", "P-1", project=deidentifying.key, reason="  ")


def test_without_the_key_nobody_is_looked_up(deidentifying: Project, tmp_path: Path, settings: Settings) -> None:
    ingest(deidentifying, written_to(tmp_path / "in", delivery()))
    Path(settings.IDENTITY_KEY_FILE).unlink()
    with pytest.raises(CommandError, match="identity-key-missing"):
        call_command("reidentify", Study.objects.get().patient_key, project=deidentifying.key, reason="a test asks")
    assert not Path(settings.IDENTITY_KEY_FILE).exists(), "looking something up makes no key"


def test_a_project_that_keeps_no_crosswalk_has_none(project: Project, tmp_path: Path) -> None:
    project = policy(project, identity_policy="de-identify")
    ingest(project, written_to(tmp_path / "in", delivery()))
    assert not CrosswalkPage.objects.exists()
    with pytest.raises(InvalidInput) as refused:
        reidentify(project=project, pseudonym=Study.objects.get().patient_key, actor=SYSTEM, reason="a test asks")
    assert refused.value.code == "crosswalk-not-kept"


def test_the_report_says_what_was_removed_and_names_nobody(deidentifying: Project, tmp_path: Path) -> None:
    done = ingest(deidentifying, written_to(tmp_path / "in", delivery()))
    report = report_of(project=deidentifying, ingest=done)
    assert report.files == SLICES
    told = io.StringIO()
    call_command("deidentification_report", project=deidentifying.key, stdout=told)
    assert f"PatientBirthDate ({SLICES})" in told.getvalue()
    assert not any(secret in told.getvalue() for secret in SECRETS)
    machine = io.StringIO()
    call_command("deidentification_report", project=deidentifying.key, ingest=str(done.pk), json=True, stdout=machine)
    assert json.loads(machine.getvalue())["files"] == SLICES


@pytest.mark.requirement("REQ-17")
def test_once_there_were_deliveries_a_policy_only_becomes_stricter(project: Project, tmp_path: Path) -> None:
    project = policy(project, identity_policy="de-identify")
    project = policy(project, identity_policy="keep", crosswalk_policy="kept")
    ingest(project, written_to(tmp_path / "in", series_files()))
    project = policy(project, identity_policy="refuse")
    project = policy(project, identity_policy="de-identify", crosswalk_policy="not-kept")
    for looser in ({"identity_policy": "keep"}, {"identity_policy": "refuse"}, {"crosswalk_policy": "kept"}):
        with pytest.raises(Conflict) as refused:
            policy(project, **looser)
        assert refused.value.code == "policy-would-loosen"
    with pytest.raises(InvalidInput):
        policy(project, identity_policy="blur")


def test_the_command_sets_the_policy(project: Project) -> None:
    told = io.StringIO()
    call_command("set_policy", project=project.key, identity="de-identify", crosswalk="kept", stdout=told)
    assert "identity_policy: de-identify" in told.getvalue()
    project.refresh_from_db()
    assert (project.identity_policy, project.crosswalk_policy) == ("de-identify", "kept")


def shapes_of(done: Ingest) -> list[tuple[object, ...]]:
    """Every finding of a delivery without what names anyone: kind of shape, place, size, ratings."""
    rows = FindingRevision.objects.filter(finding__annotation_set__series__project=done.project)
    return sorted(
        (
            row.category,
            row.shape,
            row.x_mm,
            row.y_mm,
            row.z_mm,
            row.diameter_mm or "",
            json.dumps(row.characteristics, sort_keys=True),
            json.dumps(row.measurement, sort_keys=True),
        )
        for row in rows
    )


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.requirement("REQ-17")
def test_lidc_0001_has_the_same_findings_with_and_without_identities(
    project: Project, deidentifying_too: Project, tmp_path: Path, own_data_folder: Path
) -> None:
    folder = written_to(tmp_path / "LIDC-IDRI-0001", real.archive("lidc-0001.zip"))
    identified_run = ingest(project, folder)
    cleaned_run = ingest(deidentifying_too, folder)
    assert shapes_of(cleaned_run) == shapes_of(identified_run)
    assert len(shapes_of(cleaned_run)) > 4
    summaries = [
        sorted(IngestItem.objects.filter(ingest=run).values_list("kind", "outcome", "code"))
        for run in (identified_run, cleaned_run)
    ]
    assert summaries[0] == summaries[1], "the misplaced segmentation is refused for the same reason"
    before, after = (Series.objects.get(project=one) for one in (project, deidentifying_too))
    assert before.grid is not None and after.grid is not None
    assert after.grid["affine"] == before.grid["affine"]
    assert after.acquisition == before.acquisition
    blobs = Instance.objects.filter(project=deidentifying_too).values_list("blob_id", flat=True)
    assert not any(b"1.3.6.1.4.1.14519" in read_blob(sha256) for sha256 in blobs)


@pytest.fixture
def deidentifying_too(db: None) -> Project:
    made = create_project(key="lung-clean", title="Clean", actor=SYSTEM, reason="a test needs one")
    return policy(made, identity_policy="de-identify")
