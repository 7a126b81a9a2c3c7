"""Valid rows for any table that the record watches, by introspection: a table added tomorrow is filled too.

Nothing collides: whatever a unique constraint covers is fresh. Texts begin with a number that this process counts up,
numbers go up from the table's largest, keys are random, and where only references are unique, one is to a new row.
"""

from __future__ import annotations

import datetime
import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, models
from django.db.models.expressions import F

from compliance.base import OperationalModel, VersionedModel, WriteOnceModel
from compliance.recording import Actor, change, compare_and_swap

KIND = "run.requested"
FILLER = Actor("matrix", "Matrix filler", "system")
REASON = "the matrix needs a row"
LABEL = "rows of the matrix"
# Set by the record itself when the row is written.
OWN = frozenset({"event"})
FIRST_NUMBER = 1000
SOME_TIME = datetime.datetime(2026, 1, 5, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)

_COUNT = itertools.count(FIRST_NUMBER)
_handed_out: dict[tuple[type[models.Model], str], int] = {}

Row = models.Model
Field = models.Field


def record(model: type[Row], **given: Any) -> Any:
    """Write one valid row in a change of its own, and return it."""
    if issubclass(model, OperationalModel):
        row = make(model, **given)
        row.save()
        return row
    with change(KIND, actor=FILLER, reason=REASON, subject=("matrix", model._meta.label)):
        row = make(model, **given)
        row.save()
    return row


def record_together(model: type[WriteOnceModel], number: int) -> list[Any]:
    """Write some rows of a write-once table under one Merkle root."""
    with change(KIND, actor=FILLER, reason=REASON, subject=("matrix", model._meta.label)) as running:
        return model.objects.record_many([make(model) for _ in range(number)], running, root_label=LABEL)


def step(row: VersionedModel) -> Any:
    """Take a stored row to its next revision, and nothing else."""
    with change(KIND, actor=FILLER, reason=REASON, subject=("matrix", type(row)._meta.label)):
        return compare_and_swap(type(row), pk=row.pk, expected_revision=row.revision, where={}, changes={})


def make(model: type[Row], **given: Any) -> Any:
    """Return a row that the table will take, not yet written; rows that it refers to are, where none would do.

    Raises LookupError where no combination of values satisfies the table's check constraints.
    """
    row = model(**given)
    fresh, new_parents = _unique(model)
    choices: dict[str, Callable[[], Iterator[Any]]] = {}
    for field in model._meta.concrete_fields:
        if field.name in given or field.name in OWN or field.attname in given or isinstance(field, models.AutoField):
            continue
        if isinstance(field, models.ForeignKey):
            choices[field.name] = _referring(field, new=field.name in new_parents)
        elif not (field.primary_key and field.has_default()) and field.name != "revision":
            choices[field.name] = _plain(field, fresh=field.name in fresh, literals=_literals(model, field.name))
    constraints = [one for one in model._meta.constraints if isinstance(one, models.CheckConstraint)]
    bound = {name for one in constraints for name in _names(one.condition)}
    for name in choices.keys() - bound:
        setattr(row, name, next(choices[name]()))
    _satisfy(row, [name for name in choices if name in bound], choices, constraints)
    row.full_clean(
        exclude={*OWN, *(one.name for one in model._meta.concrete_fields if one.value_from_object(row) is None)}
    )
    return row


def unique_fields(model: type[Row]) -> set[str]:
    """Return the names of all fields that some unique constraint covers."""
    return {name for names in _unique_sets(model) for name in names}


def _satisfy(
    row: Row,
    names: list[str],
    choices: dict[str, Callable[[], Iterator[Any]]],
    constraints: list[models.CheckConstraint],
) -> None:
    """Give the fields that check constraints speak of the first values that satisfy them all."""

    def assign(place: int) -> bool:
        if place == len(names):
            return all(_holds(one, row) for one in constraints)
        settled = set(names[place + 1 :])
        judged = [one for one in constraints if names[place] in (used := _names(one.condition)) and not used & settled]
        for value in choices[names[place]]():
            setattr(row, names[place], value)
            if all(_holds(one, row) for one in judged) and assign(place + 1):
                return True
        return False

    if not assign(0):
        raise LookupError(f"no row of {row._meta.label} satisfies its check constraints: teach tests/matrices/rows.py")


def _holds(constraint: models.CheckConstraint, row: Row) -> bool:
    try:
        constraint.validate(type(row), row)
    except ValidationError:
        return False
    return True


def _unique_sets(model: type[Row]) -> list[list[str]]:
    sets = [[field.name] for field in model._meta.concrete_fields if field.unique]
    sets += [list(names) for names in model._meta.unique_together]
    for one in model._meta.constraints:
        if isinstance(one, models.UniqueConstraint):
            sets.append(list(one.fields) or sorted({name for part in one.expressions for name in _names(part)}))
    return sets


def _unique(model: type[Row]) -> tuple[set[str], set[str]]:
    """Return the fields whose values have to be fresh, and the references that have to be to new rows."""
    fresh: set[str] = set()
    parents: set[str] = set()
    for names in _unique_sets(model):
        fields = [model._meta.get_field(name) for name in names]
        scalars = [one.name for one in fields if not one.is_relation and not one.choices and not _is_flag(one)]
        references = [one.name for one in fields if one.is_relation]
        fresh.update(scalars)
        if not scalars:
            parents.update(references[:1])
    return fresh, parents


def _is_flag(field: Any) -> bool:
    return isinstance(field, models.BooleanField)


def _referring(field: models.ForeignKey, *, new: bool) -> Callable[[], Iterator[Any]]:
    target = field.remote_field.model
    # One new row at most, however often the values are gone through.
    made: list[Any] = []

    def values() -> Iterator[Any]:
        if not new:
            found = list(models.QuerySet(target).order_by("pk")[:2])
            yield from found
            if not found and target is field.model:
                yield None
        if not made and not (field.null and target is field.model):
            made.append(record(target))
        yield from made
        if field.null:
            yield None

    return values


def _plain(field: Field, *, fresh: bool, literals: Iterable[Any]) -> Callable[[], Iterator[Any]]:
    first = _values(field, fresh=fresh)

    def values() -> Iterator[Any]:
        yield from first
        if not fresh:
            yield from literals
        if field.blank and field.get_internal_type() in ("CharField", "TextField"):
            yield ""
        if field.null:
            yield None

    return values


def _values(field: Field, *, fresh: bool) -> list[Any]:
    """Return values of a field's type, the likeliest first; a fresh one stands alone."""
    if field.flatchoices:
        keys = [key for key, _ in field.flatchoices]
        default = field.get_default() if field.has_default() else keys[0]
        return sorted(keys, key=lambda key: key != default)
    kind = field.get_internal_type()
    if kind in ("CharField", "TextField", "SlugField"):
        return [_text(field)]
    if kind.endswith("IntegerField"):
        return [next_number(field)] if fresh else [1, 2, 0, 3]
    moment = SOME_TIME + next(_COUNT) * datetime.timedelta(seconds=1) if fresh else SOME_TIME
    made: dict[str, Callable[[], list[Any]]] = {
        "FloatField": lambda: [0.5, 0.0, 1.0],
        "DecimalField": lambda: [Decimal(1), Decimal(0)],
        "BooleanField": lambda: [bool(field.has_default() and field.get_default()), True],
        "DateTimeField": lambda: [moment, moment + DAY, moment - DAY],
        "DateField": lambda: [moment.date(), (moment + DAY).date(), (moment - DAY).date()],
        "TimeField": lambda: [moment.time()],
        "DurationField": lambda: [DAY],
        "UUIDField": lambda: [uuid.uuid4()],
        "JSONField": lambda: [{"number": 1, "fraction": 0.5, "words": ["a", None, True]}],
        "BinaryField": lambda: [uuid.uuid4().bytes],
        "GenericIPAddressField": lambda: ["127.0.0.1"],
    }
    if kind not in made:
        raise LookupError(f"{field}: no value is known for a {kind}: teach tests/matrices/rows.py")
    return made[kind]()


def _text(field: Field) -> str:
    length = field.max_length or 60
    text = (f"{next(_COUNT):06x}" + uuid.uuid4().hex * 3)[:length]
    return f"{text[:20]}@example.org" if isinstance(field, models.EmailField) else text


def next_number(field: Field) -> int:
    """Return a number that no row of the table holds and that was never handed out for this field before.

    Raises OverflowError where the column would not hold it: a number that wraps is a number twice.
    """
    place = (field.model, field.name)
    top = models.QuerySet(field.model).aggregate(top=models.Max(field.attname))["top"]
    number = max(_handed_out.get(place, FIRST_NUMBER), top or 0) + 1
    _, largest = connection.ops.integer_field_range(field.get_internal_type())
    if largest is not None and number > largest:
        raise OverflowError(f"{field} holds at most {largest}")
    _handed_out[place] = number
    return number


def _names(condition: Any) -> set[str]:
    """Return the fields that a condition or an expression speaks of."""
    if isinstance(condition, models.Q):
        return {name for child in condition.children for name in _names(child)}
    if isinstance(condition, tuple):
        lookup, value = condition
        return {lookup.split("__")[0], *_names(value)}
    if isinstance(condition, F):
        return {condition.name.split("__")[0]}
    if hasattr(condition, "get_source_expressions"):
        return {name for part in condition.get_source_expressions() for name in _names(part)}
    return set()


def _literals(model: type[Row], name: str) -> list[Any]:
    """Return the plain values that check constraints compare a field with."""

    def found(condition: Any) -> Iterator[Any]:
        if isinstance(condition, models.Q):
            for child in condition.children:
                yield from found(child)
        elif isinstance(condition, tuple) and condition[0].split("__")[0] == name:
            value = condition[1]
            if isinstance(value, list | tuple | set | frozenset):
                yield from value
            elif isinstance(value, str | int | float | Decimal) and not condition[0].endswith("__isnull"):
                yield value

    return [
        value
        for one in model._meta.constraints
        if isinstance(one, models.CheckConstraint)
        for value in found(one.condition)
    ]
