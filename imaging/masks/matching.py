"""Which findings of different readers are one lesion.

The rule: two findings of different annotation sets belong together when their outlines share a voxel, when one's
centre lies in the other's outline, or when their centres are nearer than the larger of their half diameters, or than
``LEAST_REACH_MM`` if both are smaller. A box is no outline: it is matched as a sphere is, by its centre and the half
diameter of ``box_diameter_mm``. A lesion holds only findings that belong together pair by pair (complete linkage) and
at most one of each set. The closest pairs are joined first. Nodule categories play no part, so that a nodule and a
non-nodule mark at one place meet in one lesion; other structures are no lesions and take no part at all: the lung
around a nodule, outlined by somebody, is not another opinion on the nodule.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scipy.spatial import KDTree

from imaging.errors import GeometryError
from imaging.masks.overlap import shared_voxels
from imaging.masks.place import centre_of, mask_holds, radius_of
from imaging.types import AnnotationSet, Category, Finding, Lesion, PointMm

LEAST_REACH_MM = 2.5
"""Point marks have no size; nodules below 3 mm are placed to about a slice, and thin CT slices reach 2.5 mm."""


@dataclass(frozen=True, slots=True, eq=False)
class _Member:
    set_id: str
    finding: Finding
    centre: PointMm
    radius: float

    @property
    def key(self) -> tuple[str, str]:
        return (self.set_id, self.finding.finding_id)


def match_lesions(annotation_sets: Sequence[AnnotationSet]) -> tuple[Lesion, ...]:
    """Return the lesions of one case by the module's rule, in order of lesion id.

    Every finding is in exactly one lesion, but those of ``Category.STRUCTURE``, which are in none. A lesion's centre
    is the mean of its outlined members' centres (of all members' where none is outlined), LPS millimetres. Its id is a
    hash of its members, so it does not depend on the order of sets or findings.
    Raises GeometryError ``another-grid`` if outlines lie on different grids, NotApplicable ``no-place`` if a finding
    lies nowhere.
    """
    members = sorted(
        (
            _Member(one.set_id, finding, centre_of(finding), radius_of(finding))
            for one in annotation_sets
            for finding in one.findings
            if finding.category is not Category.STRUCTURE
        ),
        key=lambda member: member.key,
    )
    _check_one_grid(members)
    closeness = {(a, b): gap for a, b in _pairs(members) if (gap := _closeness(members[a], members[b])) is not None}
    cluster_of = list(range(len(members)))
    clusters = {index: [index] for index in cluster_of}
    for a, b in sorted(closeness, key=lambda pair: (closeness[pair], members[pair[0]].key, members[pair[1]].key)):
        one, other = cluster_of[a], cluster_of[b]
        if one == other or not all((min(x, y), max(x, y)) in closeness for x in clusters[one] for y in clusters[other]):
            continue
        for index in clusters[other]:
            cluster_of[index] = one
        clusters[one].extend(clusters.pop(other))
    lesions = [_lesion([members[index] for index in sorted(cluster)]) for cluster in clusters.values()]
    return tuple(sorted(lesions, key=lambda lesion: lesion.lesion_id))


def _check_one_grid(members: Sequence[_Member]) -> None:
    outlined = [(one.set_id, one.finding.mask.grid.digest) for one in members if one.finding.mask is not None]
    if len({set_id for set_id, _ in outlined}) > 1 and len({digest for _, digest in outlined}) > 1:
        raise GeometryError("another-grid", "Regions on different grids cannot be compared voxel by voxel.")


def _pairs(members: Sequence[_Member]) -> Iterator[tuple[int, int]]:
    """Yield every pair that may belong together, in order: what is too far apart for it is never looked at."""
    if not members:
        return
    reaches = [_reach_mm(member) for member in members]
    tree = KDTree([member.centre for member in members])
    farthest = max(reaches)
    for a, member in enumerate(members):
        for b in sorted(tree.query_ball_point(member.centre, reaches[a] + farthest)):
            if b > a and math.dist(member.centre, members[b].centre) <= reaches[a] + reaches[b]:
                yield a, int(b)


def _reach_mm(member: _Member) -> float:
    """Return a distance from a member's centre beyond which it meets nothing, also on a grid whose axes are askew."""
    mask = member.finding.mask
    across = 0.0
    if mask is not None:
        across = sum(size * step for size, step in zip(mask.voxels.shape, mask.grid.spacing_mm, strict=True))
    return max(across, member.radius, LEAST_REACH_MM)


def _closeness(first: _Member, second: _Member) -> tuple[int, float] | None:
    """Sort key of a pair that belongs together, overlapping pairs first; None if it does not (or is of one set)."""
    if first.set_id == second.set_id:
        return None
    distance = math.dist(first.centre, second.centre)
    if _overlap(first, second):
        return (0, distance)
    if distance < max(first.radius, second.radius, LEAST_REACH_MM):
        return (1, distance)
    return None


def _overlap(first: _Member, second: _Member) -> bool:
    one, other = first.finding.mask, second.finding.mask
    if one is not None and other is not None:
        return shared_voxels(one, other) > 0
    if one is not None:
        return mask_holds(one, second.centre)
    return other is not None and mask_holds(other, first.centre)


def _lesion(members: Sequence[_Member]) -> Lesion:
    outlined = [member.centre for member in members if member.finding.mask is not None]
    centres = outlined or [member.centre for member in members]
    names = "\n".join("\t".join(member.key) for member in members)
    return Lesion(
        lesion_id="lesion-" + hashlib.sha256(names.encode()).hexdigest()[:16],
        centre_mm=(
            math.fsum(centre[0] for centre in centres) / len(centres),
            math.fsum(centre[1] for centre in centres) / len(centres),
            math.fsum(centre[2] for centre in centres) / len(centres),
        ),
        members=tuple(member.key for member in members),
    )
