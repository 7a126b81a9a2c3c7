from django.db import migrations, models

STATES = [
    ("open", "open for instances"),
    ("received", "received"),
    ("running", "running"),
    ("completed", "completed"),
    ("failed", "failed"),
]


class Migration(migrations.Migration):
    dependencies = [
        ("studies", "0003_crosswalk"),
    ]

    operations = [
        migrations.AlterField(
            model_name=model,
            name="state",
            field=models.CharField(choices=STATES, default="received", max_length=16),
        )
        for model in ("ingest", "historicalingest")
    ]
