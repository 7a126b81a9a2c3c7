"""Fit the checks' probabilities to labels that were spoilt on purpose: ``python -m imaging.training.fit_scores``.

The cases (scans, labels with errors in them, the bundle's predictions) and what the checks say of them are made on the
seeds for fitting and kept in a folder, so that a run which was cut off goes on where it was; nothing is ever fitted on
the seeds for the benchmark. What ships is ``imaging/scoring/calibration.json``.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from imaging.checks.base import CHEST_CT_NODULES
from imaging.inference.bundle import Bundle, load_bundle, shipped_bundle
from imaging.scoring.calibrator import Calibration, calibration_as_json, features_of, logit
from imaging.scoring.merge import MOST_SUPPORT, SOURCES, merged
from imaging.training.score_examples import READERS, Examples, Seen, Source, examples_on
from imaging.training.score_fit import Example, Fit, Quality, fit_check, fit_support_gain, quality
from imaging.training.spoilt import Rate
from imaging.training.spoilt_grounds import FIT_SEEDS
from imaging.types import LabelIssue

SCANS = 60


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The calibration, what each check's fit is worth, and the same over whole issues as a reader gets them."""

    calibration: Calibration
    fits: tuple[Fit, ...]
    merged_before: Quality
    merged_after: Quality


def fit(*, examples: Examples, provenance: Mapping[str, object]) -> Fitted:
    """Return the calibration that the examples teach, with its cross-validated worth."""
    by_check: dict[tuple[str, str], list[Seen]] = {}
    for one in examples.seen:
        by_check.setdefault((one.issue.check, one.issue.check_version), []).append(one)
    fits, held_out = [], dict[int, float]()
    for (check, _), own in sorted(by_check.items()):
        rows = [
            Example(check, one.issue.check_version, one.group, one.issue.score, features_of(one.issue), one.wrong)
            for one in own
        ]
        found = fit_check(examples=rows, rests_on_model=check in examples.rest_on_model)
        fits.append(found)
        held_out.update({id(one): probability for one, probability in zip(own, found.out_of_fold, strict=True)})
    after = [replace(one, issue=replace(one.issue, score=held_out[id(one)])) for one in examples.seen]
    gain = _support_gain(after)
    models = {one.check: one.model for one in fits if one.model is not None}
    return Fitted(
        calibration=Calibration(models, gain, {**provenance, "examples": len(examples.seen), "cases": examples.cases}),
        fits=tuple(fits),
        merged_before=_merged_quality(examples.seen, 0.0),
        merged_after=_merged_quality(after, gain),
    )


def report(fitted: Fitted) -> dict[str, object]:
    """Return the fit's worth as JSON-able figures: calibration error, Brier score and tables, before and after."""
    return {
        "provenance": dict(fitted.calibration.provenance),
        "support_gain": fitted.calibration.support_gain,
        "whole_issues": {"before": asdict(fitted.merged_before), "after": asdict(fitted.merged_after)},
        "checks": {
            one.check: {
                "examples": one.examples,
                "wrong": one.wrong,
                "fitted": one.model is not None,
                "why_not": one.why,
                "before": None if one.before is None else asdict(one.before),
                "after": None if one.after is None else asdict(one.after),
            }
            for one in fitted.fits
        },
    }


def main(arguments: Sequence[str]) -> int:
    """Make or read the cases, fit, write the calibration and its report."""
    parser = argparse.ArgumentParser(prog="python -m imaging.training.fit_scores", description=__doc__)
    parser.add_argument("--cases", type=Path, required=True, help="folder that keeps scans, labels and predictions")
    parser.add_argument("--output", type=Path, required=True, help="the calibration, JSON")
    parser.add_argument("--report", type=Path, help="figures and reliability tables, JSON")
    parser.add_argument("--backgrounds", type=Path, help="folder with the real scans; phantoms alone without it")
    parser.add_argument("--scans", type=int, default=SCANS)
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--processes", type=int, default=1, help="scans that are worked on at a time")
    asked = parser.parse_args(arguments)
    bundle = load_bundle(shipped_bundle(), expected_sha256=None)
    seeds = range(FIT_SEEDS.start, FIT_SEEDS.start + asked.scans)
    examples = examples_on(
        source=Source(asked.cases, asked.backgrounds, shipped_bundle(), asked.threads),
        seeds=seeds,
        processes=asked.processes,
        progress=_told,
    )
    fitted = fit(examples=examples, provenance=_provenance(seeds, bundle, asked.backgrounds is not None))
    asked.output.write_text(calibration_as_json(fitted.calibration), encoding="utf-8")
    figures = report(fitted)
    if asked.report is not None:
        asked.report.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(f"{_summary(fitted)}\n")
    return 0


def _told(done: int, total: int) -> None:
    sys.stderr.write(f"scan {done} of {total}\n")
    sys.stderr.flush()


def _support_gain(after: Sequence[Seen]) -> float:
    odds, further, truths, groups = [], [], [], []
    for group, issue, wrong in _whole(after, 0.0):
        entries = issue.evidence["checks"]
        assert isinstance(entries, list)
        sources = {SOURCES.get(str(entry["check"]), str(entry["check"])) for entry in entries}
        odds.append(logit(issue.score))
        further.append(float(min(len(sources) - 1, MOST_SUPPORT)))
        truths.append(wrong)
        groups.append(group)
    return fit_support_gain(
        odds=np.array(odds), further=np.array(further), truths=np.array(truths, dtype=np.bool_), groups=groups
    )


def _merged_quality(seen: Sequence[Seen], gain: float) -> Quality:
    whole = [
        (issue.score, wrong) for _, issue, wrong in _whole(seen, gain) if issue.score >= CHEST_CT_NODULES.report_from
    ]
    return quality(
        scores=np.array([score for score, _ in whole]), truths=np.array([wrong for _, wrong in whole], dtype=np.bool_)
    )


def _whole(seen: Sequence[Seen], gain: float) -> Iterator[tuple[str, LabelIssue, bool]]:
    """Yield the issues as they are reported, one for each subject, with their truth."""
    by_case: dict[int, list[Seen]] = {}
    for one in seen:
        by_case.setdefault(one.case, []).append(one)
    for own in by_case.values():
        truths = {(*_key(one.issue), one.issue.check): one.wrong for one in own}
        for issue in merged(issues=[one.issue for one in own], support_gain=gain):
            yield own[0].group, issue, truths[(*_key(issue), issue.check)]


def _key(issue: LabelIssue) -> tuple[str, str | None, tuple[float, float, float]]:
    return (issue.annotation_set_id, issue.finding_id, issue.place_mm)


def _provenance(seeds: range, bundle: Bundle, real: bool) -> dict[str, object]:
    return {
        "seeds": f"{seeds.start} to {seeds.stop - 1}",
        "readers": list(READERS),
        "rates": [str(rate) for rate in Rate],
        "grounds": "phantoms and real backgrounds with nodules put in" if real else "phantoms",
        "code": _code_version(),
        "bundle": f"{bundle.identity.name} {bundle.identity.version}",
        "bundle_sha256": bundle.identity.bundle_sha256,
        "opinion_digest": bundle.opinion_digest,
        "weights_sha256": bundle.weights_sha256,
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    }


def _code_version() -> str:
    """Return the commit that is checked out, with a plus where files differ from it; "unknown" outside a checkout."""
    here = Path(__file__).parent
    try:
        commit = _git(here, "rev-parse", "--short=12", "HEAD")
        changed = _git(here, "status", "--porcelain", "--", "..")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+" if changed else "")


def _git(folder: Path, *arguments: str) -> str:
    # Fixed arguments to the version control that this very file lies in; nothing comes from outside.
    found = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=True, text=True)  # noqa: S603, S607 - see above
    return found.stdout.strip()


def _summary(fitted: Fitted) -> str:
    lines = [f"{'check':22} {'n':>6} {'wrong':>6} {'ECE':>6} {'after':>6} {'Brier':>6} {'after':>6}"]
    for one in fitted.fits:
        before, after = one.before, one.after
        cells = [f"{one.check:22} {one.examples:6} {one.wrong:6}"]
        cells += (
            [f"{before.ece:6.3f} {after.ece:6.3f} {before.brier:6.3f} {after.brier:6.3f}"] if before and after else []
        )
        lines.append(" ".join([*cells, one.why]))
    before, after = fitted.merged_before, fitted.merged_after
    lines.append(f"{'whole issues':36} {before.ece:6.3f} {after.ece:6.3f} {before.brier:6.3f} {after.brier:6.3f}")
    lines.append(f"further support adds {fitted.calibration.support_gain:g} log-odds")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
