"""Indexes by which a trail of a million events is read page by page, by record, and by words of its reasons."""

from django.db import migrations, models

# As SearchVector("reason", config="simple") spells it, or PostgreSQL would not use the index for it.
BY_REASON = "CREATE INDEX event_by_reason ON compliance_event USING gin (to_tsvector('simple', COALESCE(reason, '')))"


def index_reasons(apps, schema_editor):
    """SQLite has no such index: there reasons are read one by one."""
    if schema_editor.connection.vendor == 'postgresql':
        schema_editor.execute(BY_REASON)


def drop_reasons(apps, schema_editor):
    if schema_editor.connection.vendor == 'postgresql':
        schema_editor.execute('DROP INDEX event_by_reason')


class Migration(migrations.Migration):

    dependencies = [
        ('compliance', '0002_tree_and_commitments'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='event',
            name='event_by_subject',
        ),
        migrations.RemoveIndex(
            model_name='event',
            name='event_by_project',
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(fields=['subject_id', 'subject_type'], name='event_by_record'),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(fields=['project_key', 'occurred_at', 'id'], name='event_by_time'),
        ),
        migrations.RunPython(index_reasons, drop_reasons),
    ]
