"""Judge bundles on what was held out: ``python -m imaging.training.judge --bundle DIR --output DIR [...]``.

What is judged on stands in ``imaging.training.held_out`` and was fixed before the training. Every scan's candidates go
to a file of their own as soon as they are there, so an interrupted judgement goes on where it stopped, and several
processes may share the work (``--part K/N`` judges every N-th scan; without it all is gathered). A file holds for every
bundle that answers the same (``Bundle.answers_digest``): one that only says more of itself is not judged again.

Phantoms: LUNA16's rules (a hit is nearer than half the diameter). Ground-glass nodules below 4 mm are neither hits nor
misses. Inserted nodules: ``--unseen`` judges the bundle itself on real scans that no training ever saw, ``--fold
NAME=DIR`` another that was trained without the background NAME; what was outlined or marked in a background itself is
ignored, nodules below max(4 mm, twice the slice step) are not counted. The scans that a bundle says it was validated
for follow from what is judged here, so here it abstains from none.

Calibration is measured on the held-out phantoms and those of ``imaging.training.calibration_set`` together.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from imaging.errors import NotApplicable
from imaging.inference.bundle import Bundle, load_bundle
from imaging.inference.predict import predict
from imaging.phantom.nodules import Attenuation
from imaging.training.backgrounds import SOURCES
from imaging.training.calibration_set import check_phantoms
from imaging.training.evaluate import judge_real_nodule
from imaging.training.held_out import (
    FOLD_FIRST_SEED,
    FOLDS,
    INSERTED_MM,
    INSERTED_REPEATS,
    UNSEEN,
    UNSEEN_FIRST_SEED,
    HeldOut,
    held_out,
)
from imaging.training.judged import (
    OWN,
    Judged,
    Known,
    calibration,
    digest_of,
    figures,
    judged_scan,
    read_judged,
    written,
)
from imaging.training.own_lesions import own_lesions
from imaging.training.scans import read_scan
from imaging.training.trial_nodules import insert_trial_nodules
from imaging.types import Sphere, Volume

WHOLE_SCAN_MM = 1000.0
PHANTOMS, CALIBRATION, INSERTED, REAL = "phantoms", "calibration", "inserted", "real.json"
"""Where a judgement's output keeps what."""

Made = tuple[Volume, tuple[Known, ...], tuple[Sphere, ...]]


@dataclass(frozen=True, slots=True)
class Share:
    """Which scans this process judges: each ``of``-th, beginning with ``number`` (from 1), on ``threads`` threads."""

    number: int = 1
    of: int = 1
    threads: int = 2

    def holds(self, place: int) -> bool:
        """Whether the scan at a place of the list (from 0) is this process's."""
        return place % self.of == self.number - 1


WHOLE = Share()


def judge_phantoms(
    *, bundle: Bundle, folder: Path, planned: Iterable[HeldOut], share: Share = WHOLE
) -> tuple[Judged, ...]:
    """Return the planned phantoms with the bundle's candidates, made or read from ``folder``."""
    return tuple(
        _kept(folder / f"phantom-{one.seed}.json", bundle, partial(_phantom, one), share.threads)
        for place, one in enumerate(tqdm(list(planned), unit="phantom", file=sys.stderr))
        if share.holds(place)
    )


def judge_background(
    *, name: str, bundle: Bundle, scans: Path, folder: Path, first_seed: int, share: Share = WHOLE
) -> tuple[Judged, ...]:
    """Return a background with nodules put in, several times over, with the candidates of a bundle that never saw it.

    ``first_seed``: of the nodules, one seed a repeat. Raises ValueError if the bundle's lineage names the background,
    FileNotFoundError where ``scans`` does not hold it.
    """
    usable = {source.name: source.usable_mm for source in SOURCES}.get(name, WHOLE_SCAN_MM)
    scan = read_scan(folder=scans, name=name, usable_mm=usable)
    if scan is None:
        raise FileNotFoundError(f"{scans} holds no {name}")
    lineage = (bundle.path / "configs" / "metadata.json").read_text()
    if scan.volume.series_instance_uid in lineage:
        raise ValueError(f"the bundle was trained on {name}: it cannot be judged there")
    own = own_lesions(scans=scans, name=name, scan=scan)
    return tuple(
        _kept(
            folder / f"{name}-{repeat}.json",
            bundle,
            partial(_inserted, scan.volume, own, first_seed + repeat),
            share.threads,
        )
        for repeat in tqdm(range(INSERTED_REPEATS), unit="scan", desc=name, file=sys.stderr)
        if share.holds(repeat)
    )


def kept_of(*, bundle: Bundle, path: Path) -> Judged | None:
    """Return what a file holds of a bundle that answers as this one does, None where it holds nothing such."""
    if not path.is_file():
        return None
    stored = json.loads(path.read_text())
    return read_judged(path.stem, stored) if stored.get("answers_digest") == bundle.answers_digest else None


def judge_real(*, bundle: Bundle, scans: Path | None, path: Path) -> dict[str, object]:
    """Return what the bundle makes of the real nodule of lidc-0001, measured or read from the file ``path``.

    Raises FileNotFoundError where it is not kept and ``scans`` does not hold the scan.
    """
    if path.is_file():
        stored: dict[str, object] = json.loads(path.read_text())
        if stored.pop("answers_digest", None) == bundle.answers_digest:
            return stored
    if scans is None:
        raise FileNotFoundError(f"nothing is kept in {path}, and there is no folder of scans")
    found = judge_real_nodule(bundle=bundle, scans=scans)
    _keep(path, {"answers_digest": bundle.answers_digest, **found})
    return found


def _phantom(one: HeldOut) -> Made:
    case = one.make()
    known = tuple(
        Known(
            nodule.centre_mm,
            nodule.diameter_mm,
            nodule.attenuation.value,
            one.spacing_mm[0],
            not (nodule.attenuation is Attenuation.GROUND_GLASS and nodule.diameter_mm < 4.0),
            nodule.shows,
        )
        for nodule in case.nodules
    )
    return case.volume, known, ()


def _inserted(volume: Volume, own: tuple[Sphere, ...], seed: int) -> Made:
    changed, nodules = insert_trial_nodules(volume=volume, diameters_mm=INSERTED_MM, keep_clear=own, seed=seed)
    step = volume.grid.spacing_mm[0]
    least = max(4.0, 2.0 * step)
    known = tuple(
        Known(one.centre_mm, one.diameter_mm, one.kind, round(step, 3), one.diameter_mm >= least, one.shows)
        for one in nodules
    )
    return changed, known, own


def _kept(path: Path, bundle: Bundle, make: Callable[[], Made], threads: int) -> Judged:
    """Return a judged scan from its file if a bundle judged it that answers the same, else judge it and keep it."""
    before = kept_of(bundle=bundle, path=path)
    if before is not None:
        return before
    volume, known, ignored = make()
    # What a background holds already is neither found nor falsely found.
    known = (*known, *(Known(one.centre_mm, one.diameter_mm, OWN, 0.0, False, True) for one in ignored))
    everywhere = replace(bundle, settings=replace(bundle.settings, applicability=None))
    prediction = predict(
        volume, everywhere, places=(), progress=lambda done, total: None, checkpoint_dir=None, threads=threads
    )
    judged = judged_scan(name=path.stem, known=known, candidates=prediction.candidates)
    _keep(path, {"answers_digest": bundle.answers_digest, "backend": prediction.backend, **written(judged)})
    return judged


def _keep(path: Path, content: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".partial")
    half.write_text(json.dumps(content) + "\n")
    half.replace(path)


def _folds(given: Sequence[str]) -> Iterator[tuple[str, Path]]:
    for one in given:
        name, _, path = one.partition("=")
        if name not in FOLDS or not path:
            raise SystemExit(f"--fold takes NAME=DIR with NAME one of {', '.join(FOLDS)}")
        yield name, Path(path)


def _share_of(text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    if not (number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError("K/N with K from 1 to N")
    return int(number), int(of)


def _backgrounds(
    judging: Sequence[tuple[str, Bundle]], first_seed: int, given: argparse.Namespace, share: Share
) -> dict[str, tuple[Judged, ...]]:
    return {
        name: judge_background(
            name=name,
            bundle=bundle,
            scans=given.scans,
            folder=given.output / INSERTED,
            first_seed=first_seed,
            share=share,
        )
        for name, bundle in judging
    }


def _figures(judged: Sequence[Judged]) -> dict[str, object]:
    try:
        return figures(judged)
    except NotApplicable as reason:
        # Thick slices may leave no nodule that counts: that is said, and the rest is not lost for it.
        return {"scans": len(judged), "not_measured": reason.message}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="bundle to judge on the phantoms")
    parser.add_argument("--unseen", action="store_true", help="judge it on real scans that no training saw, too")
    parser.add_argument("--fold", action="append", default=[], help="NAME=DIR: a bundle that never saw background NAME")
    parser.add_argument("--scans", type=Path, help="folder of public scans, for --unseen and --fold")
    parser.add_argument("--output", type=Path, required=True, help="folder for the scans' files and judged.json")
    parser.add_argument("--part", type=_share_of, metavar="K/N", help="judge each N-th scan alone and gather nothing")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    if given.unseen and given.bundle is None:
        raise SystemExit("--unseen needs --bundle")
    if given.scans is None and (given.unseen or given.fold):
        raise SystemExit("--unseen and --fold need --scans")
    number, of = given.part or (1, 1)
    share = Share(number, of, given.threads)
    bundle = None if given.bundle is None else load_bundle(given.bundle, expected_sha256=None)
    folds = [(name, load_bundle(path, expected_sha256=None)) for name, path in _folds(given.fold)]
    unseen = [(name, bundle) for name in UNSEEN if given.unseen and bundle is not None]
    found: dict[str, object] = {}
    backgrounds = {
        **_backgrounds(unseen, UNSEEN_FIRST_SEED, given, share),
        **_backgrounds(folds, FOLD_FIRST_SEED, given, share),
    }
    judged: tuple[Judged, ...] = ()
    checked: tuple[Judged, ...] = ()
    if bundle is not None:
        judged = judge_phantoms(bundle=bundle, folder=given.output / PHANTOMS, planned=held_out(), share=share)
        checked = judge_phantoms(
            bundle=bundle, folder=given.output / CALIBRATION, planned=check_phantoms(), share=share
        )
    if given.part is not None:
        return
    if bundle is not None:
        found["calibration"] = calibration([*judged, *checked])
        found["phantoms"] = {"answers_digest": bundle.answers_digest, **figures(judged)}
        found["phantoms_digest"] = digest_of(judged)
    if unseen and bundle is not None:
        found["real_nodule"] = judge_real(bundle=bundle, scans=given.scans, path=given.output / REAL)
        found["unseen"] = _figures([one for name in UNSEEN for one in backgrounds[name]])
    if backgrounds:
        found["inserted"] = _figures([one for part in backgrounds.values() for one in part])
        found["inserted_by_background"] = {name: _figures(part) for name, part in backgrounds.items()}
    (given.output / "judged.json").write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))  # noqa: T201 - the command's answer


if __name__ == "__main__":
    main()
