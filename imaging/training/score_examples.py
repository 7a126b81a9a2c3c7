"""What the checks say of spoilt cases, with the truth about each issue: what scores are fitted to.

What is found on a scan is kept beside the scan itself, under a name that holds the digest of the code it came from: a
run that was cut off goes on where it was, and changed checks are heard anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from imaging.checks.base import CHEST_CT_NODULES
from imaging.checks.registry import REGISTRY
from imaging.inference.bundle import Bundle, load_bundle
from imaging.pipeline import collected
from imaging.scoring.matching import is_excused, meets
from imaging.scoring.subjects import is_ambiguous, subject_of
from imaging.training.spoilt import Rate, SpoiltCase, keep, kept_at, recipe, spoilt_cases
from imaging.training.spoilt_grounds import BENCHMARK_SEEDS, FIT_SEEDS
from imaging.training.spoken import OF_SETS, spoken_of
from imaging.types import LabelIssue

_Found = TypeVar("_Found")

READERS = (1, 4)
ALONE_SCANS = 4
"""On so many scans the checks are heard without the model too: what changes rests on it."""

SPEAKS_OF_SETS = "geometry_mismatch"
"""The one check that is fitted to sets that are wrong as a whole."""

HEARD = ("checks", "agreement", "masks", "geometry", "types", "scoring")
"""Rooms whose code decides what is said of a case, beside this file and the pipeline."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One issue of one case with its truth; what can be called neither right nor wrong is left out."""

    group: str
    case: int
    issue: LabelIssue
    wrong: bool


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """All issues of all cases, and the checks that rest on the model."""

    seen: tuple[Seen, ...]
    rest_on_model: frozenset[str]
    cases: int


@dataclass(frozen=True, slots=True)
class Source:
    """Where cases come from: the folder that keeps them, the real scans (None for phantoms alone), the bundle's."""

    folder: Path
    backgrounds: Path | None
    bundle: Path
    threads: int


@dataclass(frozen=True, slots=True, eq=False)
class _Scan:
    """The examples of one scan."""

    examples: Examples


def examples_on(*, source: Source, seeds: range, processes: int, progress: Callable[[int, int], None]) -> Examples:
    """Return the examples of all seeds, from what is kept or made anew, several scans at a time.

    ``progress`` is told (scans done, scans in all). Raises ValueError for seeds that are not for fitting.
    """
    alone = seeds[:ALONE_SCANS]
    found = []
    for done, one in enumerate(worked(partial(_of_scan, source, alone), seeds, processes), start=1):
        found.append(one)
        progress(done, len(seeds))
    return joined(found)


def joined(found: Sequence[Examples]) -> Examples:
    """Return the examples of several scans as one; cases are numbered on."""
    seen: list[Seen] = []
    count = 0
    for one in found:
        seen += [replace(item, case=count + item.case) for item in one.seen]
        count += one.cases
    resting = frozenset[str]().union(*(one.rest_on_model for one in found))
    return Examples(tuple(seen), resting, count)


def examples_of(cases: Iterable[SpoiltCase]) -> Examples:
    """Return what the checks say of the cases, with the truth about each issue; all are heard without the model too.

    Raises ValueError for a case of the benchmark.
    """
    return _heard(cases, alone=True)


def code_digest(*, folders: Sequence[str], files: Sequence[Path]) -> str:
    """Return what names the code in rooms of ``imaging`` and in some files: 12 digits of a SHA-256."""
    here = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted([*files, *(one for name in folders for one in (here / name).glob("*.py"))]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def worked(work: Callable[[int], _Found], seeds: range, processes: int) -> Iterator[_Found]:
    """Yield what ``work`` makes of each seed, in order, several at a time. ``work`` is a module's function."""
    if processes == 1:
        yield from map(work, seeds)
        return
    # Spawned, not forked: a network's threads do not survive a fork.
    with ProcessPoolExecutor(max_workers=processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(work, seeds)


def _of_scan(source: Source, alone: range, seed: int) -> Examples:
    bundle = bundle_at(source.bundle)
    name = f"examples-{seed}-{case_name(source, bundle)}-{_code()}.bin"
    kept = kept_at(source.folder / name)
    if isinstance(kept, _Scan):
        return kept.examples
    examples = _heard(cases_of(source, seed), alone=seed in alone)
    keep(source.folder / name, _Scan(examples))
    return examples


def cases_of(source: Source, seed: int) -> Iterator[SpoiltCase]:
    """Return every case of one scan: all numbers of readers, all rates."""
    return spoilt_cases(
        folder=source.folder,
        seeds=range(seed, seed + 1),
        readers=READERS,
        rates=tuple(Rate),
        bundle=bundle_at(source.bundle),
        backgrounds=source.backgrounds,
        threads=source.threads,
    )


def case_name(source: Source, bundle: Bundle) -> str:
    """Return what names how the cases of a source are made: the recipe, the grounds and what the bundle answers."""
    ground = "phantom" if source.backgrounds is None else "real"
    return f"{recipe()}-{ground}-{bundle.opinion_digest[:16]}"


@cache
def bundle_at(path: Path) -> Bundle:
    """Return the bundle of a folder, read once a process."""
    return load_bundle(path, expected_sha256=None)


@cache
def _code() -> str:
    here = Path(__file__)
    return code_digest(folders=HEARD, files=(here, here.with_name("spoken.py"), here.parents[1] / "pipeline.py"))


def _heard(cases: Iterable[SpoiltCase], *, alone: bool) -> Examples:
    seen: list[Seen] = []
    resting: set[str] = set()
    count = 0
    for count, one in enumerate(cases, start=1):
        if one.seed not in FIT_SEEDS or one.seed in BENCHMARK_SEEDS:
            raise ValueError(f"seed {one.seed} is not for fitting")
        # A real background recurs with other nodules in it: it is one patient all the same.
        group = str(one.seed) if one.ground == "phantom" else one.ground
        issues, _ = collected(case=one.case, parameters=CHEST_CT_NODULES, checks=REGISTRY)
        if alone:
            resting |= _changed_without_model(one, issues)
        seen.extend(_truths(one, issues, group, count))
    return Examples(tuple(seen), frozenset(resting), count)


def _truths(one: SpoiltCase, issues: Sequence[LabelIssue], group: str, case: int) -> Iterator[Seen]:
    diameters = {nodule.nodule_id: nodule.diameter_mm for nodule in one.nodules}
    for issue in issues:
        if is_ambiguous(issue):
            continue
        subject = subject_of(issue)
        met = [error.kind for error in one.errors if meets(subject=subject, error=error, diameters_mm=diameters)]
        spoken = spoken_of(check=issue.check, empty_place=issue.finding_id is None)
        if issue.check != SPEAKS_OF_SETS:
            spoken -= OF_SETS
        wrong = any(kind in spoken for kind in met)
        # A label that is wrong in another way tells nothing about this check, nor does one of a set that is wrong as a
        # whole: there no label is right, whatever it looks like.
        if wrong or not (met or is_excused(subject=subject, excuses=one.excused)):
            # Outlines and words are not fitted, and would fill the memory.
            bare = replace(issue, reason="", blind_reason="", proposals=(), evidence=_needed(issue))
            yield Seen(group, case, bare, wrong)


def _needed(issue: LabelIssue) -> dict[str, object]:
    return {name: issue.evidence[name] for name in ("features", "kind", "scope") if name in issue.evidence}


def _changed_without_model(one: SpoiltCase, issues: Sequence[LabelIssue]) -> set[str]:
    alone, _ = collected(case=replace(one.case, prediction=None), parameters=CHEST_CT_NODULES, checks=REGISTRY)
    return {check for check, _, _, _ in {_said(issue) for issue in issues} ^ {_said(issue) for issue in alone}}


def _said(issue: LabelIssue) -> tuple[str, str, str, float]:
    return (issue.check, issue.annotation_set_id, issue.finding_id or str(issue.place_mm), round(issue.score, 9))
