"""Bytes: stored once under their digest, proved when read; arrays that can be computed again."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from numpy.typing import NDArray

from compliance.contents import verify_contents
from compliance.errors import UnrecordedChange
from compliance.models import Event
from compliance.recording import SYSTEM, change
from qaservice.common.errors import NotFound, Unavailable
from qaservice.projects.models import Project
from qaservice.storage import derived, files
from qaservice.storage.models import Blob
from qaservice.storage.selectors import blob_path, read_blob
from qaservice.storage.services import BlobWriter, store_blob, store_blobs, write_bytes

DIGEST = "ab" * 32


def recorded() -> change:  # type: ignore[valid-type]  # a context manager made by a decorator
    return change("storage.derived-cleared", actor=SYSTEM, reason="a test writes", subject=("storage", "test"))


def test_bytes_are_stored_once_under_their_digest(project: Project) -> None:
    with recorded():
        first = store_blob(data=b"abc", media_type="text/plain")
        again = store_blob(data=b"abc", media_type="text/plain")
    assert first.sha256 == again.sha256 == hashlib.sha256(b"abc").hexdigest()
    assert Blob.objects.count() == 1 and first.size == 3
    place = blob_path(first.sha256)
    assert place.read_bytes() == read_blob(first.sha256) == b"abc"
    assert stat.S_IMODE(place.stat().st_mode) == 0o444
    assert [path.name for path in place.parent.iterdir()] == [first.sha256], "no temporary file is left"


def test_many_blobs_are_recorded_as_one_and_returned_in_order(project: Project) -> None:
    items = [write_bytes(data=data, media_type="text/plain") for data in (b"b", b"a", b"b")]
    with recorded():
        blobs = store_blobs(items=items)
    assert [blob.sha256 for blob in blobs] == [item.sha256 for item in items]
    [entry] = Event.objects.get(reason="a test writes").rows
    assert entry["count"] == 2 and len(entry["root"]) == 64


def test_a_row_is_never_written_outside_a_change(project: Project) -> None:
    with pytest.raises(UnrecordedChange):
        store_blob(data=b"abc", media_type="text/plain")
    assert not Blob.objects.exists()


@pytest.mark.requirement("REQ-01")
def test_altered_bytes_are_not_handed_out(project: Project) -> None:
    with recorded():
        blob = store_blob(data=b"abc", media_type="text/plain")
    place = blob_path(blob.sha256)
    place.chmod(0o644)
    place.write_bytes(b"abd")
    with pytest.raises(Unavailable, match="no longer those") as altered:
        read_blob(blob.sha256)
    assert altered.value.code == "blob-altered"
    place.write_bytes(b"abcd")
    with pytest.raises(Unavailable, match="4 bytes instead of 3"):
        files.write_once(b"abc")
    place.unlink()
    with pytest.raises(Unavailable) as missing:
        read_blob(blob.sha256)
    assert missing.value.code == "blob-missing"


@pytest.mark.requirement("REQ-01")
def test_verification_of_the_record_names_a_blob_that_was_altered_or_lost(project: Project) -> None:
    with recorded():
        altered, lost, _ = (store_blob(data=data, media_type="text/plain") for data in (b"abc", b"lost", b"whole"))
    assert verify_contents() == []
    blob_path(altered.sha256).chmod(0o644)
    blob_path(altered.sha256).write_bytes(b"abd")
    blob_path(lost.sha256).unlink()
    found = {problem.record_id: problem.message.split(": ")[1] for problem in verify_contents()}
    assert found == {altered.sha256: "its bytes were altered", lost.sha256: "its bytes are missing or cannot be read"}
    with pytest.raises(CommandError, match="2 problems, the first: storage_blob"):
        call_command("verify_ledger")
    call_command("verify_ledger", skip_contents=True)


def test_a_blob_that_was_never_recorded_is_not_found(project: Project) -> None:
    with pytest.raises(NotFound):
        blob_path(DIGEST)


def test_a_write_that_fails_leaves_no_file(own_data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        files.write_once(b"abc")
    assert [path for path in own_data_folder.rglob("*") if path.is_file()] == []


def made(calls: list[int]) -> NDArray[np.int16]:
    calls.append(1)
    return np.arange(6, dtype=np.int16).reshape(2, 3)


def get(calls: list[int], *, version: str = "1") -> NDArray[np.int16]:
    return derived.array(input_digest=DIGEST, operation="test", version=version, make=lambda: made(calls))


def test_a_derived_array_is_computed_once_for_each_version() -> None:
    calls: list[int] = []
    assert np.array_equal(get(calls), get(calls)) and len(calls) == 1
    assert not get(calls).flags.writeable
    get(calls, version="2")
    assert len(calls) == 2


def test_a_torn_cache_file_is_computed_again(own_data_folder: Path) -> None:
    calls: list[int] = []
    get(calls)
    [place] = own_data_folder.rglob("*.npy")
    place.write_bytes(place.read_bytes()[:90])
    assert np.array_equal(get(calls), made([])) and len(calls) == 2


def test_a_key_cannot_name_a_place_outside_the_cache() -> None:
    with pytest.raises(ValueError, match="cannot name"):
        derived.array(input_digest=DIGEST, operation="../x", version="1", make=lambda: made([]))


def test_clearing_drops_what_can_be_computed_again_and_is_recorded(
    project: Project, own_data_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[int] = []
    get(calls)
    call_command("clear_derived", reason="the disk is full", skip_checks=True)
    assert "dropped" in capsys.readouterr().out
    assert list(own_data_folder.rglob("*.npy")) == []
    assert Event.objects.get(kind="storage.derived-cleared").reason == "the disk is full"
    get(calls)
    assert len(calls) == 2


def test_many_files_are_on_disk_when_the_block_ends(own_data_folder: Path) -> None:
    with BlobWriter() as writer:
        items = [writer.write(data=bytes([number]), media_type="text/plain") for number in range(100)]
    assert [files.path_of(item.sha256).read_bytes() for item in items] == [bytes([number]) for number in range(100)]


def test_a_file_that_cannot_be_written_is_heard_of_before_anything_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(data: bytes) -> str:
        raise OSError("no space left on device")

    monkeypatch.setattr(files, "write_once", full)
    with pytest.raises(OSError, match="no space"), BlobWriter() as writer:
        writer.write(data=b"abc", media_type="text/plain")
