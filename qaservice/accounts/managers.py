"""What Django's authentication asks of a user manager, on top of the guarded manager of versioned rows."""

from __future__ import annotations

from typing import TypeVar

from compliance.base import VersionedManager, VersionedModel

Account = TypeVar("Account", bound=VersionedModel)


class UserManager(VersionedManager[Account]):
    """Finds accounts for the login; accounts are opened by ``accounts.services.create_user`` alone."""

    def get_by_natural_key(self, username: str) -> Account:
        return self.get(username=username)
