"""Cases with known label errors and a bundle's opinion, kept on disk: scores are fitted and benchmarks run on them.

What costs (the scan, its labels, the prediction) is kept in a folder: one file a seed for scan and labels, one a seed
and bundle for the prediction, so that another bundle costs predictions alone and another scoring nothing.
"""

from __future__ import annotations

import hashlib
import math
import pickle
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np

from imaging.inference.bundle import Bundle
from imaging.inference.predict import predict
from imaging.masks.overlap import shared_voxels
from imaging.masks.place import centre_of, mask_holds, radius_of
from imaging.phantom import label_errors
from imaging.phantom.careful_reader import careful_reader
from imaging.phantom.chest import PhantomCase, TrueNodule
from imaging.phantom.label_errors import ErrorKind, InjectedError, Severity, Wish
from imaging.phantom.label_errors_injected import OF_ONE_LABEL, SMALLEST_MM, spoil_labels
from imaging.phantom.simulated_readers import simulated_readers
from imaging.training.spoilt_grounds import KnownScan, check_seeds, known_scan
from imaging.types import AnnotationSet, Case, Category, Finding, PointMm, Prediction, Sphere, Volume

RECIPE = "4"
"""Changes whenever a seed gives another scan or other labels; part of the name of what is kept."""

HIGH_COUNT = {1: 10, 4: 9}
"""Errors of single labels asked for in a case of the high rate, by the number of readers."""

WHOLE_SETS_OF_SEVEN = (0, 2, 4, 6)
"""Remainders by seven of the seeds whose one reader has a set that is wrong as a whole."""

NATURAL_SHARE = 0.10
ASKED_APART_MM = 0.75
"""Less than a voxel of any scan here: what the model is asked about one place it is taken to answer for the other."""

SET_KINDS = (ErrorKind.MIRRORED, ErrorKind.REVERSED, ErrorKind.DISPLACED)


class Rate(StrEnum):
    """How many labels are wrong: none, about every tenth, or so many that each kind is met often enough to count."""

    CLEAN = "clean"
    NATURAL = "natural"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Excused:
    """A thing about which a flag is neither right nor wrong.

    Simulated readers overlook subtle nodules and mark vessels of their own accord, a real background may hold lesions
    of its own, and some nodules are hidden by a vessel or too small for anything about their label to be sure.
    ``set_id``: empty for every set.
    """

    set_id: str
    place_mm: PointMm
    radius_mm: float
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class SpoiltCase:
    """One case and the truth about it. ``ground``: "phantom" or a background's name.

    ``errors``: what was put in; none in a ``clean`` case. ``nodules``: what is really there.
    """

    seed: int
    ground: str
    readers: int
    rate: Rate
    case: Case
    errors: tuple[InjectedError, ...]
    excused: tuple[Excused, ...]
    nodules: tuple[TrueNodule, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing was put in on purpose."""
        return self.rate is Rate.CLEAN


@dataclass(frozen=True, slots=True, eq=False)
class _Labels:
    readers: int
    rate: Rate
    annotation_sets: tuple[AnnotationSet, ...]
    errors: tuple[InjectedError, ...]
    excused: tuple[Excused, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """A scan with its labels in every setting."""

    ground: str
    volume: Volume
    nodules: tuple[TrueNodule, ...]
    labels: tuple[_Labels, ...]

    @property
    def places(self) -> tuple[PointMm, ...]:
        """Every place to ask about, for all places where any setting has a label (``asked_of``)."""
        return asked_of(self._labelled)

    @property
    def _labelled(self) -> tuple[PointMm, ...]:
        found = (
            centre_of(finding)
            for one in self.labels
            for annotation_set in one.annotation_sets
            for finding in annotation_set.findings
        )
        return tuple(dict.fromkeys(found))


def spoilt_cases(
    *,
    folder: Path,
    seeds: range,
    readers: Sequence[int],
    rates: Sequence[Rate],
    bundle: Bundle,
    backgrounds: Path | None,
    threads: int,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[SpoiltCase]:
    """Return the cases of ``seeds``, each scan with every number of ``readers`` (1 or 4) and every rate.

    ``seeds`` belong to fitting or to the benchmark (``spoilt_grounds``). ``folder`` keeps what costs; it is made. Only
    files that this function wrote belong in it. ``backgrounds``: folder with the real scans, None for phantoms alone.
    ``progress`` is told (scans done, scans in all). Raises ValueError for other seeds or numbers of readers.
    """
    check_seeds(seeds)
    unknown = set(readers) - set(HIGH_COUNT)
    if unknown:
        raise ValueError(f"there are labels of 1 or 4 readers, not of {sorted(unknown)}")
    folder.mkdir(parents=True, exist_ok=True)
    for done, seed in enumerate(seeds):
        made = _made(folder, seed, backgrounds)
        prediction = _predicted(folder, seed, made, bundle, threads)
        opinions = {one.place_mm: one for one in prediction.outlines}
        asked = list(opinions)
        for one in made.labels:
            if one.readers in readers and one.rate in rates:
                wanted = (centre_of(item) for entry in one.annotation_sets for item in entry.findings)
                answers = (
                    replace(opinions[_nearest(place, asked)[0]], place_mm=place) for place in dict.fromkeys(wanted)
                )
                own = replace(prediction, outlines=tuple(answers))
                case = Case(made.volume, one.annotation_sets, own)
                yield SpoiltCase(seed, made.ground, one.readers, one.rate, case, one.errors, one.excused, made.nodules)
        if progress is not None:
            progress(done + 1, len(seeds))


def wishes_for(*, seed: int, readers: int) -> list[Wish]:
    """Return what is asked for in a case of the high rate: every kind and severity in turn over consecutive seeds.

    Four readers: one of them has a set that is wrong as a whole, the others errors of single labels. One reader: the
    set is wrong as a whole for four seeds of seven and has no other error, for then no label of it is right any more.
    """
    severities = tuple(Severity)
    # Strides apart from those of samplings and backgrounds, so that every kind meets each of them.
    stride = 3 if readers > 1 else 2
    whole = Wish(SET_KINDS[seed // stride % 3], severities[seed // (3 * stride) % 3])
    if readers == 1 and seed % 7 in WHOLE_SETS_OF_SEVEN:
        return [whole]
    grid = [Wish(kind, severity) for severity in severities for kind in OF_ONE_LABEL]
    # A stride that shares no factor with the number of pairs walks through all of them.
    start = (seed if readers > 1 else seed // 2) * HIGH_COUNT[readers]
    single = [grid[(start + number) * 7 % len(grid)] for number in range(HIGH_COUNT[readers])]
    # Merging needs two free neighbours, and large things room: they choose first.
    single.sort(key=lambda wish: (wish.kind is not ErrorKind.MERGED, wish.kind is not ErrorKind.MISSING))
    return ([whole] if readers > 1 else []) + single


def _natural_wishes(seed: int, annotation_sets: Sequence[AnnotationSet]) -> list[Wish]:
    """About every tenth label wrong, kinds and severities at random; a set as a whole is not among them."""
    generator = np.random.default_rng([seed, len(annotation_sets), 89])
    count = int(generator.binomial(sum(len(one.findings) for one in annotation_sets), NATURAL_SHARE))
    severities = tuple(Severity)
    return [
        Wish(OF_ONE_LABEL[int(generator.integers(len(OF_ONE_LABEL)))], severities[int(generator.integers(3))])
        for _ in range(count)
    ]


def _labels(known: KnownScan, seed: int) -> tuple[_Labels, ...]:
    found = []
    for readers in HIGH_COUNT:
        scan, sure = _that_shows(known.scan)
        honest = careful_reader(case=scan, seed=seed) if readers == 1 else simulated_readers(case=scan, seed=seed)
        asked = {
            Rate.CLEAN: [],
            Rate.NATURAL: _natural_wishes(seed, honest),
            Rate.HIGH: wishes_for(seed=seed, readers=readers),
        }
        excused = (*sure, *_excused(scan, honest), *(_of_the_ground(ball) for ball in known.own))
        for number, (rate, wishes) in enumerate(asked.items()):
            done = spoil_labels(annotation_sets=honest, case=scan, seed=10 * seed + number, wishes=wishes)
            found.append(_Labels(readers, rate, done.annotation_sets, done.errors, excused))
    return tuple(found)


def asked_of(places: Sequence[PointMm]) -> tuple[PointMm, ...]:
    """Return the places to ask a model about for all of these: none nearer than ``ASKED_APART_MM`` to another.

    Readers' outlines of one nodule have their middles fractions of a voxel apart, and an answer costs eight looks.
    """
    kept: list[PointMm] = []
    for place in places:
        if not kept or _nearest(place, kept)[1] > ASKED_APART_MM:
            kept.append(place)
    return tuple(kept)


def _nearest(place: PointMm, others: Sequence[PointMm]) -> tuple[PointMm, float]:
    """Return the nearest of some places and how far it is, mm."""
    return min(((other, math.dist(place, other)) for other in others), key=lambda one: one[1])


def _that_shows(scan: PhantomCase) -> tuple[PhantomCase, list[Excused]]:
    """Return the scan with the nodules that can be seen alone, and what nobody can be right or wrong about.

    A nodule that a vessel swallows is in no reader's set, and no flag on it counts. One below ``SMALLEST_MM`` is
    labelled and takes no error, for readers need not outline it; so no flag on it is false either.
    """
    hidden = [one for one in scan.nodules if not one.shows]
    small = [one for one in scan.nodules if one.shows and one.diameter_mm < SMALLEST_MM]
    excused = [Excused("", one.centre_mm, 0.5 * one.diameter_mm, "a nodule that nobody can see") for one in hidden]
    excused += [
        Excused("", one.centre_mm, 0.5 * one.diameter_mm, "too small for its label to be sure") for one in small
    ]
    return replace(scan, nodules=tuple(one for one in scan.nodules if one.shows)), excused


def _excused(scan: PhantomCase, honest: Sequence[AnnotationSet]) -> list[Excused]:
    """What readers do of their own accord: nodules overlooked, and marks of nodules where there are none."""
    found = []
    for annotation_set in honest:
        for nodule in scan.nodules:
            if not any(_about(finding, nodule) for finding in annotation_set.findings):
                radius = 0.5 * nodule.diameter_mm
                found.append(Excused(annotation_set.set_id, nodule.centre_mm, radius, "overlooked by the reader"))
        for finding in annotation_set.findings:
            if finding.category.is_nodule and not any(_about(finding, nodule) for nodule in scan.nodules):
                radius = radius_of(finding)
                found.append(Excused(annotation_set.set_id, centre_of(finding), radius, "the reader's own false mark"))
            elif finding.category is Category.NODULE_LT_3MM:
                found.append(
                    Excused(annotation_set.set_id, centre_of(finding), radius_of(finding), "too small to outline")
                )
    return found


def _about(finding: Finding, nodule: TrueNodule) -> bool:
    if finding.mask is not None:
        return shared_voxels(finding.mask, nodule.mask) > 0
    return mask_holds(nodule.mask, centre_of(finding))


def _of_the_ground(ball: Sphere) -> Excused:
    return Excused("", ball.centre_mm, 0.5 * ball.diameter_mm, "a lesion of the background's own")


def _made(folder: Path, seed: int, backgrounds: Path | None) -> _Made:
    name = f"scan-{seed}-{recipe()}-{'real' if backgrounds is not None else 'phantom'}.bin"
    kept = kept_at(folder / name)
    if isinstance(kept, _Made):
        return kept
    known = known_scan(seed=seed, backgrounds=backgrounds)
    made = _Made(known.ground, known.scan.volume, _that_shows(known.scan)[0].nodules, _labels(known, seed))
    keep(folder / name, made)
    return made


def _predicted(folder: Path, seed: int, made: _Made, bundle: Bundle, threads: int) -> Prediction:
    ground = "phantom" if made.ground == "phantom" else "real"
    path = folder / f"prediction-{seed}-{recipe()}-{ground}-{bundle.opinion_digest[:16]}.bin"
    kept = kept_at(path)
    if isinstance(kept, Prediction):
        return kept
    # Some of the real chests have thicker slices than the bundle was validated for. In service it abstains there; here
    # it is asked all the same, since every method is compared on what it says.
    everywhere = replace(bundle, settings=replace(bundle.settings, applicability=None))
    prediction = predict(
        made.volume,
        everywhere,
        places=made.places,
        progress=lambda _done, _total: None,
        checkpoint_dir=None,
        threads=threads,
    )
    keep(path, prediction)
    return prediction


def recipe() -> str:
    """Return what names the way scans and labels are made: the recipe's number, and the table of severities."""
    table = {kind.value: dict(rows) for kind, rows in label_errors.SEVERITIES_MM.items()}
    return f"{RECIPE}{hashlib.sha256(repr(table).encode()).hexdigest()[:6]}"


def keep(path: Path, value: object) -> None:
    """Write what costs, whole or not at all."""
    part = path.with_suffix(".part")
    part.write_bytes(zlib.compress(pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL), level=1))
    part.replace(path)


def kept_at(path: Path) -> object:
    """Return what ``keep`` wrote, None where there is nothing or where its classes have other fields by now."""
    if not path.exists():
        return None
    # The folder is this module's own, named by whoever runs the fit; nothing from elsewhere is ever read here.
    value = pickle.loads(zlib.decompress(path.read_bytes()))  # noqa: S301 - our own file, see above
    return value if _complete(value) else None


def _complete(value: object) -> bool:
    """Tell whether what was kept has every field that its classes have by now, looking at the first of each kind."""
    if isinstance(value, tuple):
        return not value or _complete(value[0])
    if not is_dataclass(value):
        return True
    return all(hasattr(value, one.name) and _complete(getattr(value, one.name)) for one in fields(value))
