"""The two lines of navigation: only what one may open, and where one is."""

from __future__ import annotations

import pytest

from qaservice.portal.navigation import GROUPS, menu
from qaservice.projects.models import Role
from qaservice.projects.rules import PERMISSIONS, permits


def may(*roles: str) -> dict[str, bool]:
    return {action: permits(roles=roles, action=action) for action in PERMISSIONS}


def test_a_reader_sees_neither_flags_nor_the_record():
    found = menu(key="lung", may=may(Role.READER), route="worklist")
    assert [group.title for group in found.groups] == ["Overview", "Worklist", "Series"]
    assert [group.current for group in found.groups] == [False, True, False]
    assert found.pages == ()


@pytest.mark.parametrize(
    ("route", "group", "page"),
    [("dataset", "Data", "Dataset"), ("delivery", "Data", "Deliveries"), ("verify", "Record", "Trail")],
)
def test_a_page_is_found_in_its_group_also_when_it_lies_beneath_another(route: str, group: str, page: str):
    found = menu(key="lung", may=may(Role.QA_LEAD), route=route)
    assert [one.title for one in found.groups if one.current] == [group]
    assert [one.title for one in found.pages if one.current] == [page]


def test_no_route_stands_in_two_places():
    routes = [name for _title, entries in GROUPS for entry in entries for name in (entry.route, *entry.beneath)]
    assert len(routes) == len(set(routes))
