"""Trees and proofs against published vectors, in all sizes to 130, and what is forged, cut, extended or empty."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.ledger import merkle, verify, verify_proof
from compliance.ledger.merkle import BadProof

pytestmark = pytest.mark.requirement("REQ-01")

VECTORS = Path(__file__).parent / "vectors"
PUBLISHED = json.loads((VECTORS / "rfc9162.json").read_text())
LEAVES = [merkle.hash_leaf(bytes.fromhex(leaf)) for leaf in PUBLISHED["leaves"]]
ROOTS = [bytes.fromhex(root) for root in PUBLISHED["roots"]]
MANY = [hashlib.sha256(b"%d" % number).digest() for number in range(1400)]
LARGEST = 130


def includes(index: int, size: int, leaf: bytes, proof: list[bytes], root: bytes) -> bool:
    """What both verifiers in Python say, which have to agree."""
    try:
        merkle.verify_inclusion(index=index, size=size, leaf=leaf, proof=proof, root=root)
    except BadProof:
        found = False
    else:
        found = True
    assert verify_proof.includes(index, size, leaf, proof, root) == found
    return found


def continues(first: int, old: bytes, second: int, new: bytes, proof: list[bytes]) -> bool:
    try:
        merkle.verify_consistency(first=first, first_root=old, second=second, second_root=new, proof=proof)
    except BadProof:
        found = False
    else:
        found = True
    assert verify_proof.continues(first, old, second, new, proof) == found
    return found


def unhex(proof: list[str]) -> list[bytes]:
    return [bytes.fromhex(step) for step in proof]


@pytest.mark.parametrize("one", PUBLISHED["inclusion"], ids=lambda one: f"{one['index']}/{one['size']}")
def test_published_inclusion_proofs_are_made_and_accepted(one: dict[str, Any]) -> None:
    tree = merkle.tree_of(LEAVES[: one["size"]])
    assert tree.inclusion_proof(one["index"]) == unhex(one["proof"])
    assert includes(one["index"], one["size"], LEAVES[one["index"]], unhex(one["proof"]), ROOTS[one["size"]])


@pytest.mark.parametrize("one", PUBLISHED["consistency"], ids=lambda one: f"{one['first']}-{one['second']}")
def test_published_consistency_proofs_are_made_and_accepted(one: dict[str, Any]) -> None:
    first, second, proof = one["first"], one["second"], unhex(one["proof"])
    assert merkle.tree_of(LEAVES[:second]).consistency_proof(first) == proof
    assert continues(first, ROOTS[first], second, ROOTS[second], proof)


def all_proofs() -> dict[str, list[dict[str, Any]]]:
    """Every honest proof of all trees to 130 leaves, and of each a few that do not hold."""
    inclusion, consistency = [], []
    roots = [merkle.root_of_hashes(MANY[:size]) for size in range(LARGEST + 1)]
    for size in range(1, LARGEST + 1):
        tree = merkle.tree_of(MANY[:size])
        assert tree.root() == roots[size]
        for index in range(size):
            fact = {"index": index, "size": size, "leaf": MANY[index], "root": roots[size]}
            proof = tree.inclusion_proof(index)
            inclusion += [{**fact, "proof": proof, "holds": True}]
            inclusion += [{**fact, "proof": other, "holds": False} for other in spoilt(proof, size + index)]
        for first in range(size + 1):
            fact = {"first": first, "second": size, "old": roots[first], "top": roots[size]}
            proof = tree.consistency_proof(first)
            consistency += [{**fact, "proof": proof, "holds": True}]
            consistency += [{**fact, "proof": other, "holds": False} for other in spoilt(proof, size + first)]
    return {"inclusion": inclusion, "consistency": consistency}


def spoilt(proof: list[bytes], choice: int) -> list[list[bytes]]:
    """A proof that was extended and, if it has any step, one that was cut, emptied or forged, by turns."""
    if not proof:
        return [[bytes(32)]]
    place = choice % len(proof)
    forged = [*proof[:place], bytes([proof[place][0] ^ 1]) + proof[place][1:], *proof[place + 1 :]]
    return [([*proof, proof[-1]], proof[:-1], [], forged, [*proof[:-1], proof[-1][:-1]])[choice % 5]]


def test_every_proof_of_every_tree_to_130_leaves_holds_in_three_verifiers_and_no_spoilt_one_does(
    tmp_path: Path,
) -> None:
    proofs = all_proofs()
    wrong = [
        one
        for one in proofs["inclusion"]
        if includes(one["index"], one["size"], one["leaf"], one["proof"], one["root"]) != one["holds"]
    ]
    wrong += [
        one
        for one in proofs["consistency"]
        if continues(one["first"], one["old"], one["second"], one["top"], one["proof"]) != one["holds"]
    ]
    assert wrong == []
    given = tmp_path / "proofs.json"
    given.write_text(json.dumps(proofs, default=bytes.hex))
    script = Path(verify.__file__).with_suffix(".mjs")
    done = subprocess.run(
        ["node", VECTORS / "second_verifier.mjs", script, given], capture_output=True, text=True, check=True
    )
    result = json.loads(done.stdout)
    assert result["differences"] == []
    assert result["compared"] > len(proofs["inclusion"]) + len(proofs["consistency"]) + 30


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (2, 1), (-1, 3), (8, 8)], ids=lambda number: str(number))
def test_a_leaf_outside_its_tree_is_never_included(index: int, size: int) -> None:
    assert not includes(index, size, MANY[0], [], merkle.EMPTY_ROOT)
    assert not includes(index, size, merkle.EMPTY_ROOT, [], merkle.EMPTY_ROOT)
    with pytest.raises(ValueError, match="no leaf"):
        merkle.tree_of(MANY[:size]).inclusion_proof(index)


def test_a_tree_continues_nothing_larger_nothing_else_and_the_empty_one_only_under_its_root() -> None:
    root = merkle.root_of_hashes
    assert continues(0, merkle.EMPTY_ROOT, 5, root(MANY[:5]), [])
    assert not continues(0, root(MANY[:1]), 5, root(MANY[:5]), [])
    assert not continues(5, root(MANY[:5]), 3, root(MANY[:3]), [])
    assert not continues(-1, root(MANY[:5]), 3, root(MANY[:3]), [])
    assert not continues(5, root(MANY[1:6]), 5, root(MANY[:5]), [])
    with pytest.raises(ValueError, match="no tree of 6"):
        merkle.tree_of(MANY[:5]).consistency_proof(6)


@given(st.integers(1, 1400), st.integers(0, 1400), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_trees_that_span_several_tiles_grow_and_prove_as_the_definition_says(size: int, cut: int, pick: int) -> None:
    leaves, first, index = MANY[:size], cut % (size + 1), pick % size
    tree = merkle.tree_of(leaves)
    root = merkle.root_of_hashes(leaves)
    frontier = merkle.Frontier(merkle.tree_of(leaves[:first]))
    for leaf in leaves[first:]:
        frontier.append(leaf)
    assert tree.root() == frontier.root() == root
    assert includes(index, size, leaves[index], tree.inclusion_proof(index), root)
    assert continues(first, merkle.root_of_hashes(leaves[:first]), size, root, tree.consistency_proof(first))
    if size > 1:
        other = (index + 1) % size
        assert not includes(other, size, leaves[index], tree.inclusion_proof(index), root)


def test_a_kept_subtree_that_is_missing_is_named() -> None:
    kept = {0: MANY[:600], 8: []}
    tree = merkle.Tree(size=600, read=lambda level, start, stop: kept[level][start:stop])
    with pytest.raises(merkle.IncompleteTree, match="at level 8, 0 are kept"):
        tree.root()
