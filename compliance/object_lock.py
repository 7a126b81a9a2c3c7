"""Copies of the checkpoints in an S3 bucket with Object Lock: nobody removes or replaces them before their time.

Each object is put once, in COMPLIANCE mode, which the account's own administrator cannot lift. An object can be hidden
under a later version or a delete marker, so verification reads every version. boto3 is imported only where a bucket is
named; credentials come from where boto3 looks for them.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from django.conf import settings

from compliance.checkpoint_files import ENDING, Place, path_of, waiting
from compliance.errors import PlaceUnreachable

COMPLIANCE = "COMPLIANCE"
RETAIN_DAYS = 3653
"""Ten years, where the site does not say how long."""

CONNECT_SECONDS, READ_SECONDS = 5, 10
NAME = re.compile(r"(\d{12})(\..+)")


@dataclass(frozen=True)
class Bucket:
    """Where copies go: bucket, what stands before each name, the server where it is not Amazon's, and for how long."""

    name: str
    prefix: str
    endpoint: str | None
    region: str | None
    retain_days: int

    @classmethod
    def parse(cls, url: str) -> Bucket:
        """Return what ``s3://bucket/prefix?region=R&endpoint=URL&retain_days=N`` says. Raises ValueError."""
        parts = urlsplit(url)
        asked = dict(parse_qsl(parts.query))
        days = int(asked.pop("retain_days", RETAIN_DAYS))
        endpoint, region = asked.pop("endpoint", None), asked.pop("region", None)
        if parts.scheme != "s3" or not parts.netloc or asked or days < 1:
            raise ValueError("a bucket is s3://bucket/prefix?region=...&endpoint=...&retain_days=...")
        prefix = parts.path.strip("/")
        return cls(parts.netloc, f"{prefix}/" if prefix else "", endpoint, region, days)

    def __str__(self) -> str:
        return f"bucket {self.name}"


@dataclass(frozen=True)
class Copy:
    """One version of one object. ``data`` is None for a delete marker; ``locked`` is None where it was not asked."""

    size: int
    ending: str
    data: bytes | None
    locked: bool | None

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.size:012d}{self.ending}"


def configured_bucket() -> Bucket | None:
    """Return the bucket that the site's settings name, or None. Raises ValueError for a name that is none."""
    url = str(getattr(settings, "CHECKPOINT_BUCKET", ""))
    return Bucket.parse(url) if url else None


def send(place: Place, bucket: Bucket) -> int:
    """Send the files that wait to the bucket, and return how many.

    What could not be sent waits on. Raises PlaceUnreachable where the bucket does not answer, has no Object Lock, or
    holds other bytes under a name.
    """
    files = waiting(place)
    if not files:
        return 0
    with _client_of(bucket) as client:
        for path in files:
            # Another process may have sent it, and taken its second name away, in this very moment.
            with suppress(FileNotFoundError):
                _put(client, bucket, path.name, path.read_bytes())
                path.unlink()
    return len(files)


def copies(place: Place, bucket: Bucket) -> list[Copy]:
    """Return every version of every object, those that differ from the disk with what they hold.

    An object whose MD5, as the bucket lists it, is that of the file on disk is taken to hold the same bytes; the newest
    checkpoint is read in any case, with its lock. Raises PlaceUnreachable.
    """
    found: list[Copy] = []
    with _client_of(bucket) as client:
        pages = client.get_paginator("list_object_versions").paginate(Bucket=bucket.name, Prefix=bucket.prefix)
        listed = [one for page in pages for one in _listed(page, bucket)]
        newest = max((size for size, ending, _ in listed if ending == ENDING), default=-1)
        for size, ending, version in listed:
            if "ETag" not in version:
                found.append(Copy(size, ending, None, None))
                continue
            data = _same_on_disk(place, size, ending, str(version["ETag"]))
            if data is not None and not (size == newest and ending == ENDING):
                found.append(Copy(size, ending, data, None))
                continue
            answer = client.get_object(Bucket=bucket.name, Key=version["Key"], VersionId=version["VersionId"])
            locked = answer.get("ObjectLockMode") == COMPLIANCE and "ObjectLockRetainUntilDate" in answer
            found.append(Copy(size, ending, answer["Body"].read(), locked))
    return found


def _listed(page: dict[str, Any], bucket: Bucket) -> Iterator[tuple[int, str, dict[str, Any]]]:
    for version in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
        named = NAME.fullmatch(str(version["Key"]).removeprefix(bucket.prefix))
        if named:
            yield int(named[1]), named[2], version


def _same_on_disk(place: Place, size: int, ending: str, etag: str) -> bytes | None:
    try:
        data = path_of(place, size, ending).read_bytes()
    except OSError:
        return None
    return data if hashlib.md5(data, usedforsecurity=False).hexdigest() == etag.strip('"') else None


def _put(client: Any, bucket: Bucket, name: str, data: bytes) -> None:
    from botocore.exceptions import ClientError

    until = datetime.datetime.now(tz=datetime.UTC) + datetime.timedelta(days=bucket.retain_days)
    key = bucket.prefix + name
    try:
        client.put_object(
            Bucket=bucket.name,
            Key=key,
            Body=data,
            ChecksumAlgorithm="SHA256",
            ObjectLockMode=COMPLIANCE,
            ObjectLockRetainUntilDate=until,
            # Never a second version over the first.
            IfNoneMatch="*",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "PreconditionFailed":
            raise
        if client.get_object(Bucket=bucket.name, Key=key)["Body"].read() != data:
            raise PlaceUnreachable(f"{bucket} holds {name} already, with other bytes") from error


@contextmanager
def _client_of(bucket: Bucket) -> Iterator[Any]:
    """Give a client, and turn what boto3 raises into PlaceUnreachable, without what may hold credentials."""
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise PlaceUnreachable("boto3 is not installed: pip install 'label-qa[object-lock]'") from error
    config = Config(
        connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries={"max_attempts": 1, "mode": "standard"}
    )
    try:
        client = boto3.client("s3", endpoint_url=bucket.endpoint, region_name=bucket.region, config=config)
    except (BotoCoreError, ValueError) as error:
        raise PlaceUnreachable(f"{bucket} cannot be asked: {type(error).__name__}") from error
    try:
        yield client
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise PlaceUnreachable(f"{bucket} does not answer as it should: {code}") from error
    except BotoCoreError as error:
        raise PlaceUnreachable(f"{bucket} does not answer: {type(error).__name__}") from error
