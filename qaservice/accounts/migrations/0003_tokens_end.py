from datetime import timedelta

from django.db import migrations, models


def end_what_never_ended(apps, schema_editor):
    """A token that was issued for ever lasts a year from its issue, as the longest new one does."""
    tokens = apps.get_model("accounts", "ApiToken")
    for token in tokens.objects.filter(expires_at=None):
        token.expires_at = token.created_at + timedelta(days=365)
        token.save(update_fields=["expires_at"])


class Migration(migrations.Migration):

    dependencies = [
        ("accounts", "0002_access"),
    ]

    operations = [
        migrations.RunPython(end_what_never_ended, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="apitoken",
            name="expires_at",
            field=models.DateTimeField(),
        ),
    ]
