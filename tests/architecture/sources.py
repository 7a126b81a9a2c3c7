"""The project's own source files, as the architecture tests read them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("imaging", "compliance", "qaservice")
NOT_OURS = frozenset({"node_modules", "migrations", "__pycache__", "dist", "build", ".venv"})


def files(*, folders: tuple[str, ...], endings: tuple[str, ...]) -> list[Path]:
    """Return the files under ``folders`` that people wrote, sorted; generated and fetched ones are left out."""
    return sorted(
        path
        for folder in folders
        for ending in endings
        for path in (ROOT / folder).rglob(f"*{ending}")
        if not NOT_OURS & set(path.relative_to(ROOT).parts)
    )


@cache
def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of one Python file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def named(path: Path) -> str:
    """Return a path as a failure message shows it."""
    return path.relative_to(ROOT).as_posix()


def calls(tree: ast.Module) -> Iterator[tuple[ast.Call, str]]:
    """Yield every call with the bare name of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield node, node.func.attr
            elif isinstance(node.func, ast.Name):
                yield node, node.func.id
