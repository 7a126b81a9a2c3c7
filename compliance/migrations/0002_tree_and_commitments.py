# Merkle tree over the sealed order, salted payload commitments, shapes of rows.

from django.db import migrations, models


def require_an_empty_record(apps, schema_editor):
    if apps.get_model('compliance', 'Event').objects.using(schema_editor.connection.alias).exists():
        raise RuntimeError(
            'This database holds a record of a development version, whose events have no commitments and cannot be '
            'given any without altering them. Keep it with the version that wrote it, and start with an empty database.'
        )


class Migration(migrations.Migration):

    dependencies = [
        ('compliance', '0001_events_and_ledger'),
    ]

    operations = [
        migrations.RunPython(require_an_empty_record, migrations.RunPython.noop),
        migrations.AddField(
            model_name='event',
            name='salts',
            field=models.JSONField(default=dict),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='event',
            name='commitments',
            field=models.JSONField(default=dict),
            preserve_default=False,
        ),
        migrations.CreateModel(
            name='RowShape',
            fields=[
                ('id', models.CharField(max_length=16, primary_key=True, serialize=False)),
                ('table', models.CharField(max_length=100)),
                ('columns', models.JSONField()),
            ],
            options={
                'ordering': ['table', 'id'],
            },
        ),
        migrations.CreateModel(
            name='Subtree',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('level', models.PositiveSmallIntegerField()),
                ('index', models.PositiveBigIntegerField()),
                ('hash', models.CharField(max_length=64)),
            ],
            options={
                'ordering': ['level', 'index'],
                'constraints': [models.UniqueConstraint(fields=('level', 'index'), name='subtree_once')],
            },
        ),
    ]
