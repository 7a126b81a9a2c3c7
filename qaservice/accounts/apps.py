from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "qaservice.accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        # Importing registers this app's event kinds; an unregistered kind is refused when it is recorded.
        from qaservice.accounts import events, receivers  # noqa: F401
