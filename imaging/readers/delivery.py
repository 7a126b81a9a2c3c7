"""Opening a delivery: a directory, a zip or tar archive, or one file, read without trusting its names or its sizes.

Nothing is ever extracted to disk, so a name can do no harm; a name that points outside its archive still condemns
the archive, since nobody makes one by accident.
"""

from __future__ import annotations

import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from imaging.errors import UnreadableFile
from imaging.readers.inflate import GZIP_MARK
from imaging.readers.sniff import HEAD_BYTES, kind_of

ENCRYPTED_FLAG = 0x1
_BOMB = "{} bytes unpack from {}: this looks like an archive made to exhaust memory; nothing was taken"
_TAR_ERRORS = (tarfile.TarError, OSError, EOFError, zlib.error, ValueError, LookupError, ArithmeticError)
"""What damaged headers provoke in ``tarfile``: numbers that are none, and what inflating raises."""

_TAR_DAMAGED = "the tar archive is cut off or damaged, or is no tar archive inside; nothing was taken"


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """How much one delivery may hold. ``ratio`` bounds unpacked to packed size, from ``ratio_from_bytes`` on."""

    files: int
    file_bytes: int
    total_bytes: int
    ratio: int
    ratio_from_bytes: int


DELIVERY_LIMITS = SourceLimits(
    # A hundred thousand slices are some three hundred chest CTs.
    files=200_000,
    file_bytes=1 << 30,
    total_bytes=256 << 30,
    # CT packs two to one, an empty slice fifty to one; a bomb packs a thousand to one.
    ratio=200,
    ratio_from_bytes=16 << 20,
)


class EntryUnreadable(Exception):
    """One file of a delivery cannot be read; the others can."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One file of a delivery. ``name`` is its path inside, unique in the delivery.

    ``read(n)`` returns the first n bytes, ``read(None)`` all; it raises EntryUnreadable. ``path`` is where it lies
    as a plain file of its own, None where it does not; ``size`` is what its container says.
    """

    name: str
    size: int
    read: Callable[[int | None], bytes]
    path: Path | None = None


@contextmanager
def open_delivery(path: Path, limits: SourceLimits) -> Iterator[tuple[Entry, ...]]:
    """Give the files of a delivery: a directory's by name, an archive's in its own order.

    Raises UnreadableFile: ``no-such-delivery``, ``truncated-archive``, ``path-outside-archive``, ``too-many-files``,
    ``too-large``, ``archive-bomb``, ``empty-delivery``.
    """
    if path.is_dir():
        yield _checked(_directory_entries(path, limits), limits)
    elif not path.is_file():
        raise UnreadableFile("no-such-delivery", "there is no such file or directory")
    elif _looks_like_zip(path):
        with _zip(path) as archive:
            yield _checked(_zip_entries(archive, limits), limits)
    elif _looks_like_tar(path):
        with _tar(path) as tar:
            yield _checked(_tar_entries(tar, path.stat().st_size, limits), limits)
    else:
        yield _checked([Entry(path.name, path.stat().st_size, _file_reader(path, limits), path)], limits)


def _checked(entries: Sequence[Entry], limits: SourceLimits) -> tuple[Entry, ...]:
    if not entries:
        raise UnreadableFile("empty-delivery", "the delivery holds no files")
    if len(entries) > limits.files:
        raise UnreadableFile(
            "too-many-files", f"the delivery holds {len(entries)} files; at most {limits.files} are taken at once"
        )
    total = sum(entry.size for entry in entries)
    if total > limits.total_bytes:
        raise UnreadableFile(
            "too-large", f"the delivery unpacks to {total} bytes; at most {limits.total_bytes} are taken at once"
        )
    taken: set[str] = set()
    unique: list[Entry] = []
    for entry in entries:
        name, copy = entry.name, 1
        while name in taken:
            # An archive may hold two files of one name; both get their outcome.
            copy += 1
            name = f"{entry.name} (number {copy} of this name)"
        taken.add(name)
        unique.append(replace(entry, name=name))
    return tuple(unique)


def _directory_entries(folder: Path, limits: SourceLimits) -> list[Entry]:
    entries: list[Entry] = []
    waiting = [folder]
    while waiting:
        for child in waiting.pop().iterdir():
            name = child.relative_to(folder).as_posix()
            mode = child.lstat().st_mode
            if stat.S_ISLNK(mode):
                entries.append(Entry(_printable(name), 0, _refusing("link", "a symbolic link, which is not followed")))
            elif stat.S_ISDIR(mode):
                waiting.append(child)
            elif stat.S_ISREG(mode):
                entries.append(Entry(_printable(name), child.stat().st_size, _file_reader(child, limits), child))
            else:
                entries.append(Entry(_printable(name), 0, _refusing("special-file", "not a plain file")))
        if len(entries) > limits.files:
            break
    return sorted(entries, key=lambda entry: entry.name)


def _file_reader(path: Path, limits: SourceLimits) -> Callable[[int | None], bytes]:
    def read(count: int | None) -> bytes:
        try:
            with path.open("rb") as stream:
                return _bounded(stream.read, count, limits)
        except OSError as error:
            raise EntryUnreadable("unreadable", f"the file cannot be read ({error.strerror})") from error

    return read


def _looks_like_zip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")


def _zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UnreadableFile(
            "truncated-archive",
            "the zip file is cut off or damaged: its table of contents cannot be read; nothing was taken",
        ) from error


def _zip_entries(archive: zipfile.ZipFile, limits: SourceLimits) -> list[Entry]:
    entries: list[Entry] = []
    for info in archive.infolist():
        _require_inside(info.orig_filename)
        name = _printable(info.filename)
        mode = info.external_attr >> 16
        if info.is_dir():
            continue
        if stat.S_ISLNK(mode):
            entries.append(Entry(name, 0, _refusing("link", "a symbolic link, which is not followed")))
            continue
        if info.file_size > limits.ratio_from_bytes and info.file_size > limits.ratio * max(1, info.compress_size):
            raise UnreadableFile("archive-bomb", _BOMB.format(info.file_size, info.compress_size))
        entries.append(Entry(name, info.file_size, _zip_reader(archive, info, limits)))
    return entries


def _zip_reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limits: SourceLimits) -> Callable[[int | None], bytes]:
    def read(count: int | None) -> bytes:
        if info.flag_bits & ENCRYPTED_FLAG:
            raise EntryUnreadable("encrypted", "the entry is encrypted")
        try:
            with archive.open(info) as stream:
                return _bounded(stream.read, count, limits)
        except EntryUnreadable:
            raise
        # zlib.error, BadZipFile, EOFError, NotImplementedError (methods), lzma and bz2 errors have no common base.
        except Exception as error:
            raise EntryUnreadable(
                "damaged-entry", f"the archive is damaged at this entry ({type(error).__name__})"
            ) from error

    return read


def _looks_like_tar(path: Path) -> bool:
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if head.startswith(GZIP_MARK):
        # One compressed label is a delivery too; any other gzip file is meant as an archive, and may be a damaged one.
        return kind_of(head) != "nifti"
    return head[257:262] == b"ustar"


def _tar(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path, mode="r:gz" if _is_gzip(path) else "r:")
    except _TAR_ERRORS as error:
        raise UnreadableFile("truncated-archive", _TAR_DAMAGED) from error


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == GZIP_MARK


def _tar_entries(archive: tarfile.TarFile, packed: int, limits: SourceLimits) -> list[Entry]:
    entries: list[Entry] = []
    total = 0
    try:
        for member in archive:
            _require_inside(member.name)
            name = _printable(member.name)
            if member.isdir():
                continue
            if not member.isfile():
                entries.append(Entry(name, 0, _refusing("link", "a link or special file, which is not followed")))
                continue
            total += member.size
            if total > max(limits.ratio_from_bytes, limits.ratio * packed):
                raise UnreadableFile("archive-bomb", _BOMB.format(total, packed))
            entries.append(Entry(name, member.size, _tar_reader(archive, member, limits)))
        _check_to_the_end(archive, packed, limits)
    except _TAR_ERRORS as error:
        raise UnreadableFile("truncated-archive", _TAR_DAMAGED) from error
    return entries


def _check_to_the_end(archive: tarfile.TarFile, packed: int, limits: SourceLimits) -> None:
    """Read on to where gzip keeps its checksum: a tar's own end comes before, and its members have none.

    Without this a flipped bit in a compressed archive would arrive as other pixels.
    """
    if not isinstance(archive.fileobj, gzip.GzipFile):
        return
    behind = 0
    while piece := archive.fileobj.read(1 << 20):
        behind += len(piece)
        if behind > max(limits.ratio_from_bytes, limits.ratio * packed):
            raise UnreadableFile("archive-bomb", _BOMB.format(behind, packed))


def _tar_reader(
    archive: tarfile.TarFile, member: tarfile.TarInfo, limits: SourceLimits
) -> Callable[[int | None], bytes]:
    def read(count: int | None) -> bytes:
        try:
            stream = archive.extractfile(member)
            if stream is None:
                raise EntryUnreadable("damaged-entry", "the archive holds no data for this entry")
            with stream:
                return _bounded(stream.read, count, limits)
        except _TAR_ERRORS as error:
            raise EntryUnreadable(
                "damaged-entry", f"the archive is damaged at this entry ({type(error).__name__})"
            ) from error

    return read


def _bounded(read: Callable[[int], bytes], count: int | None, limits: SourceLimits) -> bytes:
    if count is not None:
        return read(count)
    data = read(limits.file_bytes + 1)
    if len(data) > limits.file_bytes:
        raise EntryUnreadable("file-too-large", f"the file has more than {limits.file_bytes} bytes")
    return data


def _refusing(code: str, message: str) -> Callable[[int | None], bytes]:
    def read(count: int | None) -> bytes:
        raise EntryUnreadable(code, message)

    return read


def _require_inside(name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    drive = len(name) > 1 and name[1] == ":"
    if path.is_absolute() or ".." in path.parts or drive or "\x00" in name:
        raise UnreadableFile(
            "path-outside-archive", "the archive holds a path outside itself; nothing was taken from it"
        )


def _printable(name: str) -> str:
    cleaned = "".join(letter if letter.isprintable() else "?" for letter in name)
    # An item's name has 500 characters; the end tells more than the beginning.
    return cleaned if len(cleaned) <= 450 else "..." + cleaned[-447:]
