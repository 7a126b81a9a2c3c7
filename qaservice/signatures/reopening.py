"""Opening a closed account again, for the same person, and with nothing that it could do before (REQ-25, REQ-26).

A username is never issued again: it stays the one person's whose account it was, and so does every signature under it.
Whether it is that person is not for the service to know, so what says so is asked for anew: identity, password, second
factor, and every role.
"""

from __future__ import annotations

from django.db import transaction

from qaservice.accounts.models import User
from qaservice.accounts.passwords import Reset
from qaservice.accounts.services import reopen_user
from qaservice.projects.models import Membership
from qaservice.projects.services import withdraw
from qaservice.signatures import factors
from qaservice.signatures.selectors import living_factor


def reopen_account(*, user: User, by: User, reason: str) -> Reset:
    """Open a person's closed account again and return its temporary password.

    What stood on the account is taken back in the same transaction, each by its own event: roles, second factor,
    verified identity. Raises as ``accounts.services.reopen_user`` does.
    """
    actor, why = by.as_actor(role="administrator"), f"account reopened: {reason}"
    with transaction.atomic():
        reset = reopen_user(user=user, by=by, reason=reason)
        for membership in Membership.objects.filter(user=user, active=True).select_related("project"):
            withdraw(membership=membership, actor=actor, reason=why)
        factor = living_factor(user=user)
        if factor is not None:
            factors.revoke(factor=factor, actor=actor, reason=why)
    return reset
