"""PostgreSQL: no regulated row commits without a faithful history row and an event, however it is written (REQ-10)."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable

import pytest
from django.db import IntegrityError, connection, models, transaction
from django.db.utils import DatabaseError

from compliance.models import Event
from compliance.recording import change, compare_and_swap
from compliance.sealing import seal
from tests.compliance.scenes import ANN, open_case, rename_case
from tests.compliance.testapp.models import Blob, Case, Lease, Slice

pytestmark = [pytest.mark.postgres, pytest.mark.requirement("REQ-10"), pytest.mark.usefixtures("postgres_database")]

SUBJECT = ("case", "1")
# The columns of a history row, each with the expression that a faithful forger would take from the case itself.
FORGED = {
    "id": "id",
    "revision": "revision",
    "title": "title",
    "state": "state",
    "size_mm": "size_mm",
    "score": "score",
    "tags": "tags",
    "parent_id": "parent_id",
    "txid": "0",
    "event_id": "%(event)s::uuid",
    "actor_id": "'ann'",
    "actor_name": "'Ann'",
    "actor_role": "'reader'",
    "reason": "'why'",
    "history_date": "now()",
    "history_type": "'~'",
}


def run(statement: str, **values: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)


def forge(*, event: uuid.UUID | None = None, **instead: str) -> None:
    """Insert a history row by raw SQL, faithful but for ``instead``."""
    columns = {**FORGED, **instead}
    run(
        f"INSERT INTO testapp_historicalcase ({', '.join(columns)}) SELECT {', '.join(columns.values())} "
        "FROM testapp_case LIMIT 1",
        event=event or uuid.uuid4(),
    )


def plain(model: type[models.Model]) -> models.QuerySet:
    """A queryset past the model's own guard."""
    return models.QuerySet(model)


@pytest.mark.parametrize(
    "write",
    [
        lambda case: plain(Case).update(title="x"),
        lambda case: plain(Case).filter(pk=case.pk).update(score=models.F("score") + 1),
        lambda case: plain(Case).bulk_create([Case(title="x")]),
        lambda case: plain(Case).bulk_update([case], ["title"]),
        lambda case: plain(Case).filter(pk=case.pk)._raw_delete("default"),
        lambda case: run("UPDATE testapp_case SET title = 'x'"),
        lambda case: run("UPDATE testapp_case SET tags = '[\"a\"]'"),
        lambda case: run("UPDATE testapp_case SET id = gen_random_uuid()"),
        lambda case: run(
            "INSERT INTO testapp_case (id, revision, title, state, tags) "
            "VALUES (gen_random_uuid(), 1, 'x', 'open', '[]')"
        ),
        lambda case: run("DELETE FROM testapp_case"),
        lambda case: run(
            "MERGE INTO testapp_case USING (SELECT 1) AS one ON true WHEN MATCHED THEN UPDATE SET title = 'x'"
        ),
    ],
)
def test_a_write_without_history_fails_at_commit(write: Callable[[Case], object]) -> None:
    case = open_case()
    case.title = "x"
    with pytest.raises(IntegrityError), transaction.atomic():
        write(case)
    stored = Case.objects.get()
    assert (stored.pk, stored.title) == (case.pk, "Nodule")


def test_the_refusal_names_the_table_and_the_row() -> None:
    case = open_case()
    with pytest.raises(IntegrityError, match=f"testapp_case: UPDATE of {case.pk} left no history in its transaction"):
        plain(Case).update(title="x")


def test_a_write_inside_a_change_still_needs_its_own_history() -> None:
    first, second = open_case(), open_case()
    with pytest.raises(IntegrityError), change("case.changed", actor=ANN, reason="why", subject=SUBJECT):
        compare_and_swap(Case, pk=first.pk, expected_revision=1, where={}, changes={"title": "x"})
        plain(Case).filter(pk=second.pk).update(title="x")


def test_a_write_after_the_history_row_fails_though_history_exists() -> None:
    case = open_case()
    with (
        pytest.raises(IntegrityError, match="is not the row as it stands"),
        change("case.changed", actor=ANN, reason="why", subject=SUBJECT),
    ):
        compare_and_swap(Case, pk=case.pk, expected_revision=1, where={}, changes={"title": "x"})
        plain(Case).update(title="y")


@pytest.mark.parametrize(
    "instead",
    [
        {"title": "'never stored'"},
        {"tags": "'[\"a\", 1]'::jsonb"},
        {"score": "score + 1"},
        {"parent_id": "id"},
        {"revision": "revision + 1"},
        {"id": "gen_random_uuid()"},
    ],
    ids=lambda instead: next(iter(instead)),
)
def test_a_history_row_with_values_that_were_never_stored_is_refused(instead: dict[str, str]) -> None:
    open_case()
    with (
        pytest.raises(IntegrityError, match=r"not stored"),
        change("case.changed", actor=ANN, reason="why", subject=SUBJECT) as running,
    ):
        forge(event=running.event_id, **instead)


def test_a_history_row_in_the_middle_of_a_transaction_has_to_be_faithful_too() -> None:
    case = open_case()
    with change("case.changed", actor=ANN, reason="why", subject=SUBJECT) as running:
        compare_and_swap(Case, pk=case.pk, expected_revision=1, where={}, changes={"title": "x"})
        with pytest.raises(IntegrityError, match="not stored"), transaction.atomic():
            forge(event=running.event_id, title="'in between'")
        compare_and_swap(Case, pk=case.pk, expected_revision=2, where={}, changes={"title": "y"})
    assert [row.title for row in case.history.all()] == ["y", "x", "Nodule"]


@pytest.mark.parametrize("case", ["none", "of another transaction"])
def test_history_without_an_event_of_its_own_transaction_is_refused(case: str) -> None:
    open_case()
    event = Event.objects.get().pk if case != "none" else uuid.uuid4()
    with pytest.raises(IntegrityError), transaction.atomic():
        run("UPDATE testapp_case SET title = 'x'")
        forge(event=event)
    assert Case.objects.get().title == "Nodule"


def test_a_write_once_row_with_an_event_of_another_transaction_is_refused() -> None:
    open_case()
    event = Event.objects.get()
    with pytest.raises(IntegrityError, match="testapp_blob: a row without an event of its own transaction"):
        plain(Blob).bulk_create([Blob(sha256="ab", size=1, event_id=event.pk)])


@pytest.mark.parametrize(
    ("column", "words"),
    [("actor_id", "by nobody"), ("actor_name", "by nobody"), ("actor_role", "by nobody"), ("reason", "blank reason")],
)
@pytest.mark.parametrize("text", ["''", "E' \\t\\n '"])
def test_history_by_nobody_or_without_a_reason_is_refused(column: str, words: str, text: str) -> None:
    open_case()
    with (
        pytest.raises(IntegrityError, match=words),
        change("case.changed", actor=ANN, reason="why", subject=SUBJECT) as running,
    ):
        forge(event=running.event_id, **{column: text})


@pytest.mark.parametrize("column", ["actor_id", "actor_name", "actor_role", "reason"])
def test_an_event_by_nobody_or_without_a_reason_is_refused(column: str) -> None:
    values = {
        "kind": "case.viewed",
        "occurred_at": "2026-01-01T00:00:00Z",
        "actor_id": "a",
        "actor_name": "a",
        "actor_role": "a",
        "simulated": False,
        "reason": "why",
        "payload": {},
        "rows": [],
        column: " \t",
    }
    with pytest.raises(IntegrityError):
        plain(Event).bulk_create([Event(**values)])


def test_a_deletion_needs_a_matching_history_row() -> None:
    case = open_case()
    copy = [str(case.pk), 1, "Nodule"]
    insert = (
        "INSERT INTO testapp_historicalcase (id, revision, title, state, size_mm, score, tags, txid, event_id, "
        "actor_id, actor_name, actor_role, reason, history_date, history_type) VALUES (%s, %s, %s, 'open', 4.25, 0.1, "
        "'[\"a\", 1, {\"b\": 0.5}]', 0, %s, 'ann', 'Ann', 'reader', 'withdrawn', now(), '-')"
    )
    for values, statement in ((copy, ""), ([*copy[:2], "Other"], "DELETE FROM testapp_case")):
        with (
            pytest.raises(IntegrityError, match=r"it stands|is not the row as it stands"),
            change("case.changed", actor=ANN, reason="why", subject=SUBJECT) as running,
            connection.cursor() as cursor,
        ):
            if statement:
                cursor.execute(statement)
            cursor.execute(insert, [*values, running.event_id])
    assert Case.objects.exists()
    with change("case.changed", actor=ANN, reason="why", subject=SUBJECT) as running, connection.cursor() as cursor:
        cursor.execute("DELETE FROM testapp_case")
        cursor.execute(insert, [*copy, running.event_id])
    assert not Case.objects.exists()


def test_a_row_that_was_deleted_with_its_history_cannot_stand_again_in_the_same_transaction() -> None:
    case = open_case()
    with (
        pytest.raises(IntegrityError, match="does not say what became of it"),
        change("case.changed", actor=ANN, reason="why", subject=SUBJECT) as running,
    ):
        compare_and_swap(Case, pk=case.pk, expected_revision=1, where={}, changes={"title": "x"})
        run("DELETE FROM testapp_case")
        assert running.event_id


def test_operational_columns_change_freely_and_only_they() -> None:
    case = open_case()
    run("UPDATE testapp_case SET last_seen = now()")
    assert Case.objects.get().last_seen is not None
    with pytest.raises(IntegrityError):
        run("UPDATE testapp_case SET last_seen = now(), title = 'x'")
    assert case.history.count() == 1


@pytest.mark.requirement("REQ-05")
@pytest.mark.parametrize(
    "table", ["compliance_event", "compliance_ledgerentry", "testapp_historicalcase", "testapp_slice", "testapp_blob"]
)
@pytest.mark.parametrize("replica", [False, True])
def test_what_is_written_once_stays_even_for_a_superuser_in_the_replication_role(table: str, replica: bool) -> None:
    with change("case.opened", actor=ANN, reason="why", subject=SUBJECT):
        case = Case(title="x")
        case.save()
        Slice(case=case, number=1).save()
        Blob(sha256="ab", size=1).save()
    seal()
    run(f"SET session_replication_role = {'replica' if replica else 'origin'}")
    column = {"compliance_ledgerentry": "leaf_hash", "testapp_blob": "size"}.get(table, "event_id")
    column = "reason" if table == "compliance_event" else column
    for statement in (
        f"UPDATE {table} SET {column} = {column}",
        f"DELETE FROM {table}",
        f"TRUNCATE {table} CASCADE",
        f"INSERT INTO {table} SELECT * FROM {table} ON CONFLICT DO NOTHING; DELETE FROM {table}",
    ):
        with pytest.raises(IntegrityError, match="refused"):
            run(statement)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        assert cursor.fetchone() == (1,)


def test_truncate_is_refused_on_a_versioned_table_too() -> None:
    open_case()
    with pytest.raises(IntegrityError, match="TRUNCATE is refused"):
        run("TRUNCATE testapp_case CASCADE")


def test_the_replication_role_does_not_bypass_the_guard_or_the_events() -> None:
    open_case()
    with pytest.raises(IntegrityError, match="left no history"), transaction.atomic():
        run("SET LOCAL session_replication_role = replica")
        plain(Case).update(title="x")
    with pytest.raises(IntegrityError, match="without an event"), transaction.atomic():
        run("SET LOCAL session_replication_role = replica")
        plain(Blob).bulk_create([Blob(sha256="ab", size=1, event_id=uuid.uuid4())])


def test_savepoints_do_not_confuse_the_transaction_id() -> None:
    case = open_case()
    with change("case.changed", actor=ANN, reason="why", subject=SUBJECT) as running:
        with transaction.atomic():
            compare_and_swap(Case, pk=case.pk, expected_revision=1, where={}, changes={"title": "a"})
        with pytest.raises(RuntimeError), transaction.atomic():
            compare_and_swap(Case, pk=case.pk, expected_revision=2, where={}, changes={"title": "b"})
            raise RuntimeError
        with change("case.changed", actor=ANN, reason="inner", subject=SUBJECT), transaction.atomic():
            compare_and_swap(Case, pk=case.pk, expected_revision=2, where={}, changes={"title": "c"})
    event = Event.objects.get(pk=running.event_id)
    rows = list(case.history.all())
    assert [row.title for row in rows] == ["c", "a", "Nodule"]
    assert rows[0].txid == rows[1].txid == event.txid != rows[2].txid
    assert event.txid > 0


def test_a_savepoint_that_takes_the_history_back_takes_the_permission_back() -> None:
    case = open_case()
    with (
        pytest.raises(IntegrityError, match="left no history"),
        change("case.changed", actor=ANN, reason="why", subject=SUBJECT),
    ):
        with pytest.raises(RuntimeError), transaction.atomic():
            compare_and_swap(Case, pk=case.pk, expected_revision=1, where={}, changes={"title": "a"})
            raise RuntimeError
        plain(Case).update(title="a")


def test_a_temporary_table_cannot_stand_in_for_history() -> None:
    open_case()
    with pytest.raises(IntegrityError, match="left no history"), transaction.atomic():
        run("CREATE TEMP TABLE testapp_historicalcase (LIKE public.testapp_historicalcase INCLUDING ALL)")
        run("UPDATE public.testapp_case SET title = 'x'")
        forge()


def test_two_writers_of_one_row_leave_one_change_and_one_lost_race() -> None:
    case = open_case()
    start = threading.Barrier(2)
    outcomes: list[str] = []

    def write(title: str) -> None:
        try:
            start.wait()
            with change("case.changed", actor=ANN, reason="race", subject=SUBJECT):
                compare_and_swap(Case, pk=case.pk, expected_revision=1, where={}, changes={"title": title})
            outcomes.append("won")
        except Exception as error:
            outcomes.append(type(error).__name__)
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=(title,)) for title in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["LostRace", "won"]
    assert [row.revision for row in case.history.all()] == [2, 1]


def test_operational_tables_are_free() -> None:
    Lease.objects.create(name="a")
    Lease.objects.all().delete()
    with transaction.atomic():
        run("TRUNCATE testapp_lease")


def test_history_outlives_the_row_values_that_jsonb_might_blur() -> None:
    case = open_case(title="x")
    with change("case.changed", actor=ANN, reason="why", subject=SUBJECT):
        compare_and_swap(
            Case,
            pk=case.pk,
            expected_revision=1,
            where={},
            changes={"score": float("inf"), "tags": {"deep": [1, 1.0, None, "\u20ac"]}},
        )
    assert rename_case(case, "y").score == float("inf")


def test_a_failed_commit_says_so_and_leaves_the_connection_usable() -> None:
    open_case()
    with pytest.raises(DatabaseError):
        plain(Case).update(title="x")
    assert Case.objects.get().title == "Nodule"
