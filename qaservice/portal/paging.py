"""Long lists, page by page, with the list's own filters kept in the links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

ROWS_A_PAGE = 100


@dataclass(frozen=True)
class Paged:
    """One page of a list; ``query`` is what links to other pages begin with."""

    page: Page[Any]
    query: str


def paged(request: HttpRequest, rows: QuerySet[Any] | Sequence[Any]) -> Paged:
    """Return the page that the address asks for; a page that does not exist gives the nearest that does."""
    parameters = request.GET.copy()
    parameters.pop("page", None)
    query = f"{parameters.urlencode()}&" if parameters else ""
    pages: Paginator[Any] = Paginator(rows, ROWS_A_PAGE)
    page = pages.get_page(request.GET.get("page"))
    return Paged(page=page, query=query)
