"""Reading a bundle at registration: every file, every text, every expression; nothing is run and nothing unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from imaging.errors import BundleError
from imaging.inference.bundle import bundle_digest
from imaging.inference.foreign.archive import METADATA, ArchiveLimits, BundleFile, take_bundle
from imaging.inference.foreign.capabilities import Capability, of_source
from imaging.inference.foreign.configuration import SUFFIXES, CodePlace, code_places, read_configuration
from imaging.inference.foreign.mapping import OutputMapping, derive_mapping
from imaging.inference.foreign.metadata import Described, describe

INFERENCE = ("configs/inference.json", "configs/inference.yaml", "configs/inference.yml")
WEIGHT_SUFFIXES = frozenset({".pt", ".pth", ".ckpt", ".bin"})
SCRIPT_SUFFIXES = frozenset({".ts", ".torchscript"})
_PYTHON = ".py"
_COMPILED = frozenset({".so", ".pyd", ".dll", ".pyc", ".pyo", ".whl", ".egg", ".engine", ".plan", ".trt"})
_PICKLES = frozenset({".pkl", ".pickle", ".joblib", ".npy", ".npz", ".dill"})
_MOST_SOURCE = 2_000_000


@dataclass(frozen=True, slots=True)
class CodeFile:
    """A file of the bundle that is code. ``kind`` in words; ``capabilities`` where its text could be read."""

    name: str
    kind: str
    capabilities: tuple[Capability, ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """All that can be known of a bundle without running it.

    ``configuration``: the file that would be run. ``code``: places of that file first. ``weights``: files that are
    state dictionaries by their name. ``mapping`` is None where ``problems`` say why. A bundle with problems cannot be
    approved; ``remarks`` are for the reader.
    """

    bundle_sha256: str
    files: tuple[BundleFile, ...]
    left_out: tuple[str, ...]
    described: Described
    configuration: str
    code: tuple[CodePlace, ...]
    code_files: tuple[CodeFile, ...]
    weights: tuple[str, ...]
    mapping: OutputMapping | None
    problems: tuple[str, ...]
    remarks: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain data, for a record and for showing."""
        content = asdict(self)
        content["mapping"] = self.mapping.as_json() if self.mapping else None
        return content


@dataclass(frozen=True, slots=True)
class InspectedBundle:
    """An inspection with the metadata as the bundle has them."""

    inspection: Inspection
    metadata: Mapping[str, Any]


def inspect_bundle(
    *, source: Path, into: Path, limits: ArchiveLimits, given: Mapping[str, Any], fallback_name: str
) -> InspectedBundle:
    """Copy the bundle at ``source`` (folder or zip) into the empty folder ``into`` and return all that it says.

    ``given``: what is said at registration of its output, before its own words (see ``mapping``). ``fallback_name``:
    what it is called where its metadata do not say. Raises BundleError where it cannot be taken or read as a bundle;
    what merely keeps it from being run here stands in ``problems``.
    """
    taken = take_bundle(source=source, into=into, limits=limits)
    names = {file.name for file in taken.files}
    if METADATA not in names:
        raise BundleError(
            "bundle-incomplete", f"It has no {METADATA}, so it is not a MONAI bundle.", subjects=(METADATA,)
        )
    metadata = read_configuration(path=into / METADATA, name=METADATA)
    described = describe(metadata=metadata, files=taken.files, folder=into, fallback_name=fallback_name)
    problems = list(described.problems)
    remarks = [f"{name} is not part of a bundle and was left out" for name in taken.left_out[:20]]
    configuration = next((name for name in INFERENCE if name in names), "")
    content: dict[str, Any] = {}
    if configuration:
        content = read_configuration(path=into / configuration, name=configuration)
    else:
        problems.append("it has no configs/inference.json or .yaml, so there is nothing to run")
    mapping = None
    try:
        mapping = derive_mapping(metadata=metadata, configuration=content, given=given)
    except BundleError as unknown:
        problems.append(unknown.message)
    weights = tuple(sorted(name for name in names if PurePosixPath(name).suffix.lower() in WEIGHT_SUFFIXES))
    scripts = tuple(sorted(name for name in names if PurePosixPath(name).suffix.lower() in SCRIPT_SUFFIXES))
    if not weights and not scripts:
        problems.append("it holds no weights")
    if configuration:
        problems.extend(_not_runnable(content))
    others, unread = _other_configurations(into, taken.files, configuration)
    remarks.extend(unread)
    return InspectedBundle(
        inspection=Inspection(
            bundle_sha256=bundle_digest({file.name: file.sha256 for file in taken.files}),
            files=taken.files,
            left_out=taken.left_out,
            described=described,
            configuration=configuration,
            code=(*code_places(content=content, file=configuration), *others),
            code_files=tuple(_code_files(into, taken.files)),
            weights=weights,
            mapping=mapping,
            problems=tuple(problems),
            remarks=tuple(remarks),
        ),
        metadata=metadata,
    )


def inspect_in_order(
    source: Path, into: Path, limits: ArchiveLimits, given: Mapping[str, Any], fallback_name: str
) -> InspectedBundle:
    """Do ``inspect_bundle`` with arguments by their order, as a sandbox calls."""
    return inspect_bundle(source=source, into=into, limits=limits, given=given, fallback_name=fallback_name)


def _not_runnable(content: Mapping[str, Any]) -> list[str]:
    problems = []
    if not isinstance(content.get("preprocessing"), dict | str):
        problems.append("its inference configuration has no 'preprocessing'")
    if not any(name in content for name in ("network", "network_def")):
        problems.append("its inference configuration has no 'network_def'")
    return problems


def _other_configurations(
    folder: Path, files: tuple[BundleFile, ...], chosen: str
) -> tuple[tuple[CodePlace, ...], list[str]]:
    places: list[CodePlace] = []
    remarks: list[str] = []
    for file in files:
        if file.name == chosen or PurePosixPath(file.name).suffix.lower() not in SUFFIXES:
            continue
        try:
            content = read_configuration(path=folder / file.name, name=file.name)
        except BundleError as error:
            # Lists of cases and results need not be configurations; a macro could still name the file.
            remarks.append(error.message)
            continue
        places.extend(code_places(content=content, file=file.name))
    return tuple(places), remarks


def _code_files(folder: Path, files: tuple[BundleFile, ...]) -> list[CodeFile]:
    found = []
    for file in files:
        suffix = PurePosixPath(file.name).suffix.lower()
        if suffix == _PYTHON:
            text = ""
            if file.size <= _MOST_SOURCE:
                text = (folder / file.name).read_text(encoding="utf-8", errors="replace")
            capabilities = of_source(text) if text or not file.size else (Capability.HIDES,)
            found.append(CodeFile(file.name, "Python source", capabilities))
        elif suffix in SCRIPT_SUFFIXES:
            found.append(CodeFile(file.name, "TorchScript: a compiled program, not only weights", ()))
        elif suffix in _COMPILED:
            found.append(CodeFile(file.name, "compiled code, which nobody can read here", (Capability.HIDES,)))
        elif suffix in _PICKLES:
            found.append(CodeFile(file.name, "data that may hold a pickle, which is code", (Capability.UNPICKLES,)))
    return found
