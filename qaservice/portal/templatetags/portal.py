"""How values are written on pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from qaservice.accounts.models import User

register = template.Library()

TONES = {
    "open": "open",
    "disputed": "warn",
    "settled": "good",
    "accepted": "good",
    "accepted-with-warning": "warn",
    "refused": "bad",
    "quarantined": "warn",
    "stored": "good",
    "duplicate": "quiet",
    "ignored": "quiet",
    "queued": "quiet",
    "received": "quiet",
    "running": "open",
    "completed": "good",
    "done": "good",
    "failed": "bad",
    "cancelled": "quiet",
    "assigned": "open",
    "blind-voted": "open",
    "revealed": "open",
    "released": "quiet",
    "approved": "good",
    "valid": "good",
    "not-approved": "warn",
    "cannot-be-approved": "bad",
    "withdrawn": "warn",
    "proven": "good",
    "unproven": "warn",
    "met": "good",
    "not-met": "bad",
    "too-few": "warn",
    "no-threshold": "quiet",
    "independent": "good",
    "not-independent": "bad",
    "not-stated": "warn",
    "confirmed": "bad",
    "dismissed": "good",
    "ran": "good",
    "not-applicable": "quiet",
    "impossible": "bad",
    "doubtful": "warn",
    "note": "quiet",
}


@register.simple_tag
def state(value: str, text: str = "") -> SafeString:
    """Return a state as a badge; colour is never the only sign."""
    return format_html('<span class="badge {}">{}</span>', TONES.get(value, "quiet"), text or words(value))


@register.simple_tag
def share(part: int, whole: int) -> str:
    """Return a share with two decimals, a dash where there is no whole."""
    return f"{part / whole:.2f}" if whole else "–"


@register.simple_tag
def marks(said: Sequence[str]) -> SafeString:
    """Return what a model behind something was worth, each mark as a badge in plain words."""
    return format_html_join(" ", '<span class="badge warn model-mark">{}</span>', ((one,) for one in said))


@register.filter
def words(value: object) -> str:
    """Return a code such as ``missing_nodule`` in words; a project's rule keeps the name that the project gave it."""
    text = str(value)
    if text.startswith("rule:"):
        return f"rule {text.removeprefix('rule:')}"
    if text == "qa_lead":
        return "QA lead"
    return text.replace("_", " ").replace("-", " ")


RECORD_FIELDS = {
    "id": "Its identity",
    "document_sha256": "Document (PDF), SHA-256",
    "facts_sha256": "Figures, SHA-256",
    "manifest_sha256": "Manifest, SHA-256",
    "dataset_manifest_sha256": "Manifest of the dataset, SHA-256",
    "ledger_size": "Sealed events it rests on",
    "ledger_head": "Ledger's root over them",
    "made_by": "Account that made it",
    "made_by_name": "Made by",
}


@register.filter
def record_field(name: str) -> str:
    """Return what a field of a signed record's content is called on pages."""
    return RECORD_FIELDS.get(name, words(name).capitalize())


@register.simple_tag
def who(user: User) -> SafeString:
    """Return a person's name; a simulated actor's carries the word."""
    return named(user.display_name, user.is_simulated)


@register.simple_tag
def named(name: str, simulated: bool) -> SafeString:
    """Return a name from the record, with the mark of a simulated actor where it was one."""
    if simulated:
        return format_html('{} <span class="badge simulated">{}</span>', name, "simulated")
    return format_html("{}", name)


@register.filter
def percent(value: float) -> str:
    """Return a probability; it is never rounded to certainty."""
    if 0 < value < 0.01:
        return "< 1 %"
    if 0.99 < value < 1:
        return "> 99 %"
    return f"{value * 100:.0f} %"


@register.filter
def millimetres(place: tuple[float, float, float]) -> str:
    """Return a place in LPS millimetres."""
    return ", ".join(f"{value:.1f}".replace("-", "−") for value in place)


@register.filter
def moment(value: datetime | str) -> SafeString:
    """Return a time in UTC, to the second, with its zone."""
    when = datetime.fromisoformat(value) if isinstance(value, str) else value
    return format_html('<time datetime="{}">{} UTC</time>', when.isoformat(), when.strftime("%Y-%m-%d %H:%M:%S"))


@register.filter
def short(value: object, characters: int = 12) -> SafeString:
    """Return the beginning of a digest or UID, with the whole as its title."""
    text = str(value)
    if len(text) <= characters:
        return format_html("<code>{}</code>", text)
    return format_html('<code title="{}">{}…</code>', text, text[:characters])


@register.filter
def counted(numbers: Mapping[str, int]) -> str:
    """Return counts by code in words, those that are zero left out."""
    return ", ".join(f"{number} {words(code)}" for code, number in numbers.items() if number) or "nothing yet"


@register.filter
def plain(value: object) -> str:
    """Return a value of evidence as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list):
        return ", ".join(plain(part) for part in value) or "none"
    if isinstance(value, Mapping):
        return "; ".join(f"{words(key)}: {plain(part)}" for key, part in value.items())
    return "none" if value is None else str(value)


@register.filter
def tail(value: object, characters: int = 8) -> SafeString:
    """Return the end of a UID, in which those of one maker differ, with the whole as its title."""
    text = str(value)
    if len(text) <= characters:
        return format_html("<code>{}</code>", text)
    return format_html('<code title="{}">…{}</code>', text, text[-characters:])


@register.filter
def rule_value(value: object) -> str:
    """Return a value that a rule read, "not known" where there was none."""
    return "not known" if value is None else plain(value)
