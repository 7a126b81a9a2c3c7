"""Audits of label files, without any database.

``python -m imaging audit CT LABELS [LABELS ...] -o report.html``: label files against their CT.
``python -m imaging audit-marks PATH --output DIR``: readers' marks alone, without any image.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from imaging.audit.machine import as_json
from imaging.audit.marks_command import NAME as MARKS
from imaging.audit.marks_command import add_marks_command, run_marks_command
from imaging.audit.page import headline, render
from imaging.audit.run import AuditRequest, audit, program_version
from imaging.errors import ImagingError
from imaging.inference.backends import AUTO, CHOICES

NOTHING_TO_LOOK_AT = 0
SOMETHING_TO_LOOK_AT = 1
NO_AUDIT = 2
FAULT = 3

SHIPPED_BUNDLE = Path(__file__).parent / "bundles" / "lung_nodule_qa"

_EXIT_CODES = f"""exit codes:
  {NOTHING_TO_LOOK_AT}  the audit is written, and nothing in it needs a look
  {SOMETHING_TO_LOOK_AT}  the audit is written: a flag, a label that does not fit, or something refused needs a look
  {NO_AUDIT}  no audit: wrong use, or the images or labels cannot be opened at all
  {FAULT}  no audit: a fault of this program

Not for clinical use."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. Progress and messages go to standard error."""
    given = _parser().parse_args(arguments)
    try:
        return _audit_marks(given) if given.command == MARKS else _audit(given)
    except ImagingError as error:
        return _said(f"{error.message} [{error.code}]", NO_AUDIT)
    except OSError as error:
        return _said(f"cannot be read or written: {error.strerror or type(error).__name__}", NO_AUDIT)
    except KeyboardInterrupt:
        return _said("interrupted; nothing was written", 130)
    # Whatever else happens is ours to mend; a person at a prompt is told so in one line.
    except Exception as error:
        place = _innermost(error)
        return _said(f"a fault of this program, not of your files: {type(error).__name__} at {place}", FAULT)


def _audit(given: argparse.Namespace) -> int:
    if given.output is None and not given.json:
        return _said("nothing to write: give -o REPORT.html, --json, or both", NO_AUDIT)
    if given.output is not None and not given.output.parent.is_dir():
        return _said(f"there is no folder to write {given.output.name} into", NO_AUDIT)
    request = AuditRequest(
        ct=given.ct,
        labels=tuple(given.labels),
        nodule_names=tuple(given.nodule),
        bundle=None if given.no_model else given.model,
        threads=given.threads,
        backend=given.backend,
        made_at=_now(),
    )
    outcome = audit(request=request, progress=_progress)
    if given.output is not None:
        _write(given.output, render(outcome))
        _progress(f"written: {given.output}")
    if given.json:
        sys.stdout.write(as_json(outcome) + "\n")
    for sentence in headline(outcome):
        _progress(sentence)
    return SOMETHING_TO_LOOK_AT if outcome.needs_a_look else NOTHING_TO_LOOK_AT


def _audit_marks(given: argparse.Namespace) -> int:
    outcome = run_marks_command(
        path=given.path, output=given.output, made_at=_now(), version=program_version(), progress=_progress
    )
    if not outcome.survey.scans:
        return NO_AUDIT
    return SOMETHING_TO_LOOK_AT if outcome.survey.issues or outcome.survey.refused else NOTHING_TO_LOOK_AT


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m imaging", description="Quality assurance of labels, from files.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "audit",
        help="audit label files against CT, without any database",
        description="Audit label files against CT: geometry, what each file says, whether it fits, and flags.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("ct", metavar="CT", type=Path, help="folder, zip or tar of DICOM CT, one or several series")
    command.add_argument("labels", metavar="LABELS", type=Path, nargs="+", help="label files, folders or archives")
    command.add_argument("-o", "--output", metavar="REPORT.html", type=Path, help="where the page is written")
    command.add_argument(
        "--nodule", metavar="NAME", action="append", default=[], help="a label name that means a nodule in these files"
    )
    command.add_argument("--json", action="store_true", help="write the audit as JSON to standard output")
    command.add_argument("--no-model", action="store_true", help="do without the QA model; checks that need it abstain")
    command.add_argument(
        "--model", metavar="BUNDLE", type=Path, default=SHIPPED_BUNDLE, help="another QA model than the shipped one"
    )
    command.add_argument(
        "--threads", type=_whole, default=max(1, min(4, os.cpu_count() or 1)), help="threads for the QA model"
    )
    command.add_argument(
        "--backend", choices=CHOICES, default=AUTO, help="what runs the QA model; what it did run is on the page"
    )
    add_marks_command(commands, epilog=_EXIT_CODES)
    return parser


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _write(path: Path, text: str) -> None:
    # Under its own name only once it is whole: a page cut short would look like a clean one.
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, suffix=".part", delete=False) as part:
        part.write(text)
    Path(part.name).chmod(0o644)
    Path(part.name).replace(path)


def _progress(message: str) -> None:
    sys.stderr.write(f"audit: {message}\n")
    sys.stderr.flush()


def _said(message: str, code: int) -> int:
    _progress(message)
    return code


def _innermost(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "an unknown place"
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


if __name__ == "__main__":
    raise SystemExit(main())
