"""What a bundle says of itself: metadata by MONAI's specification, licence, intended use, training data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata as installed
from pathlib import Path, PurePosixPath
from typing import Any

from imaging.inference.foreign.archive import BundleFile

REQUIRED = (
    "version",
    "monai_version",
    "pytorch_version",
    "numpy_version",
    "task",
    "description",
    "authors",
    "copyright",
    "network_data_format",
)
"""The keys that MONAI's schema of bundle metadata requires (docs.monai.io, MONAI Bundle Specification)."""

_MOST_TEXT = 200_000
_DATA_HEADING = re.compile(r"data|training|cohort|population|limitation", re.IGNORECASE)
_LICENCE_NAME = re.compile(r"(^|[_\-. ])(licen[cs]e|copying|notice)s?([_\-. ]|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Described:
    """A bundle in its own words. Empty where it says nothing: nothing is supposed in its place.

    ``licences``: file name and text. ``training_data``: what metadata and README say of the data. ``problems``: what
    the specification requires and is not there. ``packages``: those it asks for, with the version it names and the
    one installed here ("" where it is not).
    """

    name: str
    version: str
    task: str
    description: str
    authors: str
    copyright: str
    intended_use: str
    training_data: str
    model_card: str
    licences: tuple[tuple[str, str], ...]
    packages: tuple[tuple[str, str, str], ...]
    problems: tuple[str, ...]


def describe(
    *, metadata: Mapping[str, Any], files: Sequence[BundleFile], folder: Path, fallback_name: str
) -> Described:
    """Return what the bundle in ``folder`` says of itself. ``fallback_name``: where its metadata have no name."""
    readme = _text(folder, "docs/README.md", files) or _text(folder, "README.md", files)
    return Described(
        name=(_word(metadata, "name") or fallback_name)[:100],
        version=_word(metadata, "version")[:40],
        task=_word(metadata, "task"),
        description=_word(metadata, "description"),
        authors=_word(metadata, "authors"),
        copyright=_word(metadata, "copyright"),
        intended_use=_word(metadata, "intended_use"),
        training_data=_training_data(metadata, readme),
        model_card=readme,
        licences=_licences(folder, files),
        packages=_packages(metadata),
        problems=tuple(_problems(metadata)),
    )


def _problems(metadata: Mapping[str, Any]) -> list[str]:
    problems = [f"metadata.json has no {key!r}" for key in REQUIRED if not metadata.get(key)]
    data_format = metadata.get("network_data_format")
    if isinstance(data_format, dict):
        for side in ("inputs", "outputs"):
            described = data_format.get(side)
            if not isinstance(described, dict) or not described:
                problems.append(f"network_data_format says nothing of the {side}")
                continue
            for name, tensor in described.items():
                if not isinstance(tensor, dict):
                    problems.append(f"network_data_format does not describe {side} {name!r}")
                    continue
                lacking = [key for key in ("type", "format", "num_channels") if key not in tensor]
                if lacking:
                    problems.append(f"network_data_format of {name!r} has no {', '.join(lacking)}")
        problems.extend(_not_ct(data_format))
    elif data_format:
        problems.append("network_data_format does not describe inputs and outputs")
    return problems


def _not_ct(data_format: Mapping[str, Any]) -> list[str]:
    inputs = data_format.get("inputs")
    if not isinstance(inputs, dict):
        return []
    images = {k: v for k, v in inputs.items() if isinstance(v, dict) and v.get("type", "image") == "image"}
    problems = []
    if len(images) != 1:
        problems.append(f"it takes {len(images)} images; one CT series is what it would get here")
    for name, tensor in images.items():
        modality = str(tensor.get("modality", "")).upper()
        if modality and modality != "CT":
            problems.append(f"its input {name!r} is {modality}, and the images here are CT")
        if tensor.get("num_channels") not in (None, 1, "1"):
            problems.append(f"its input {name!r} has {tensor.get('num_channels')} channels; a CT has one")
    return problems


def _training_data(metadata: Mapping[str, Any], readme: str) -> str:
    named = [
        ("Data source", _word(metadata, "data_source")),
        ("Data type", _word(metadata, "data_type")),
        ("Images", _word(metadata, "image_classes")),
        ("Labels", _word(metadata, "label_classes")),
    ]
    lines = [f"{name}: {text}" for name, text in named if text]
    return "\n\n".join([*lines, *_sections(readme)])


def _sections(readme: str) -> list[str]:
    """Return the sections of a README whose headings speak of data or training."""
    sections: list[str] = []
    taking = False
    for line in readme.splitlines():
        heading = re.match(r"#{1,6}\s+(.*)", line)
        if heading:
            taking = bool(_DATA_HEADING.search(heading[1]))
            if taking:
                sections.append(line)
        elif taking:
            sections[-1] += f"\n{line}"
    return [section.strip() for section in sections]


def _licences(folder: Path, files: Sequence[BundleFile]) -> tuple[tuple[str, str], ...]:
    names = [file.name for file in files if _LICENCE_NAME.search(PurePosixPath(file.name).name)]
    return tuple((name, _text(folder, name, files)) for name in names[:20])


def _packages(metadata: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    wanted = {
        "monai": _word(metadata, "monai_version"),
        "torch": _word(metadata, "pytorch_version"),
        "numpy": _word(metadata, "numpy_version"),
    }
    for key in ("required_packages_version", "optional_packages_version"):
        listed = metadata.get(key)
        if isinstance(listed, dict):
            wanted |= {str(name)[:60]: str(version)[:40] for name, version in list(listed.items())[:50]}
    return tuple((name, version, _installed(name)) for name, version in wanted.items() if version)


def _installed(name: str) -> str:
    try:
        return installed.version(name)
    except (installed.PackageNotFoundError, ValueError):
        return ""


def _word(metadata: Mapping[str, Any], key: str) -> str:
    value = metadata.get(key)
    if isinstance(value, list | tuple):
        value = ", ".join(str(one) for one in value)
    return "" if value is None or isinstance(value, dict) else str(value).strip()[:_MOST_TEXT]


def _text(folder: Path, name: str, files: Sequence[BundleFile]) -> str:
    if all(file.name != name for file in files):
        return ""
    with (folder / name).open("rb") as reading:
        return reading.read(_MOST_TEXT).decode("utf-8", errors="replace").replace("\0", "")
