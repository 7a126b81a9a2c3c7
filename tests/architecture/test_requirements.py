"""Requirements, tests and the matrix between them agree (REQ-38)."""

from __future__ import annotations

import pytest

from tests.architecture.traceability import MATRIX, citations, evidence, matrix, requirements

RISKS = {"low", "medium", "high"}


@pytest.mark.requirement("REQ-38")
def test_requirement_ids_are_unique_and_each_has_a_risk() -> None:
    listed = requirements()
    assert len(listed) > 40
    assert len({requirement.id for requirement in listed}) == len(listed)
    assert {requirement.risk for requirement in listed} <= RISKS


@pytest.mark.requirement("REQ-38")
def test_no_test_or_source_cites_a_requirement_that_is_not_in_the_list() -> None:
    known = {requirement.id for requirement in requirements()}
    assert (set(evidence()) | set(citations())) - known == set()


@pytest.mark.requirement("REQ-38")
def test_every_claimed_requirement_has_a_test() -> None:
    tests = evidence()
    orphans = [
        requirement.id for requirement in requirements() if requirement.claimed and not tests.get(requirement.id)
    ]
    assert orphans == [], "claim it later in docs/requirements/requirements.md, or write its test"


@pytest.mark.requirement("REQ-38")
def test_the_traceability_matrix_is_what_the_tests_say() -> None:
    assert MATRIX.read_text(encoding="utf-8") == matrix(), "run `make traceability`"
