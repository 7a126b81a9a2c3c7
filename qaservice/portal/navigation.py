"""The pages of a project in their groups: one line of groups, and beneath it the pages of the group one is in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.urls import reverse


@dataclass(frozen=True)
class Entry:
    """One page: its route, what it is called, the action that opens it, and the routes that lie beneath it."""

    route: str
    title: str
    action: str
    beneath: tuple[str, ...] = ()


@dataclass(frozen=True)
class Link:
    """What a template shows. ``current``: whether the page that is open is this one or lies beneath it."""

    title: str
    address: str
    current: bool


@dataclass(frozen=True)
class Menu:
    """Both lines."""

    groups: tuple[Link, ...]
    pages: tuple[Link, ...]


GROUPS: tuple[tuple[str, tuple[Entry, ...]], ...] = (
    ("Overview", (Entry("overview", "Overview", "view"),)),
    (
        "Review",
        (
            Entry("worklist", "Worklist", "review", ("case", "batch", "next-case")),
            Entry("flags", "Flags", "inspect", ("flag",)),
        ),
    ),
    (
        "Data",
        (
            Entry("series-list", "Series", "view", ("series",)),
            Entry("upload", "Deliveries", "ingest", ("delivery", "quarantine")),
            Entry("dataset", "Dataset", "inspect"),
            Entry("rules", "Rules", "inspect"),
        ),
    ),
    (
        "Models",
        (Entry("models", "Models", "inspect", ("model",)), Entry("fitness", "Model fitness", "inspect")),
    ),
    (
        "People",
        (
            Entry("people", "People", "inspect"),
            Entry("training", "Training", "inspect"),
            Entry("access", "Access register", "inspect"),
        ),
    ),
    (
        "Record",
        (
            Entry("trail", "Trail", "audit", ("verify", "record")),
            Entry("looks", "Looks", "audit"),
            Entry("proofs", "Proofs", "audit", ("proof-card",)),
            Entry("retention", "Retention", "audit"),
            Entry("reports", "Reports", "export"),
            Entry("signatures", "Signatures", "export", ("signed-record", "sign")),
        ),
    ),
)


SITE: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("administration", "Accounts", ("account-of",)),
    ("alerts", "Alerts", ()),
    ("factors", "Signing", ()),
    ("site-access", "Access register", ()),
    ("site-trail", "Trail", ()),
)
"""The administrators' pages, which belong to no project: route, title, the routes beneath it."""


def site_menu(*, route: str) -> tuple[Link, ...]:
    """Return the administrators' pages, on the page ``route``."""
    return tuple(Link(title, reverse(f"portal:{name}"), route in {name, *beneath}) for name, title, beneath in SITE)


def menu(*, key: str, may: Mapping[str, bool], route: str) -> Menu:
    """Return the menu of the project ``key`` for somebody who ``may`` do these actions, on the page ``route``."""
    groups: list[Link] = []
    pages: tuple[Link, ...] = ()
    for title, entries in GROUPS:
        links = tuple(
            Link(entry.title, reverse(f"portal:{entry.route}", args=[key]), route in {entry.route, *entry.beneath})
            for entry in entries
            if may[entry.action]
        )
        if not links:
            continue
        here = any(link.current for link in links)
        groups.append(Link(title if len(links) > 1 else links[0].title, links[0].address, here))
        if here and len(links) > 1:
            pages = links
    return Menu(tuple(groups), pages)
