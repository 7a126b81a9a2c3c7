"""``python -m imaging audit-marks PATH --output DIR``: readers' marks alone, each to be corrected or confirmed."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from imaging.audit.marks_machine import marks_as_csv, marks_as_json
from imaging.audit.marks_page import marks_headline, render_marks
from imaging.audit.marks_run import MarksAudit, audit_marks
from imaging.audit.scan import Progress

NAME = "audit-marks"
FILES = ("marks.html", "marks.json", "marks.csv")
"""What the command writes into its folder: for people, for machines, and for a table of answers."""


def add_marks_command(commands: argparse._SubParsersAction[argparse.ArgumentParser], *, epilog: str) -> None:
    """Add the command to a program's parser."""
    command = commands.add_parser(
        NAME,
        help="survey readers' marks (LIDC XML) without any image",
        description="List what in readers' marks contradicts itself or stands against the other readers, each for the "
        "reader who made the mark, to correct or to confirm. Needs LIDC XML files and no image.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("path", metavar="PATH", type=Path, help="folder, zip or tar of LIDC XML files, or one file")
    command.add_argument(
        "--output", "-o", metavar="DIR", type=Path, required=True, help=f"folder to write {', '.join(FILES)} into"
    )


def run_marks_command(*, path: Path, output: Path, made_at: str, version: str, progress: Progress) -> MarksAudit:
    """Survey the files, write page, JSON and CSV, and return the survey.

    Raises UnreadableFile where the path cannot be opened, OSError where the folder cannot be written.
    """
    output.mkdir(parents=True, exist_ok=True)
    audit = audit_marks(path=path, made_at=made_at, version=version, progress=progress)
    for name, text in zip(FILES, (render_marks(audit), marks_as_json(audit), marks_as_csv(audit)), strict=True):
        _write(output / name, text)
        progress(f"written: {output / name}")
    for sentence in marks_headline(audit.survey):
        progress(sentence)
    return audit


def _write(path: Path, text: str) -> None:
    # Under its own name only once it is whole: a list cut short would look like a shorter one.
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", newline="", dir=path.parent, suffix=".part", delete=False
    ) as part:
        part.write(text)
    Path(part.name).chmod(0o644)
    Path(part.name).replace(path)
