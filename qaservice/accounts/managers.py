"""What Django's authentication asks of a user manager, on top of the guarded manager of versioned rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from compliance.base import VersionedManager

if TYPE_CHECKING:
    from qaservice.accounts.models import User

Account = TypeVar("Account", bound="User")


class UserManager(VersionedManager[Account]):
    """Finds accounts for the login; accounts are opened by ``accounts.services.create_user`` alone."""

    def get_by_natural_key(self, username: str) -> Account:
        return self.get(username=username)
