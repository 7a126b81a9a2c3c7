from django.apps import AppConfig


class StorageConfig(AppConfig):
    name = "qaservice.storage"
    verbose_name = "Storage"

    def ready(self) -> None:
        # Importing registers this app's event kinds; an unregistered kind is refused when it is recorded.
        from compliance.contents import register_contents
        from qaservice.storage import events  # noqa: F401
        from qaservice.storage.selectors import altered_blobs

        register_contents("blobs", altered_blobs)
