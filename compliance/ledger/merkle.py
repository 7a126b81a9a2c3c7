"""Merkle trees of RFC 9162 section 2.1 with SHA-256: roots, inclusion and consistency proofs, and their verification.

Leaves are hashed with the prefix 0x00 and nodes with 0x01; a lone right-hand node is promoted, never doubled, so that
two lists of different length cannot share a root. A tree is read through a function that looks complete subtrees up:
of one leaf, and of 256, 65536, ... leaves. Whatever lies between is computed, so a proof costs a few look-ups and some
hundreds of hashes however large the tree is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

LEAF_PREFIX = b"\x00"
NODE_PREFIX = b"\x01"
EMPTY_ROOT = hashlib.sha256(b"").digest()
TILE_LEVELS = 8
"""Levels of the tree between two that are kept: a kept hash stands for 256 of those below it."""

Reader = Callable[[int, int, int], Sequence[bytes]]
"""(level, start, stop) -> hashes of the complete subtrees start to stop - 1 that have 2**level leaves each."""


class BadProof(ValueError):
    """A proof does not show what it should; the message says what was expected and what was found."""


class IncompleteTree(LookupError):
    """A subtree that should be kept is not there."""


def hash_leaf(data: bytes) -> bytes:
    """Return the 32-byte hash of a leaf."""
    return hashlib.sha256(LEAF_PREFIX + data).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """Return the 32-byte hash of an interior node."""
    return hashlib.sha256(NODE_PREFIX + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the 32-byte tree hash of ``leaves``, which are data not yet hashed, in the order given."""
    return root_of_hashes([hash_leaf(leaf) for leaf in leaves])


def root_of_hashes(hashes: Sequence[bytes]) -> bytes:
    """Return the tree hash over leaf hashes; SHA-256 of the empty string where there is none."""
    if not hashes:
        return EMPTY_ROOT
    level = list(hashes)
    while len(level) > 1:
        above = [hash_node(level[place], level[place + 1]) for place in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return level[0]


class Tree:
    """A tree of ``size`` leaves, read through ``read``. Raises IncompleteTree where a kept subtree is missing."""

    def __init__(self, *, size: int, read: Reader) -> None:
        self.size = size
        self._read = read
        self._tiles: dict[tuple[int, int], list[list[bytes]]] = {}

    def root(self) -> bytes:
        """Return the tree hash."""
        return self._over(0, self.size) if self.size else EMPTY_ROOT

    def inclusion_proof(self, index: int) -> list[bytes]:
        """Return the audit path of a leaf, from the leaf up (RFC 9162 section 2.1.3.1)."""
        if not 0 <= index < self.size:
            raise ValueError(f"there is no leaf {index} among {self.size}")
        proof: list[bytes] = []
        start, end = 0, self.size
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                proof.append(self._over(middle, end))
                end = middle
            else:
                proof.append(self._over(start, middle))
                start = middle
        return proof[::-1]

    def consistency_proof(self, first: int) -> list[bytes]:
        """Return the proof that the tree of the first ``first`` leaves is a beginning of this one (section 2.1.4.1)."""
        if not 0 <= first <= self.size:
            raise ValueError(f"there is no tree of {first} leaves within {self.size}")
        proof: list[bytes] = []
        if first == 0:
            return proof
        start, end, known = 0, self.size, True
        while first != end:
            middle = start + _split(end - start)
            if first <= middle:
                proof.append(self._over(middle, end))
                end = middle
            else:
                proof.append(self._over(start, middle))
                start, known = middle, False
        if not known:
            proof.append(self._over(start, end))
        return proof[::-1]

    def peaks(self) -> Iterator[tuple[int, bytes]]:
        """Yield (level, hash) of the complete subtrees that the tree is made of, from the left."""
        start = 0
        for level in range(self.size.bit_length() - 1, -1, -1):
            if self.size >> level & 1:
                yield level, self._complete(level, start >> level)
                start += 1 << level

    def _over(self, start: int, end: int) -> bytes:
        """Return the tree hash over the leaves start to end - 1, a range that the definition's own splits lead to."""
        width = end - start
        if width & (width - 1) == 0:
            return self._complete(width.bit_length() - 1, start // width)
        middle = start + _split(width)
        return hash_node(self._over(start, middle), self._over(middle, end))

    def _complete(self, level: int, index: int) -> bytes:
        within = level % TILE_LEVELS
        tile, place = divmod(index, 1 << (TILE_LEVELS - within))
        return self._tile(level - within, tile)[within][place]

    def _tile(self, base: int, tile: int) -> list[list[bytes]]:
        found = self._tiles.get((base, tile))
        if found is None:
            start = tile << TILE_LEVELS
            stop = min(start + (1 << TILE_LEVELS), self.size >> base)
            rows = [list(self._read(base, start, stop))]
            if len(rows[0]) != stop - start:
                raise IncompleteTree(f"of the subtrees {start} to {stop - 1} at level {base}, {len(rows[0])} are kept")
            while len(rows) < TILE_LEVELS and len(rows[-1]) > 1:
                below = rows[-1]
                rows.append([hash_node(*below[at : at + 2]) for at in range(0, len(below) - 1, 2)])
            found = self._tiles[(base, tile)] = rows
        return found


def tree_of(hashes: Sequence[bytes]) -> Tree:
    """Return the tree over leaf hashes held in memory."""
    kept: dict[int, list[bytes]] = {0: list(hashes)}
    growing = Frontier()
    for leaf in hashes:
        for level, _, digest in growing.append(leaf):
            kept.setdefault(level, []).append(digest)
    return Tree(size=len(hashes), read=lambda level, start, stop: kept.get(level, [])[start:stop])


class Frontier:
    """The right edge of a tree, to which leaves are appended: some twenty hashes stand for a million leaves."""

    def __init__(self, tree: Tree | None = None) -> None:
        self.size = tree.size if tree else 0
        self._peaks: list[tuple[int, bytes]] = list(tree.peaks()) if tree else []

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Append a leaf hash and return the (level, index, hash) of the subtrees to keep that it completed."""
        self.size += 1
        completed: list[tuple[int, int, bytes]] = []
        level, digest = 0, leaf
        while self._peaks and self._peaks[-1][0] == level:
            digest = hash_node(self._peaks.pop()[1], digest)
            level += 1
            if level % TILE_LEVELS == 0:
                completed.append((level, (self.size >> level) - 1, digest))
        self._peaks.append((level, digest))
        return completed

    def root(self) -> bytes:
        """Return the tree hash over all leaves so far."""
        if not self._peaks:
            return EMPTY_ROOT
        digest = self._peaks[-1][1]
        for _, left in reversed(self._peaks[:-1]):
            digest = hash_node(left, digest)
        return digest


def verify_inclusion(*, index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Raise BadProof unless ``leaf`` (a leaf hash) stands at ``index`` of the tree (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        raise BadProof(f"there is no leaf {index} in a tree of {size}")
    place, last, found = index, size - 1, leaf
    for step in _hashes(proof):
        if last == 0:
            raise BadProof("the proof is too long")
        if place & 1 or place == last:
            found = hash_node(step, found)
            while place & 1 == 0 and place:
                place, last = place >> 1, last >> 1
        else:
            found = hash_node(found, step)
        place, last = place >> 1, last >> 1
    if last:
        raise BadProof("the proof is too short")
    if found != root:
        raise BadProof(f"the proof leads to the root {found.hex()}, expected {root.hex()}")


def verify_consistency(
    *, first: int, first_root: bytes, second: int, second_root: bytes, proof: Sequence[bytes]
) -> None:
    """Raise BadProof unless the first tree is a beginning of the second (RFC 9162 section 2.1.4.2).

    Only the empty tree and the same tree are proved by an empty proof, and each by no other.
    """
    steps = _hashes(proof)
    if not 0 <= first <= second:
        raise BadProof(f"a tree of {first} leaves is no beginning of one of {second}")
    if first in (0, second):
        if steps:
            raise BadProof("a proof between these sizes is empty")
        expected = EMPTY_ROOT if first == 0 else second_root
        if first_root != expected:
            raise BadProof(f"the first root is {first_root.hex()}, expected {expected.hex()}")
        return
    if first & (first - 1) == 0:
        steps = [first_root, *steps]
    if not steps:
        raise BadProof("the proof is empty")
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise BadProof("the proof is too long")
        if place & 1 or place == last:
            old, new = hash_node(step, old), hash_node(step, new)
            while place & 1 == 0 and place:
                place, last = place >> 1, last >> 1
        else:
            new = hash_node(new, step)
        place, last = place >> 1, last >> 1
    if last:
        raise BadProof("the proof is too short")
    if (old, new) != (first_root, second_root):
        raise BadProof(
            f"the proof leads to {old.hex()} and {new.hex()}, expected {first_root.hex()}, {second_root.hex()}"
        )


def _split(width: int) -> int:
    """Return the largest power of two below ``width``."""
    return 1 << (width - 1).bit_length() - 1


def _hashes(proof: Sequence[bytes]) -> list[bytes]:
    if any(len(step) != 32 for step in proof):
        raise BadProof("a proof consists of hashes of 32 bytes")
    return list(proof)
