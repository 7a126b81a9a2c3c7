"""What a new password may not be, besides what Django's own validators refuse."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.hashers import check_password
from django.core.exceptions import ValidationError

from qaservice.accounts.models import UsedPassword, User


class NotUsedBefore:
    """Refuses the present password and the last few before it."""

    def validate(self, password: str, user: User | None = None) -> None:
        """Raise ValidationError for a password that the account had."""
        if user is None or user._state.adding:
            return
        before = UsedPassword.objects.filter(user=user).order_by("-set_at", "-pk").values_list("encoded", flat=True)
        for encoded in [user.password, *before[: settings.PASSWORD_HISTORY]]:
            if check_password(password, encoded):
                raise ValidationError("This account had that password before.", code="password_used_before")

    def get_help_text(self) -> str:
        """Return the rule in words."""
        return f"Your password can be none of the last {settings.PASSWORD_HISTORY}."


class NoPersonalWord:
    """Refuses a password that contains the username or a part of the name, however much stands around it."""

    SHORTEST = 4

    def validate(self, password: str, user: User | None = None) -> None:
        """Raise ValidationError for a password that names its owner."""
        if user is None:
            return
        words = {user.username, user.email.partition("@")[0], *user.display_name.replace("-", " ").split()}
        typed = password.casefold()
        if any(len(word) >= self.SHORTEST and word.casefold() in typed for word in words):
            raise ValidationError("A password does not contain one's own name.", code="password_names_owner")

    def get_help_text(self) -> str:
        """Return the rule in words."""
        return "Your password cannot contain your username or name."
