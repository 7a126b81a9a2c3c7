"""Places outside: a bucket with Object Lock, a time-stamp authority, a signing program, and other clocks."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from compliance import clock
from compliance.checkpoint_files import OUTBOX, Place, configured, kept_note, kept_sizes, require_place
from compliance.checkpoints import key_history, publish
from compliance.errors import CheckpointRefused, SigningFailed
from compliance.evidence import build_kit
from compliance.ledger.note import Checkpoint, VerifierKey
from compliance.models import Event
from compliance.object_lock import Bucket
from compliance.outside import carry_out, stamp_of
from compliance.sealing import seal
from compliance.signers import CommandSigner, FileSigner
from compliance.timestamps import StampRefused, configured_authority, read_stamp, request_stamp, stamp_file
from compliance.verification import verify_live
from tests.compliance.databases import past_the_triggers
from tests.compliance.kits import checked, contents, repacked, second_opinion
from tests.compliance.outsiders import StampAuthority, stamp_authority
from tests.compliance.scenes import open_case, rename_case, view_case

pytestmark = pytest.mark.requirement("REQ-01")

SIGNING_PROGRAM = """\
import sys
from pathlib import Path
from compliance.signers import FileSigner
message = sys.stdin.buffer.read()
sys.stdout.buffer.write(FileSigner.load(Path(sys.argv[1])).sign(message))
"""


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """moto's server on loopback; its address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3: str, settings: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """A client of a bucket of this test's own, with Object Lock, named in the settings."""
    import boto3

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    client = boto3.client("s3", endpoint_url=s3, region_name="us-east-1")
    client.bucket_name = request.node.name.replace("_", "-").lower()[:60].strip("-")
    client.create_bucket(Bucket=client.bucket_name, ObjectLockEnabledForBucket=True)
    settings.CHECKPOINT_BUCKET = f"s3://{client.bucket_name}/site-1?endpoint={s3}&region=us-east-1&retain_days=30"
    return client


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StampAuthority]:
    with stamp_authority(tmp_path_factory.mktemp("authority") / "tsa") as found:
        yield found


def messages() -> list[str]:
    return [problem.message for problem in verify_live().problems]


def ran(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=out)
    return out.getvalue()


def place() -> Place:
    found = configured()
    assert found is not None
    return found


def test_checkpoints_go_to_the_bucket_locked_and_are_compared_there(sqlite_database: Path, bucket: Any) -> None:
    open_case()
    publish()
    assert carry_out() == []
    view_case(open_case())
    publish()
    assert carry_out() == []
    listed = bucket.list_objects_v2(Bucket=bucket.bucket_name)["Contents"]
    assert [one["Key"] for one in listed] == ["site-1/000000000002.checkpoint", "site-1/000000000004.checkpoint"]
    held = bucket.get_object(Bucket=bucket.bucket_name, Key=listed[0]["Key"])
    assert held["ObjectLockMode"] == "COMPLIANCE"
    left = held["ObjectLockRetainUntilDate"] - datetime.datetime.now(tz=datetime.UTC)
    assert datetime.timedelta(days=29) < left < datetime.timedelta(days=31)
    assert held["Body"].read() == (place().directory / "000000000002.checkpoint").read_bytes()
    assert list((place().directory / OUTBOX).iterdir()) == []
    result = verify_live()
    assert (result.ok, result.checkpoints, result.copies) == (True, 2, 2)
    assert "2 checkpoints, 2 copies in the bucket" in ran("verify_ledger")


def test_who_rewrites_database_disk_and_key_is_caught_by_the_bucket(
    sqlite_database: Path, bucket: Any, tmp_path: Path
) -> None:
    """The one who holds everything on the server: only the copy that cannot be removed contradicts them."""
    case = open_case()
    rename_case(case, "Mass")
    true = str(publish())
    carry_out()
    with past_the_triggers() as cursor:
        for table in ("compliance_ledgerentry", "compliance_event", "testapp_historicalcase", "testapp_case"):
            cursor.execute(f"DELETE FROM {table}")
    for path in place().directory.glob("*.checkpoint"):
        path.unlink()
    open_case(title="As it never was")
    seal()
    forged = publish()
    view_case(open_case())
    assert Checkpoint.parse(forged.text).size == 2
    assert any("the copy in the bucket of checkpoint 3" in one for one in messages())
    key = "site-1/000000000003.checkpoint"
    bucket.put_object(Bucket=bucket.bucket_name, Key=key, Body=str(forged).encode())
    assert str(true) != str(forged)
    found = messages()
    assert any("the copy in the bucket of checkpoint 3" in one for one in found), "a later version hides nothing"
    assert "the copy of 000000000003.checkpoint in the bucket is not locked in COMPLIANCE mode" in found
    bucket.delete_object(Bucket=bucket.bucket_name, Key=key)
    assert any("hidden by a delete marker" in one for one in messages())


def test_a_bucket_that_is_away_is_told_and_gets_later_what_it_missed(
    sqlite_database: Path, bucket: Any, settings: Any
) -> None:
    there = settings.CHECKPOINT_BUCKET
    settings.CHECKPOINT_BUCKET = ""
    open_case()
    publish()
    settings.CHECKPOINT_BUCKET = "s3://nobody/here?endpoint=http://127.0.0.1:9&region=us-east-1"
    view_case(open_case())
    publish()
    (finding,) = carry_out()
    assert finding.kind == "checkpoint.not-copied"
    assert finding.words.startswith("Checkpoints are not copied to the bucket: bucket nobody does not answer")
    result = verify_live()
    assert result.ok, "a place that is away is no alteration"
    assert result.unreachable.startswith("bucket nobody does not answer")
    with pytest.raises(CommandError, match="as far as could be compared") as refused:
        ran("verify_ledger")
    assert refused.value.returncode == 3
    settings.CHECKPOINT_BUCKET = "s3://?"
    (finding,) = carry_out()
    assert "s3://bucket/prefix" in finding.words
    settings.CHECKPOINT_BUCKET = there
    assert carry_out() == []
    assert verify_live().copies == 2, "what was published before the bucket was named is there too"


def test_a_bucket_without_object_lock_or_with_other_bytes_takes_nothing(
    sqlite_database: Path, bucket: Any, settings: Any
) -> None:
    open_case()
    publish()
    name = "site-1/000000000002.checkpoint"
    bucket.put_object(Bucket=bucket.bucket_name, Key=name, Body=b"somebody else's")
    (finding,) = carry_out()
    assert "holds 000000000002.checkpoint already, with other bytes" in finding.words
    bucket.create_bucket(Bucket="without-lock")
    settings.CHECKPOINT_BUCKET = settings.CHECKPOINT_BUCKET.replace(bucket.bucket_name, "without-lock")
    (finding,) = carry_out()
    assert "does not answer as it should" in finding.words
    assert len(list((place().directory / OUTBOX).iterdir())) == 1


def test_boto3_is_not_imported_where_no_bucket_is_named() -> None:
    script = "import sys; import compliance.object_lock; sys.exit('boto3' in sys.modules)"
    environment = {"DJANGO_SETTINGS_MODULE": "tests.compliance.settings", "PYTHONPATH": "."}
    prepared = f"import django; django.setup(); {script}"
    assert subprocess.run([sys.executable, "-c", prepared], env=environment, check=False).returncode == 0


@pytest.mark.parametrize("url", ["https://b/p", "s3://", "s3://b?retain_days=0", "s3://b?retain_days=x", "s3://b?o=1"])
def test_a_bucket_has_a_name_and_a_time(url: str) -> None:
    with pytest.raises(ValueError, match=r"bucket is|invalid literal"):
        Bucket.parse(url)


def test_a_time_stamp_is_kept_beside_its_checkpoint_and_checked(
    sqlite_database: Path, authority: StampAuthority, settings: Any
) -> None:
    settings.TSA_URL, settings.TSA_SECONDS, settings.TSA_CA_FILE = authority.url, 3600, authority.ca_file
    open_case()
    publish()
    assert carry_out() == []
    asked = authority.asked
    view_case(open_case())
    publish()
    assert carry_out() == []
    assert authority.asked == asked, "the last one is young enough"
    settings.TSA_SECONDS = 0
    assert carry_out() == []
    assert [stamp_file(place(), size).exists() for size in kept_sizes(place())] == [True, True]
    assert carry_out() == []
    assert authority.asked == asked + 1, "nothing new to stamp"
    assert verify_live().ok
    first, second = (stamp_file(place(), size) for size in kept_sizes(place()))
    whole = first.read_bytes()
    first.chmod(0o644)
    for spoilt, what in (
        (second.read_bytes(), "it stamps something else than this checkpoint"),
        (b"no stamp", "what lies there is no time-stamp"),
        (whole[:-4] + b"\0\0\0\0", "its signature does not hold"),
    ):
        first.write_bytes(spoilt)
        assert [one.split(":")[0] for one in messages()] == ["the time-stamp of checkpoint 2"]
        assert what in messages()[0]
    first.write_bytes(whole)
    settings.TSA_CA_FILE = place().directory / "none.pem"
    assert "certificate cannot be read" in messages()[0]


def test_an_authority_that_is_away_or_lies_holds_nothing_up(
    sqlite_database: Path, authority: StampAuthority, settings: Any
) -> None:
    open_case()
    note = publish()
    assert stamp_of(note) is None
    settings.TSA_URL, settings.TSA_CA_FILE = authority.url, authority.ca_file
    old = request_stamp("another\n9\nAAAA\n", configured_authority())
    refused = bytes.fromhex("30053003020102")
    for answer, what in (
        (None, "does not answer: HTTPError"),
        (old.data, "something else than this checkpoint"),
        (refused, "status 2"),
        (b"x" * 70_000, "too long"),
    ):
        authority.answers.append(answer)
        (finding,) = carry_out()
        assert finding.kind == "checkpoint.not-stamped"
        assert what in finding.words, what
    replayed = request_stamp(note.text, configured_authority())
    authority.answers.append(replayed.data)
    (finding,) = carry_out()
    assert "answers another request" in finding.words
    settings.TSA_URL = "ftp://127.0.0.1/"
    assert "http or https" in carry_out()[0].words
    settings.TSA_URL = authority.url
    authority.answers.append(None)
    assert stamp_of(note) is None
    assert stamp_of(note) == stamp_file(place(), 2).read_bytes()
    assert stamp_of(note) == stamp_file(place(), 2).read_bytes()
    with pytest.raises(StampRefused, match="something else"):
        read_stamp(replayed.data, text="x", authority=None)


def test_the_kit_brings_its_time_stamp_and_both_verifiers_check_what_it_stamps(
    sqlite_database: Path, authority: StampAuthority, settings: Any, tmp_path: Path
) -> None:
    settings.TSA_URL = authority.url
    open_case()
    note = publish()
    kit = build_kit(tmp_path / "kit.zip", files={}, facts={}, checkpoint=note, stamp=stamp_of(note))
    stamp = read_stamp(contents(kit.path)["checkpoint.tsr"], text=note.text, authority=None)
    for run in (checked, second_opinion):
        status, output = run(kit.path)
        assert status == 0, output
        assert f"stamped  {stamp.at:%Y%m%d%H%M%S}Z" in output
        command = next(line for line in output.splitlines() if "openssl ts" in line).strip()
    (tmp_path / "checkpoint.tsr").write_bytes(stamp.data)
    wanted = command.split()
    wanted[wanted.index("-CAfile") + 1] = str(authority.ca_file)
    done = subprocess.run(wanted, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Verification: OK" in done.stdout, done.stderr
    other = request_stamp("another\n9\nAAAA\n", configured_authority())
    for spoilt in (other.data, b"no stamp", stamp.data[:60]):
        forged = repacked(tmp_path / "forged.zip", {**contents(kit.path), "checkpoint.tsr": spoilt}, manifest=True)
        for run in (checked, second_opinion):
            status, output = run(forged)
            assert status == 1
            assert "checkpoint.tsr" in output


def program(tmp_path: Path, key: Path) -> tuple[str, ...]:
    script = tmp_path / "sign.py"
    script.write_text(SIGNING_PROGRAM)
    return sys.executable, str(script), str(key)


@pytest.mark.requirement("REQ-20")
def test_a_program_of_the_sites_own_signs_from_the_start_or_after_a_rotation(
    sqlite_database: Path, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    open_case()
    publish()
    file_key = place().key_file
    kept = {}
    for name in ("first", "second"):
        path = tmp_path / name
        kept[name] = FileSigner.create(path, name=f"qa.example.org/{name}").key
    settings.LEDGER_SIGNER, settings.LEDGER_SIGNER_KEY = program(tmp_path, tmp_path / "first"), str(kept["first"])
    view_case(open_case())
    publish()
    ran("ledger_key", "--rotate", "--reason", "a module signs from now on")
    file_key.unlink()
    assert Checkpoint.parse(publish().text).origin == "qa.example.org/first"
    former = " ".join(settings.LEDGER_SIGNER)
    with pytest.raises(CommandError, match="names the key of LEDGER_SIGNER already"):
        ran("ledger_key", "--rotate", "--reason", "once more")
    settings.LEDGER_SIGNER, settings.LEDGER_SIGNER_KEY = program(tmp_path, tmp_path / "second"), str(kept["second"])
    ran("ledger_key", "--rotate", "--reason", "a new module", "--signed-by", former)
    assert [key.name for _, key, fault in key_history() if not fault][1:] == [
        "qa.example.org/first",
        "qa.example.org/second",
    ]
    view_case(open_case())
    assert kept_note(require_place(), Checkpoint.parse(publish().text).size)
    assert verify_live().ok


def test_a_program_that_does_not_sign_signs_nothing(
    sqlite_database: Path, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = FileSigner.create(tmp_path / "k", name="qa.example.org").key
    python = sys.executable
    for command, what in (
        (("/nowhere/at-all",), "cannot be run"),
        ((python, "-c", "import sys; sys.exit(3)"), "ended with status 3"),
        ((python, "-c", "print('hello')"), "is no signature by qa.example.org"),
        ((python, "-c", "print('A' * 64, end='')"), "is no signature by qa.example.org"),
    ):
        with pytest.raises(SigningFailed, match=what):
            CommandSigner(command=command, key=key).sign(b"x")
    monkeypatch.setattr("compliance.signers.PROGRAM_SECONDS", 0)
    with pytest.raises(SigningFailed, match="did not answer"):
        CommandSigner(command=(python, "-c", "import time; time.sleep(60)"), key=key).sign(b"x")
    monkeypatch.undo()
    settings.LEDGER_SIGNER, settings.LEDGER_SIGNER_KEY = (python, "-c", "print('hello')"), str(key)
    open_case()
    with pytest.raises(SigningFailed):
        publish()
    assert not Event.objects.filter(kind="ledger.key-installed").exists(), "a key that signs nothing is not named"
    settings.LEDGER_SIGNER_KEY = "no key"
    with pytest.raises(CheckpointRefused, match="not the key of LEDGER_SIGNER"):
        publish()
    settings.LEDGER_SIGNER = program(tmp_path, tmp_path / "k")
    settings.LEDGER_SIGNER_KEY = str(key)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    assert Checkpoint.parse(publish().text).origin == "qa.example.org"
    assert VerifierKey.parse(str(key)) == key


@pytest.mark.requirement("REQ-12")
def test_a_clock_that_stands_apart_from_another_is_told(
    database: str, authority: StampAuthority, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TSA_URL, settings.CLOCK_SECONDS = authority.url, 120
    open_case()
    publish()
    assert carry_out() == []
    assert clock.clock_findings() == []
    true = clock.server_time()
    for drift, words in (
        (datetime.timedelta(hours=2), "7200.0 seconds ahead of the database's clock"),
        (datetime.timedelta(hours=-2), "7200.0 seconds behind the database's clock"),
    ):
        monkeypatch.setattr(clock, "server_time", lambda drift=drift: true + drift)
        monkeypatch.setattr(clock, "database_time", lambda: true)
        found = {finding.about[1]: finding.words for finding in clock.clock_findings()}
        assert words in found["database"]
        assert ("record" in found) == (drift < datetime.timedelta()), "the newest event is of a later time"
    monkeypatch.undo()
    stamp = next(place().directory.glob("*.tsr"))
    os.utime(stamp, (0, 0))
    (finding,) = clock.clock_findings()
    assert (finding.kind, finding.about) == ("clock.drift", ("clock", "time-stamp"))
    assert "behind the time-stamp authority's clock" in finding.words
    stamp.chmod(0o644)
    stamp.write_bytes(b"spoilt")
    assert clock.clock_findings() == []
