"""One real scan with four radiologists' own contours: each of our wrongs done to each of their outlines, one at a time.

LIDC-IDRI-0001 has one nodule that all four outlined. Its readers' labels are taken as honest; for testing alone.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from imaging.agreement.fusion import majority
from imaging.geometry.regions import lung_region
from imaging.inference.bundle import Bundle
from imaging.inference.predict import predict
from imaging.masks.matching import match_lesions
from imaging.masks.measure import centroid
from imaging.masks.place import centre_of
from imaging.phantom.chest import PhantomCase, TrueNodule
from imaging.phantom.label_errors import ErrorKind, Severity, SpoiltLabels, Wish
from imaging.phantom.label_errors_injected import spoil_labels
from imaging.phantom.nodules import Attenuation, Site
from imaging.phantom.simulated_readers import renumber
from imaging.readers.lidc import read_lidc_xml
from imaging.scoring.matching import Verdict
from imaging.training.scans import read_member, read_scan
from imaging.training.spoilt import Rate, SpoiltCase
from imaging.types import AnnotationSet, Case, Mask, PointMm, Prediction, Volume
from tests.benchmarks.labels.matching import judge
from tests.benchmarks.labels.ours import our_flags

SCAN, MARKS = "lidc-0001", "annotations-lidc.xml"
WHOLE_MM = 10_000.0
SEED = 50_000_000
READERS = 4

# Its one nodule has no neighbour to be merged with, and of its size there is one class.
KINDS = tuple(kind for kind in ErrorKind if kind is not ErrorKind.MERGED)


def real_case(backgrounds: Path | None, bundle: Bundle, folder: Path) -> Mapping[str, object]:
    """Return for every kind how often the surest flag, or any flag, found the one error; and what is flagged without.

    ``folder`` keeps the prediction. Returns why not where the scan is not there.
    """
    scan = None if backgrounds is None else read_scan(folder=backgrounds, name=SCAN, usable_mm=WHOLE_MM)
    if scan is None or backgrounds is None:
        return {"not_run": "the real scan is not there"}
    imported = read_lidc_xml(read_member(folder=backgrounds, name=SCAN, member=MARKS), scan.volume)
    honest, _ = renumber(annotation_sets=imported.annotation_sets)
    nodule = _nodule(honest)
    lungs = lung_region(hounsfield=scan.volume.hounsfield, spacing_mm=scan.volume.grid.spacing_mm, closing_mm=10.0)
    vessels = lungs & (scan.volume.hounsfield > -400)
    truth = PhantomCase(SEED, scan.volume, (nodule,), lungs, vessels)
    variants = list(_variants(honest, truth))
    places = tuple(
        dict.fromkeys(
            centre_of(finding)
            for sets in (honest, *(done.annotation_sets for _, done in variants))
            for one in sets
            for finding in one.findings
        )
    )
    prediction = _prediction(scan.volume, places, bundle, folder)
    untouched = SpoiltCase(
        SEED, SCAN, READERS, Rate.CLEAN, Case(scan.volume, honest, prediction), (), (), truth.nodules
    )
    table: dict[str, dict[str, int]] = {}
    for wish, done in variants:
        case = replace(
            untouched, case=Case(scan.volume, done.annotation_sets, prediction), rate=Rate.HIGH, errors=done.errors
        )
        judged = judge(case=case, flags=our_flags(case))
        row = table.setdefault(wish.kind.value, {"injected": 0, "surest_flag": 0, "any_flag": 0})
        row["injected"] += 1
        row["surest_flag"] += bool(judged) and judged[0].verdict is Verdict.FOUND
        row["any_flag"] += any(entry.verdict is Verdict.FOUND for entry in judged)
    flags = our_flags(untouched)
    return {
        "readers": len(honest),
        "nodule_mm": round(nodule.diameter_mm, 1),
        "flags_on_the_radiologists_own_labels": [
            {"score": round(flag.score, 3), "finding": flag.finding_id, "set": flag.set_id} for flag in flags
        ],
        "by_kind": table,
    }


def _variants(honest: tuple[AnnotationSet, ...], truth: PhantomCase) -> Iterator[tuple[Wish, SpoiltLabels]]:
    for kind in KINDS:
        for number, severity in enumerate(Severity):
            wish = Wish(kind, severity)
            done = spoil_labels(annotation_sets=honest, case=truth, seed=number, wishes=[wish])
            if done.errors:
                yield wish, done


def _nodule(sets: Sequence[AnnotationSet]) -> TrueNodule:
    """The lesion that most readers outlined, by their majority."""
    findings = {(one.set_id, finding.finding_id): finding for one in sets for finding in one.findings}
    outlines: list[Mask] = []
    for lesion in match_lesions(sets):
        masks = [findings[member].mask for member in lesion.members]
        known = [mask for mask in masks if mask is not None]
        if len(known) > len(outlines):
            outlines = known
    mask = majority(masks=tuple(outlines))
    diameter = float((6.0 * mask.count * float(np.prod(mask.grid.spacing_mm)) / np.pi) ** (1.0 / 3.0))
    return TrueNodule("N01", centroid(mask), diameter, Attenuation.SOLID, Site.JUXTAPLEURAL, 5, 5, mask, True)


def _prediction(volume: Volume, places: tuple[PointMm, ...], bundle: Bundle, folder: Path) -> Prediction:
    key = hashlib.sha256(repr((places, bundle.opinion_digest)).encode()).hexdigest()[:16]
    path = folder / f"prediction-{SCAN}-{key}.bin"
    if path.exists():
        kept = pickle.loads(path.read_bytes())
        if isinstance(kept, Prediction):
            return kept
    prediction = predict(
        volume, bundle, places=places, progress=lambda _done, _total: None, checkpoint_dir=None, threads=2
    )
    path.write_bytes(pickle.dumps(prediction))
    return prediction
