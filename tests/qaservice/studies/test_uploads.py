"""Uploads: what cannot be read is refused with its reason and leaves nothing behind."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from compliance.models import Event
from compliance.recording import SYSTEM
from qaservice.common.errors import InvalidInput, NotPermitted
from qaservice.jobs.models import Job
from qaservice.jobs.runner import drain
from qaservice.projects.models import Project
from qaservice.storage.models import Blob
from qaservice.studies.models import Ingest
from qaservice.studies.services import announce_ingest, receive_upload
from qaservice.studies.sources import SourceLimits, open_source
from tests.imaging.readers.label_makers import MAKERS
from tests.imaging.readers.made import a_file
from tests.qaservice.studies.deliveries import outcomes, series_files, slice_file, zipped

SMALL_FILES = SourceLimits(files=10, file_bytes=10_000, total_bytes=100_000, ratio=200, ratio_from_bytes=1 << 20)
SMALL = SourceLimits(files=3, file_bytes=1000, total_bytes=2000, ratio=10, ratio_from_bytes=500)


def upload(project: Project, data: bytes, name: str = "upload.bin") -> Ingest:
    return receive_upload(
        project=project, filename=name, stream=io.BytesIO(data), actor=SYSTEM, reason="a test sends it"
    )


def nothing_is_left(folder: Path) -> bool:
    files = [path for path in folder.rglob("*") if path.is_file()]
    events = Event.objects.filter(kind__startswith="ingest.")
    return not (files or Ingest.objects.exists() or Blob.objects.exists() or Job.objects.exists() or events.exists())


def outside() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("good.dcm", slice_file(number=0))
        archive.writestr("../../outside.dcm", slice_file(number=1))
    return buffer.getvalue()


def tar_outside() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("/etc/outside.dcm")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"abcd"))
    return buffer.getvalue()


@pytest.mark.requirement("REQ-17")
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (zipped(series_files())[:-400], "truncated-archive"),
        (b"just some text", "nothing-recognised"),
        (zipped({"readme.txt": b"hello"}), "nothing-recognised"),
        (zipped({}), "empty-delivery"),
        (b"", "empty-upload"),
        (outside(), "path-outside-archive"),
        (tar_outside(), "path-outside-archive"),
        (b"\x1f\x8b" + b"\0" * 600, "truncated-archive"),
    ],
    ids=["cut-zip", "text", "zip-of-text", "empty-zip", "nothing", "zip-slip", "tar-slip", "damaged-gzip"],
)
def test_what_cannot_be_read_is_refused_and_leaves_nothing(
    project: Project, own_data_folder: Path, data: bytes, code: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        upload(project, data)
    assert refusal.value.code == code and refusal.value.message
    assert nothing_is_left(own_data_folder)


def test_an_upload_beyond_the_limit_is_refused_while_it_streams(
    project: Project, own_data_folder: Path, settings: Settings
) -> None:
    settings.MAX_UPLOAD_BYTES = 1000
    with pytest.raises(InvalidInput, match="more than 1000 bytes"):
        upload(project, slice_file(number=0) * 3)
    assert nothing_is_left(own_data_folder)


def test_an_upload_is_read_and_its_file_removed(
    project: Project, own_data_folder: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    received = upload(project, zipped(series_files()), "../../study.zip")
    assert received.source_name == "study.zip"
    with django_capture_on_commit_callbacks(execute=True):
        drain(project_key=project.key, on_progress=lambda progress: None)
    received.refresh_from_db()
    assert received.state == "completed" and received.summary["stored"] == 5
    assert list((own_data_folder / "uploads").iterdir()) == []


def test_a_single_slice_may_be_uploaded_and_is_kept_apart(project: Project) -> None:
    received = upload(project, a_file(), "one.dcm")
    drain(project_key=project.key, on_progress=lambda progress: None)
    [(outcome, code)] = outcomes(received).values()
    assert (outcome, code) == ("quarantined", "too-few-slices")


def test_labels_of_simulated_readers_are_refused_in_a_regulated_project(project: Project, tmp_path: Path) -> None:
    project.regulated = True
    place = tmp_path / "one.dcm"
    place.write_bytes(a_file())
    with pytest.raises(NotPermitted):
        announce_ingest(
            project=project, source_path=place, source_name="x", actor=SYSTEM, reason="a test", simulated=True
        )


def test_a_damaged_entry_of_an_archive_is_refused_alone(project: Project) -> None:
    data = bytearray(zipped(series_files()))
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
        third = archive.infolist()[2]
    name_length, extra_length = struct.unpack_from("<HH", data, third.header_offset + 26)
    start = third.header_offset + 30 + name_length + extra_length
    data[start + 40 : start + 60] = b"\xff" * 20
    received = upload(project, bytes(data))
    drain(project_key=project.key, on_progress=lambda progress: None)
    found = outcomes(received)
    assert found[third.filename] == ("refused", "damaged-entry")
    assert sum(outcome == "refused" for outcome, _ in found.values()) == 1


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({f"{number}.dcm": b"x" for number in range(4)}, "too-many-files"),
        ({"a": b"1" * 900, "b": b"2" * 900, "c": b"3" * 900}, "too-large"),
    ],
)
def test_a_delivery_beyond_its_limits_is_refused(tmp_path: Path, files: dict[str, bytes], code: str) -> None:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InvalidInput) as refusal, open_source(tmp_path, SMALL):
        pass
    assert refusal.value.code == code


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_made_to_exhaust_memory_is_refused_before_it_is_unpacked(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "bomb"
    if kind == "zip":
        place.write_bytes(zipped({"zeros": b"\0" * 100_000}))
    else:
        with tarfile.open(place, "w:gz") as archive:
            info = tarfile.TarInfo("zeros")
            info.size = 100_000
            archive.addfile(info, io.BytesIO(b"\0" * 100_000))
    with pytest.raises(InvalidInput) as refusal, open_source(place, SMALL):
        pass
    assert refusal.value.code == "archive-bomb"


def test_links_and_twins_in_archives_get_their_own_outcome(tmp_path: Path) -> None:
    place = tmp_path / "odd.zip"
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("twin.dcm", b"first")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("twin.dcm", b"second")
        link = zipfile.ZipInfo("link.dcm")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with open_source(place, SMALL) as entries:
        names = [entry.name for entry in entries]
        assert names == ["twin.dcm", "twin.dcm (number 2 of this name)", "link.dcm"]
        assert [entries[0].read(None), entries[1].read(None)] == [b"first", b"second"]
        with pytest.raises(Exception, match="symbolic link"):
            entries[2].read(None)


def test_a_tar_with_a_link_keeps_its_other_files(tmp_path: Path) -> None:
    place = tmp_path / "in.tar"
    with tarfile.open(place, "w") as archive:
        info = tarfile.TarInfo("good.dcm")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"abcd"))
        link = tarfile.TarInfo("link.dcm")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with open_source(place, SMALL) as entries:
        assert entries[0].read(None) == b"abcd"
        with pytest.raises(Exception, match="link"):
            entries[1].read(None)


def test_a_compressed_label_by_itself_is_no_tar_archive(tmp_path: Path) -> None:
    place = tmp_path / "mask.nii.gz"
    place.write_bytes(gzip.compress(MAKERS["nifti"].valid()))
    with open_source(place, SMALL_FILES) as entries:
        assert [entry.name for entry in entries] == ["mask.nii.gz"]


def a_compressed_tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for number in range(3):
            info = tarfile.TarInfo(f"{number}.dcm")
            info.size = 2000
            archive.addfile(info, io.BytesIO(bytes((number * at) % 251 for at in range(2000))))
    return buffer.getvalue()


def test_no_flipped_bit_of_a_compressed_tar_arrives_as_other_bytes(tmp_path: Path) -> None:
    sound = a_compressed_tar()
    place = tmp_path / "in.tar.gz"
    place.write_bytes(sound)
    with open_source(place, SMALL_FILES) as entries:
        expected = [entry.read(None) for entry in entries]
    for at in range(10, len(sound), 7):
        damaged = bytearray(sound)
        damaged[at] ^= 0x10
        place.write_bytes(damaged)
        try:
            with open_source(place, SMALL_FILES) as entries:
                # Bits that no checksum covers (padding of the compressed stream) change nothing.
                assert [entry.read(None) for entry in entries] == expected
        except InvalidInput as error:
            assert error.code in {"truncated-archive", "path-outside-archive"}


def test_a_tar_header_of_numbers_that_are_none_is_damaged_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "in.tar"
    with tarfile.open(place, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a.dcm")
        info.size = 3
        info.pax_headers = {"GNU.sparse.map": "0,1,x", "GNU.sparse.size": "x"}
        archive.addfile(info, io.BytesIO(b"abc"))
    with pytest.raises(InvalidInput) as refused, open_source(place, SMALL_FILES):
        pass
    assert refused.value.code == "truncated-archive"
