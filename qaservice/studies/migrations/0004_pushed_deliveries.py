from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("studies", "0003_crosswalk"),
    ]

    operations = [
        migrations.AlterField(
            model_name="ingest",
            name="state",
            field=models.CharField(
                choices=[
                    ("open", "open for instances"),
                    ("received", "received"),
                    ("running", "running"),
                    ("completed", "completed"),
                    ("failed", "failed"),
                ],
                default="received",
                max_length=16,
            ),
        ),
    ]
