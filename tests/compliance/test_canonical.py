"""Canonical bytes, leaf and link hashes, and the Merkle tree: against their standards and an independent library."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from compliance.ledger import chain, merkle, verify
from compliance.ledger.canonical import LARGEST_INTEGER, NotCanonical, canonical_bytes
from compliance.ledger.commitments import commitment, leaf_document, leaf_hash

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-LARGEST_INTEGER, LARGEST_INTEGER) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)

# The eight leaves and the roots over the first n of them that RFC 6962's own log implementations publish.
LEAVES = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
LEAVES.append(bytes.fromhex("606162636465666768696a6b6c6d6e6f"))
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@given(DOCUMENTS)
def test_canonical_bytes_are_those_of_an_independent_library_and_of_the_kits_verifier(document: object) -> None:
    expected = rfc8785.dumps(document)
    assert canonical_bytes(document) == expected
    assert verify.canonical(document) == expected


EVENTS = st.fixed_dictionaries(
    {
        **dict.fromkeys(("actor_id", "actor_name", "actor_role", "id", "kind", "occurred_at", "reason"), TEXT),
        **dict.fromkeys(("project_key", "subject_type", "subject_id"), TEXT),
        "payload": st.dictionaries(TEXT, DOCUMENTS, max_size=2),
        "salts": st.just({}),
        "commitments": st.dictionaries(TEXT, TEXT, max_size=3),
        "rows": st.lists(st.dictionaries(TEXT, DOCUMENTS, max_size=2), max_size=2),
        "simulated": st.booleans() | st.sampled_from([0, 1, None]),
        "txid": st.integers(-LARGEST_INTEGER, LARGEST_INTEGER) | st.booleans() | TEXT,
    },
    optional={"more": DOCUMENTS},
)


@given(EVENTS)
def test_the_leaf_of_an_event_is_the_hash_of_its_document_by_an_independent_library(event: dict[str, Any]) -> None:
    commitments = hashlib.sha256(b"\x04" + rfc8785.dumps(event["commitments"])).hexdigest()
    rows = merkle.root([rfc8785.dumps(row) for row in event["rows"]]).hex()
    kept = {name: value for name, value in event.items() if name not in ("salts", "commitments")}
    expected = hashlib.sha256(b"\x00" + rfc8785.dumps({**kept, "payload": commitments, "rows": rows})).digest()
    assert leaf_hash(event) == chain.leaf_hash(leaf_document(event)) == expected


@given(TEXT, DOCUMENTS)
def test_a_commitment_is_over_the_canonical_name_and_value(name: str, value: Any) -> None:
    expected = hashlib.sha256(b"\x03" + bytes(range(16)) + rfc8785.dumps([name, value])).hexdigest()
    assert commitment(name=name, value=value, salt=bytes(range(16)).hex()) == expected


@pytest.mark.parametrize(
    "altered",
    [
        {"reason": "\ud800"},
        {"txid": 2**53},
        {"txid": 1.0},
        {"commitments": {"\ud800": "a"}},
        {"commitments": {"a": 1.5}},
        {"rows": [{"a": 1.5}]},
    ],
)
def test_an_event_without_a_canonical_form_has_no_leaf(altered: dict[str, Any]) -> None:
    texts = dict.fromkeys(
        ("actor_id", "actor_name", "actor_role", "id", "kind", "occurred_at", "reason", "project_key"), "x"
    )
    event: dict[str, Any] = {
        **texts,
        "subject_type": "x",
        "subject_id": "x",
        "payload": {},
        "salts": {},
        "commitments": {},
        "rows": [],
    }
    event |= {"simulated": False, "txid": 1}
    assert len(leaf_hash(event)) == 32
    with pytest.raises(NotCanonical):
        leaf_hash({**event, **altered})


def test_keys_are_ordered_by_utf16_code_units_not_by_code_points() -> None:
    document = {"\ufb33": 1, "\U0001f600": 2, "\u20ac": 3}
    assert canonical_bytes(document) == '{"\u20ac":3,"\U0001f600":2,"\ufb33":1}'.encode()


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"score": 1.0}, r"\$\.score: float"),
        ([0, 2**53], r"\$\[1\]: 9007199254740992 is beyond"),
        ({"a": -(2**53)}, "beyond"),
        ({1: "a"}, "the key 1 is not a string"),
        ({"a": "\ud800"}, "surrogate"),
        ({"\udfff": 1}, "surrogate"),
        ({"a": {1, 2}}, "set has no canonical form"),
    ],
)
def test_what_other_languages_would_read_otherwise_is_refused_with_its_place(document: object, where: str) -> None:
    with pytest.raises(NotCanonical, match=where):
        canonical_bytes(document)


def test_the_largest_integers_and_tuples_have_a_canonical_form() -> None:
    assert canonical_bytes((LARGEST_INTEGER, -LARGEST_INTEGER)) == b"[9007199254740991,-9007199254740991]"


@pytest.mark.parametrize("count", range(9))
def test_merkle_roots_are_the_published_ones(count: int) -> None:
    assert merkle.root(LEAVES[:count]).hex() == ROOTS[count]
    assert verify.root_of([verify.leaf(leaf) for leaf in LEAVES[:count]]).hex() == ROOTS[count]


def test_an_odd_leaf_is_not_doubled() -> None:
    assert merkle.root(LEAVES[:3]) != merkle.root([*LEAVES[:3], LEAVES[2]])


def test_a_leaf_a_node_and_a_link_over_the_same_bytes_differ() -> None:
    left, right = hashlib.sha256(b"a").digest(), hashlib.sha256(b"b").digest()
    node = hashlib.sha256(merkle.NODE_PREFIX + left + right).digest()
    leaf = hashlib.sha256(chain.LEAF_PREFIX + left + right).digest()
    link = chain.link_hash(previous=left, leaf=right)
    assert len({node, leaf, link}) == 3


def test_a_link_over_anything_but_two_hashes_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        chain.link_hash(previous=b"short", leaf=bytes(32))
    with pytest.raises(ValueError, match="32 bytes"):
        chain.link_hash(previous=bytes(33), leaf=bytes(31))
