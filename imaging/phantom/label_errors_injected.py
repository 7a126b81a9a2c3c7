"""Injecting label errors by wish: which label takes which error, and the record of what was really done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from imaging.masks.overlap import shared_voxels
from imaging.masks.place import centre_of
from imaging.phantom.chest import PhantomCase, TrueNodule
from imaging.phantom.label_errors import (
    SEVERITIES_MM,
    ErrorKind,
    InjectedError,
    RefusedWish,
    Severity,
    SpoiltLabels,
    Wish,
)
from imaging.phantom.label_errors_labels import Spoilt, invented, spoil_label
from imaging.phantom.label_errors_outlines import joined, touch
from imaging.phantom.label_errors_sets import spoil_set
from imaging.phantom.simulated_readers import places_of, renumber
from imaging.types import AnnotationSet, Finding

OF_ONE_LABEL = tuple(kind for kind in ErrorKind if not kind.of_a_whole_set)
SIZED_BY_NODULE = frozenset({ErrorKind.MISSING, ErrorKind.WRONG_CATEGORY, ErrorKind.MERGED})
SMALLEST_MM = 4.0
"""Smaller nodules take no error: LIDC's own readers need not outline them, so that nothing about them is sure."""

TOUCHING_SHARE = 0.4
"""Share of missing labels that are taken from nodules which touch another one, while there are any."""


def inject_errors(
    *, annotation_sets: tuple[AnnotationSet, ...], case: PhantomCase, seed: int, count: int
) -> tuple[tuple[AnnotationSet, ...], tuple[InjectedError, ...]]:
    """Return the sets with up to ``count`` errors of single labels in them, kinds taken in turn, and their record.

    Severities are drawn from moderate and severe. An error for which no label fits gives way to the next kind.
    Deterministic in ``case.seed`` and ``seed``; see ``spoil_labels``.
    """
    generator = np.random.default_rng([case.seed, seed, 990])
    kinds = [ErrorKind(kind) for kind in generator.permutation([kind.value for kind in OF_ONE_LABEL])]
    clear = (Severity.MODERATE, Severity.SEVERE)
    wishes = [Wish(kind, clear[int(generator.integers(2))]) for _ in range(2) for kind in kinds]
    done = spoil_labels(annotation_sets=annotation_sets, case=case, seed=seed, wishes=wishes, at_most=count)
    return done.annotation_sets, done.errors


def spoil_labels(
    *,
    annotation_sets: tuple[AnnotationSet, ...],
    case: PhantomCase,
    seed: int,
    wishes: Sequence[Wish],
    at_most: int | None = None,
) -> SpoiltLabels:
    """Return the sets with the errors that were wished for, in order, until there are ``at_most`` of them.

    A nodule takes at most one error in all sets together, and only one that at least three readers outlined (all, if
    there are fewer), so that with several readers the truth stays visible in the other labels. Errors of whole sets are
    made first, each on a set of its own that takes no other error; they need a set to spare. Sets are renamed as
    ``renumber`` does. Deterministic in ``case.seed`` and ``seed``.
    """
    desk = _Desk(case, [list(one.findings) for one in annotation_sets], np.random.default_rng([case.seed, seed, 991]))
    errors: list[tuple[int, InjectedError]] = []
    refused: list[RefusedWish] = []
    whole = [wish for wish in wishes if wish.kind.of_a_whole_set]
    order = [int(number) for number in desk.generator.permutation(len(annotation_sets))]
    taken = order[: len(whole)]
    refused.extend(RefusedWish(wish, "no label set is left for it") for wish in whole[len(taken) :])
    for position, wish in zip(taken, whole, strict=False):
        changed = spoil_set(
            annotation_set=annotation_sets[position],
            grid=case.volume.grid,
            kind=wish.kind,
            severity=wish.severity if wish.kind is ErrorKind.DISPLACED else None,
        )
        if changed is None:
            refused.append(RefusedWish(wish, "the set's labels would leave the image, or stay where they are"))
            continue
        desk.findings[position] = list(changed[0].findings)
        errors.append((position, changed[1]))
    desk.positions = tuple(number for number in range(len(annotation_sets)) if number not in taken)
    desk.find_targets()
    for number, wish in enumerate(wish for wish in wishes if not wish.kind.of_a_whole_set):
        if at_most is not None and len(errors) >= at_most:
            break
        made = desk.make(wish, number)
        if isinstance(made, RefusedWish):
            refused.append(made)
        else:
            errors.append(made)
    return _named(annotation_sets, desk.findings, errors, refused)


def _named(
    before: tuple[AnnotationSet, ...],
    findings: list[list[Finding]],
    errors: list[tuple[int, InjectedError]],
    refused: list[RefusedWish],
) -> SpoiltLabels:
    changed = tuple(replace(one, findings=tuple(own)) for one, own in zip(before, findings, strict=True))
    renamed, moved = renumber(annotation_sets=changed)
    record = tuple(
        replace(
            error,
            set_id=renamed[position].set_id,
            finding_id=None if error.finding_id is None else moved[(position, error.finding_id)],
        )
        for position, error in errors
    )
    return SpoiltLabels(renamed, record, tuple(refused))


@dataclass
class _Target:
    """A label that may take an error: where it stands, and the nodule that it is about."""

    position: int
    finding_id: str
    nodule: TrueNodule


@dataclass
class _Desk:
    """Labels while they are being spoilt.

    ``positions``: sets that take errors of single labels. ``outlined``: by set and nodule, the finding that outlines
    it. ``targets``: labels that may still take an error. ``pairs``: nodules that touch.
    """

    case: PhantomCase
    findings: list[list[Finding]]
    generator: np.random.Generator
    positions: tuple[int, ...] = ()
    targets: list[_Target] = field(default_factory=list)
    outlined: dict[tuple[int, str], str] = field(default_factory=dict)
    pairs: list[tuple[TrueNodule, TrueNodule]] = field(default_factory=list)

    def find_targets(self) -> None:
        """List one (set, finding, nodule) for each nodule that enough readers outlined, in random order."""
        for position in self.positions:
            for finding in self.findings[position]:
                nodule_id = _outlined_nodule(finding, self.case.nodules)
                if nodule_id is not None:
                    self.outlined[(position, nodule_id)] = finding.finding_id
        found = []
        for nodule in self.case.nodules:
            here = ((position, self.outlined.get((position, nodule.nodule_id))) for position in self.positions)
            outlined = [(position, name) for position, name in here if name is not None]
            if nodule.diameter_mm >= SMALLEST_MM and len(outlined) >= min(3, len(self.positions)) > 0:
                position, finding_id = outlined[int(self.generator.integers(len(outlined)))]
                found.append(_Target(position, finding_id, nodule))
        self.targets = [found[index] for index in self.generator.permutation(len(found))]
        nodules = self.case.nodules
        self.pairs = [
            (one, other)
            for number, one in enumerate(nodules)
            for other in nodules[number + 1 :]
            if touch(first=one.mask, second=other.mask)
        ]

    def make(self, wish: Wish, number: int) -> tuple[int, InjectedError] | RefusedWish:
        """Make one error on the first label that can take it, or say why none can."""
        if wish.kind is ErrorKind.SPURIOUS:
            return self._spurious(wish, number)
        if wish.kind is ErrorKind.MERGED:
            return self._merged(wish)
        for target in self._in_question(wish):
            own = self.findings[target.position]
            at = next(index for index, item in enumerate(own) if item.finding_id == target.finding_id)
            done = spoil_label(
                finding=own[at],
                nodule=target.nodule,
                wish=wish,
                neighbours=self._touching(target.nodule),
                lungs=self.case.lungs,
                generator=self.generator,
            )
            if done is None:
                continue
            self.targets.remove(target)
            own[at : at + 1] = done.findings
            return target.position, self._record(wish, target, done)
        return RefusedWish(wish, "no label is left that can take it")

    def _in_question(self, wish: Wish) -> list[_Target]:
        if wish.kind not in SIZED_BY_NODULE:
            # The smallest that can take it: the large ones are kept for errors that need room.
            middling = sorted(self.targets[:6], key=lambda one: one.nodule.diameter_mm)
            return [*middling, *self.targets[6:]]
        least, most = SEVERITIES_MM[wish.kind][wish.severity]
        fitting = [one for one in self.targets if least <= one.nodule.diameter_mm < most]
        if wish.kind is ErrorKind.MISSING and self.generator.random() < TOUCHING_SHARE:
            fitting.sort(key=lambda one: not self._touching(one.nodule))
        return fitting

    def _touching(self, nodule: TrueNodule) -> tuple[TrueNodule, ...]:
        return tuple(
            other if one.nodule_id == nodule.nodule_id else one
            for one, other in self.pairs
            if nodule.nodule_id in (one.nodule_id, other.nodule_id)
        )

    def _record(self, wish: Wish, target: _Target, done: Spoilt) -> InjectedError:
        return InjectedError(
            kind=wish.kind,
            severity=wish.severity,
            set_id="",
            finding_id=done.finding_id,
            nodule_id=target.nodule.nodule_id,
            place_mm=target.nodule.centre_mm,
            magnitude_mm=round(done.magnitude_mm, 3),
        )

    def _spurious(self, wish: Wish, number: int) -> tuple[int, InjectedError] | RefusedWish:
        if not self.positions:
            return RefusedWish(wish, "no label set is left for it")
        position = int(self.generator.choice(self.positions))
        own = self.findings[position]
        finding = invented(
            case=self.case,
            name=f"invented-{number}",
            span_mm=SEVERITIES_MM[wish.kind][wish.severity],
            clear_of=tuple(one.centre_mm for one in self.case.nodules) + places_of(tuple(own)),
            generator=self.generator,
        )
        if finding is None:
            return RefusedWish(wish, "no free place for it")
        own.append(finding[0])
        error = InjectedError(
            kind=wish.kind,
            severity=wish.severity,
            set_id="",
            finding_id=finding[0].finding_id,
            nodule_id=None,
            place_mm=centre_of(finding[0]),
            magnitude_mm=round(finding[1], 3),
        )
        return position, error

    def _merged(self, wish: Wish) -> tuple[int, InjectedError] | RefusedWish:
        least, most = SEVERITIES_MM[wish.kind][wish.severity]
        free = {target.nodule.nodule_id for target in self.targets}
        for one, other in self.pairs:
            small, large = sorted((one, other), key=lambda nodule: nodule.diameter_mm)
            if not least <= small.diameter_mm < most or not {small.nodule_id, large.nodule_id} <= free:
                continue
            for position in (int(number) for number in self.generator.permutation(self.positions)):
                own = self.findings[position]
                kept = self.outlined.get((position, large.nodule_id))
                lost = self.outlined.get((position, small.nodule_id))
                masks = {item.finding_id: item.mask for item in own}
                first, second = masks.get(kept or ""), masks.get(lost or "")
                if first is None or second is None:
                    continue
                both = joined(first=first, second=second)
                self.findings[position] = [
                    replace(item, mask=both) if item.finding_id == kept else item
                    for item in own
                    if item.finding_id != lost
                ]
                gone = {small.nodule_id, large.nodule_id}
                self.targets = [target for target in self.targets if target.nodule.nodule_id not in gone]
                error = InjectedError(
                    kind=wish.kind,
                    severity=wish.severity,
                    set_id="",
                    finding_id=kept,
                    nodule_id=small.nodule_id,
                    place_mm=small.centre_mm,
                    magnitude_mm=round(small.diameter_mm, 3),
                )
                return position, error
        return RefusedWish(wish, "no touching nodules of that size have an outline each")


def _outlined_nodule(finding: Finding, nodules: Sequence[TrueNodule]) -> str | None:
    """Return the nodule of which an outline holds most voxels, None for a label that outlines none."""
    if finding.mask is None:
        return None
    shared = [(shared_voxels(finding.mask, nodule.mask), nodule.nodule_id) for nodule in nodules]
    most = max(shared, default=(0, ""))
    return most[1] if most[0] else None
