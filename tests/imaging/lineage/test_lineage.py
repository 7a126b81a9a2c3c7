"""Training lineages as bundles state them, and data recognised under whatever name they have now."""

from __future__ import annotations

import json

import pytest

from imaging.deidentification.keys import ProjectKeys
from imaging.inference.bundle import METADATA, shipped_bundle
from imaging.lineage import AS_THEY_ARE, Names, is_trained_phantom, known_patients, known_uids, lineage_of
from imaging.phantom.chest import synthetic_uid

SHAPE, SPACING = (60, 128, 128), (5.0, 2.7, 2.7)
KEYS = ProjectKeys(bytes(range(32)))
MAPPED = Names(uid=KEYS.uid, patient=KEYS.patient)


def test_the_shipped_bundle_states_its_backgrounds_and_its_phantoms() -> None:
    lineage = lineage_of(json.loads((shipped_bundle() / METADATA).read_text()))
    assert lineage.stated and len(lineage.uids) >= 3 and lineage.phantom_seeds
    assert all(uid.startswith("1.3.6.1.4.1.14519.") for uid in lineage.uids)


def test_uids_are_found_at_any_depth_and_nothing_else_is_taken_for_one() -> None:
    lineage = lineage_of(
        {
            "lineage": {
                "torch": "2.13.0+cpu",
                "minutes": 60.0,
                "backgrounds": {"a": "1.2.3.4.5.6"},
                "started_from": {"studies": ["1.2.840.113619.2.1"], "phantom_seeds": [3, 5], "patient_ids": ["P-1"]},
                "phantom_seeds": [10, 10],
                "parts": [{"uids": ["1.2.3.4.5.7"]}, {"uids": ["not a uid", "1.2.03.4.5"]}],
            }
        }
    )
    assert lineage.uids == {"1.2.3.4.5.6", "1.2.840.113619.2.1", "1.2.3.4.5.7"}
    assert lineage.patient_ids == {"P-1"}
    assert set(lineage.phantom_seeds) == {range(3, 6), range(10, 11)}


@pytest.mark.parametrize(
    "metadata", [{}, {"lineage": None}, {"lineage": {}}, {"lineage": {"steps": 5, "torch": "2.13"}}]
)
def test_metadata_without_anything_to_compare_state_nothing(metadata: dict[str, object]) -> None:
    assert not lineage_of(metadata).stated


def test_more_than_two_seeds_are_a_list_and_two_are_a_range() -> None:
    assert lineage_of({"lineage": {"phantom_seeds": [4, 1, 9]}}).phantom_seeds == (
        range(4, 5),
        range(1, 2),
        range(9, 10),
    )
    assert lineage_of({"lineage": {"phantom_seeds": [4, 1]}}).phantom_seeds == (range(4, 5), range(1, 2))


@pytest.mark.parametrize(("name", "of"), [(AS_THEY_ARE, str), (MAPPED, KEYS.uid)])
def test_a_phantom_is_recognised_by_its_uid_under_either_name(name: Names, of: object) -> None:
    lineage = lineage_of({"lineage": {"phantom_seeds": [7, 9]}})
    uid = of(synthetic_uid(parts=("series", 8, SHAPE, SPACING)))  # type: ignore[operator]  # a mapping of UIDs

    def trained(**changes: object) -> bool:
        asked = {"series_instance_uid": uid, "shape": SHAPE, "spacing_mm": SPACING} | changes
        return is_trained_phantom(lineage=lineage, names=(name,), **asked)  # type: ignore[arg-type]  # by name

    assert trained()
    assert trained(spacing_mm=(5.0000000001, 2.7, 2.6999999999)), "spacings come from decimal text"
    assert not trained(shape=(61, 128, 128))
    other = of(synthetic_uid(parts=("series", 6, SHAPE, SPACING)))  # type: ignore[operator]  # see above
    assert not trained(series_instance_uid=other)


def test_names_given_in_de_identification_are_known_beside_the_original_ones() -> None:
    lineage = lineage_of({"lineage": {"uids": ["1.2.3.4.5.6"], "patient_ids": ["P-1"], "phantom_seeds": [2, 3]}})
    both = (AS_THEY_ARE, MAPPED)
    assert known_uids(lineage=lineage, names=both) == {"1.2.3.4.5.6", KEYS.uid("1.2.3.4.5.6")}
    assert known_patients(lineage=lineage, names=both) >= {"P-1", KEYS.patient("P-1"), "SYNTHETIC-2", "SYNTHETIC-3"}
