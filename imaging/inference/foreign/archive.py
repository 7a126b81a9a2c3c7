"""Taking a bundle's files from a folder or a zip: nothing outside it, nothing too large, every file by its digest."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from imaging.errors import BundleError

METADATA = "configs/metadata.json"
LEFT_OUT = frozenset({"__pycache__", ".git", ".hg", ".svn", "__MACOSX", ".DS_Store", ".ipynb_checkpoints"})
"""Names that no bundle needs. Compiled Python among them would run in the place of the source that is shown."""

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """Bounds on what is taken. ``file_bytes`` and ``total_bytes`` are sizes after unpacking."""

    files: int
    file_bytes: int
    total_bytes: int


ORDINARY = ArchiveLimits(files=2_000, file_bytes=4 * 1024**3, total_bytes=8 * 1024**3)


@dataclass(frozen=True, slots=True)
class BundleFile:
    """One file of a bundle: its path within it (slashes), its size in bytes and its SHA-256 (hex)."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken, by name, and what was left out on purpose."""

    files: tuple[BundleFile, ...]
    left_out: tuple[str, ...]


def take_bundle(*, source: Path, into: Path, limits: ArchiveLimits) -> Taken:
    """Copy the bundle at ``source`` (a folder, or a zip file) into the empty folder ``into``, digesting every file.

    A zip with everything in one folder is taken as that folder. Links, devices and names that lead out of the bundle
    are refused, as is anything beyond ``limits``. Raises BundleError ``bundle-unreadable`` or ``bundle-too-large``;
    its subjects name the files.
    """
    if source.is_symlink():
        raise BundleError("bundle-unreadable", "The path is a link; name the folder or the file itself.")
    if source.is_dir():
        with _folder(source) as found:
            return _take(found, into, limits)
    if source.is_file():
        with _zip(source, limits) as found:
            return _take(found, into, limits)
    raise BundleError("bundle-unreadable", "There is no folder or zip file at that path.")


def place_files(*, files: Mapping[str, Path], into: Path, limits: ArchiveLimits) -> Taken:
    """Copy files that lie anywhere into the empty folder ``into`` under the names of a bundle, digesting every one.

    Raises BundleError as ``take_bundle`` does.
    """
    members = (_Member(_plain(name), _Opener(path.parent, path.name)) for name, path in sorted(files.items()))
    return _take(members, into, limits)


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    open: _Opener


class _Opener:
    """Opens one member; a class of its own, because a member is opened only when its turn comes."""

    def __init__(self, source: zipfile.ZipFile | Path, name: str) -> None:
        self._source = source
        self._name = name

    def __call__(self) -> IO[bytes]:
        if isinstance(self._source, zipfile.ZipFile):
            return self._source.open(self._name)
        # A name that became a link since it was listed is not followed.
        return os.fdopen(os.open(self._source / self._name, os.O_RDONLY | os.O_NOFOLLOW), "rb")


def _take(members: Iterator[_Member], into: Path, limits: ArchiveLimits) -> Taken:
    files: list[BundleFile] = []
    left_out: list[str] = []
    seen: set[str] = set()
    total = 0
    for member in members:
        if LEFT_OUT.intersection(PurePosixPath(member.name).parts):
            left_out.append(member.name)
            continue
        if member.name.casefold() in seen:
            raise BundleError("bundle-unreadable", "Two files have one name.", subjects=(member.name,))
        seen.add(member.name.casefold())
        if len(files) >= limits.files:
            raise BundleError("bundle-too-large", f"The bundle has more than {limits.files} files.")
        room = min(limits.file_bytes, limits.total_bytes - total)
        target = into / member.name
        target.parent.mkdir(parents=True, exist_ok=True)
        taken = _copy(member, target, room)
        total += taken.size
        files.append(taken)
    if not files:
        raise BundleError("bundle-unreadable", "There are no files in it.")
    return Taken(tuple(sorted(files, key=lambda file: file.name)), tuple(sorted(left_out)))


def _copy(member: _Member, target: Path, room: int) -> BundleFile:
    digest = hashlib.sha256()
    size = 0
    try:
        with member.open() as reading, target.open("xb") as writing:
            while piece := reading.read(_PIECE):
                size += len(piece)
                # Counted as it comes: what an archive says of its sizes may be a lie.
                if size > room:
                    message = f"{member.name} makes the bundle larger than is taken here."
                    raise BundleError("bundle-too-large", message, subjects=(member.name,))
                digest.update(piece)
                writing.write(piece)
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        message = f"{member.name} cannot be read ({type(error).__name__})."
        raise BundleError("bundle-unreadable", message, subjects=(member.name,)) from error
    return BundleFile(member.name, size, digest.hexdigest())


@contextmanager
def _folder(source: Path) -> Iterator[Iterator[_Member]]:
    def members() -> Iterator[_Member]:
        for folder, folders, names in os.walk(source, followlinks=False):
            here = Path(folder)
            relative = here.relative_to(source)
            for name in sorted(folders):
                if (here / name).is_symlink():
                    raise _leads_out((relative / name).as_posix())
            folders[:] = sorted(name for name in folders if name not in LEFT_OUT)
            for name in sorted(names):
                path = (relative / name).as_posix()
                status = (here / name).lstat()
                if not stat.S_ISREG(status.st_mode):
                    raise _leads_out(path)
                yield _Member(_plain(path), _Opener(source, path))

    yield members()


@contextmanager
def _zip(source: Path, limits: ArchiveLimits) -> Iterator[Iterator[_Member]]:
    try:
        archive = zipfile.ZipFile(source)
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise BundleError("bundle-unreadable", "The file is not a zip archive.") from error
    with archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        if len(entries) > limits.files * 2:
            raise BundleError("bundle-too-large", f"The bundle has more than {limits.files} files.")
        for entry in entries:
            kind = entry.external_attr >> 16
            if kind and stat.S_IFMT(kind) not in (0, stat.S_IFREG):
                raise _leads_out(entry.filename)
            if entry.flag_bits & 0x1:
                raise BundleError("bundle-unreadable", "The archive is encrypted.", subjects=(entry.filename,))
        names = [_plain(entry.filename) for entry in entries]
        prefix = _one_folder(names)

        def members() -> Iterator[_Member]:
            for entry, name in zip(entries, names, strict=True):
                inner = name.removeprefix(prefix)
                if name.startswith(prefix):
                    yield _Member(inner, _Opener(archive, entry.filename))

        yield members()


def _one_folder(names: list[str]) -> str:
    """Return the folder (with its slash) that holds the bundle in an archive, or nothing."""
    if METADATA in names:
        return ""
    holding = [name.removesuffix(METADATA) for name in names if name.endswith(f"/{METADATA}")]
    if len(holding) == 1 and all(
        name.startswith(holding[0]) or LEFT_OUT.intersection(PurePosixPath(name).parts) for name in names
    ):
        return holding[0]
    return ""


def _plain(name: str) -> str:
    """Return a member's name if it stays within the bundle and is nothing but a name."""
    path = PurePosixPath(name)
    odd = "\\" in name or "\0" in name or ":" in name or not name.isprintable() or len(name) > 240
    if odd or path.is_absolute() or ".." in path.parts or name != path.as_posix() or not path.parts:
        raise _leads_out(name)
    return name


def _leads_out(name: str) -> BundleError:
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)[:200]
    message = f"{shown!r} is a link, a device, or a name that leads out of the bundle."
    return BundleError("bundle-unreadable", message, subjects=(shown,))
