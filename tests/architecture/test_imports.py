"""What import-linter cannot say: which parts stand on the standard library alone, and what starting up costs."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests.architecture.sources import ROOT, files, named, parsed


def _imported(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            names.add(node.module or "")
    return names


@pytest.mark.requirement("REQ-01")
def test_the_ledger_stands_on_the_standard_library_alone() -> None:
    paths = files(folders=("compliance/ledger",), endings=(".py",))
    assert paths
    foreign = {
        f"{named(path)} imports {name}"
        for path in paths
        for name in _imported(parsed(path))
        if name.split(".")[0] not in sys.stdlib_module_names and not name.startswith("compliance.ledger")
    }
    assert foreign == set()


@pytest.mark.requirement("REQ-01")
def test_the_verifier_in_the_kit_imports_nothing_of_ours() -> None:
    names = _imported(parsed(ROOT / "compliance/ledger/verify.py"))
    assert {name for name in names if name.split(".")[0] not in sys.stdlib_module_names} == set()


def test_starting_the_service_does_not_load_the_networks() -> None:
    program = (
        "import django, sys; django.setup(); import qaservice.urls; "
        "sys.exit(', '.join(sorted({'torch', 'monai', 'SimpleITK'} & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"these are loaded before a worker needs them: {done.stderr[-800:]}"
