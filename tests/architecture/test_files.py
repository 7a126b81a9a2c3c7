"""The shape of the house: small files with names of their own, and documents that cover every room."""

from __future__ import annotations

import re

import pytest

from tests.architecture.sources import PACKAGES, ROOT, files, named

LONGEST = 400
# The kit's verifier is one file by requirement (one file, standard library, Ed25519 written out), read in one sitting.
LONGER = {"compliance/ledger/verify.py": 710}
HOMES = (*PACKAGES, "tests", "deploy")
SHAPELESS_NAMES = frozenset({"utils", "util", "helpers", "helper", "misc", "common_utils", "tools"})


def test_no_source_file_is_longer_than_a_reader_can_hold_in_mind() -> None:
    lengths = {
        named(path): path.read_text(encoding="utf-8").count("\n")
        for path in files(folders=HOMES, endings=(".py", ".ts"))
    }
    assert lengths, "no source file was found at all"
    assert {name: length for name, length in lengths.items() if length > LONGER.get(name, LONGEST)} == {}


def test_no_module_is_called_utils() -> None:
    shapeless = [
        named(path) for path in files(folders=HOMES, endings=(".py", ".ts")) if path.stem.lower() in SHAPELESS_NAMES
    ]
    assert shapeless == []


@pytest.mark.parametrize("folder", ["docs/decisions", "docs/guides", "docs/requirements"])
def test_every_folder_of_documents_holds_documents(folder: str) -> None:
    assert list((ROOT / folder).glob("*.md"))


def test_decisions_are_numbered_without_gaps_and_say_why() -> None:
    records = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    for path in records:
        text = path.read_text(encoding="utf-8")
        assert re.search(r"^## Decision$", text, re.MULTILINE), f"{named(path)} does not say what was decided"
        assert re.search(r"^## Why$", text, re.MULTILINE), f"{named(path)} does not say why"


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for path in [ROOT / "README.md", ROOT / "CHANGELOG.md", *files(folders=("docs",), endings=(".md",))]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            if not re.match(r"[a-z]+:", target) and not (path.parent / target).exists():
                broken.append(f"{named(path)} -> {target}")
    assert broken == []


def test_every_environment_variable_of_the_service_is_documented() -> None:
    read = set()
    for path in files(folders=("qaservice", "compliance"), endings=(".py",)):
        read |= set(re.findall(r'"(QASERVICE_[A-Z_]+)"', path.read_text(encoding="utf-8")))
    guide = (ROOT / "docs/guides/deployment.md").read_text(encoding="utf-8")
    assert read, "no setting was found at all"
    assert sorted(name for name in read if name not in guide) == []


def test_the_changelog_speaks_of_the_version_that_is_built() -> None:
    version = re.search(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version is not None
    assert f"## {version[1]}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
