"""The demo's accounts: one QA lead, three clinicians for the person at the screen, three simulated readers."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from compliance.recording import Actor
from qaservice.accounts.models import User, UserKind
from qaservice.accounts.services import create_user, issue_token
from qaservice.projects.models import Project, Role
from qaservice.projects.services import create_project, grant

PROJECT_KEY = "demo"
INSTALLER = Actor(id="demo-installer", name="demo installer", role="installer")
REASON = "demonstration"


@dataclass(frozen=True)
class Login:
    """What a person types to log in. The password exists on this screen and, hashed, in the demo's database."""

    username: str
    password: str
    title: str


@dataclass(frozen=True)
class Voter:
    """A simulated reader with the token by which it votes through the REST API."""

    user: User
    token: str


@dataclass(frozen=True)
class Staff:
    """Everybody in the demo."""

    project: Project
    lead: User
    lead_token: str
    clinicians: tuple[User, ...]
    voters: tuple[Voter, ...]
    logins: tuple[Login, ...]


def hire(*, title: str) -> Staff:
    """Open the demo's project and accounts."""
    project = create_project(key=PROJECT_KEY, title=title, actor=INSTALLER, reason=REASON)
    logins = []

    def person(username: str, name: str, credentials: str, role: str) -> User:
        login = Login(username=username, password=_password(), title=f"{name}, {Role(role).label}")
        user = create_user(
            username=username,
            display_name=name,
            password=login.password,
            credentials=credentials,
            actor=INSTALLER,
            reason=REASON,
        )
        grant(project=project, user=user, role=role, actor=INSTALLER, reason=REASON)
        logins.append(login)
        return user

    lead = person("lead", "Quentin Lead", "QA lead (demo)", Role.QA_LEAD)
    clinicians = tuple(
        person(f"clinician{number}", name, "demo account, no qualification", Role.READER)
        for number, name in enumerate(("Ada One", "Ben Two", "Cleo Three"), start=1)
    )
    voters = tuple(_voter(project=project, number=number) for number in (1, 2, 3))
    return Staff(
        project=project,
        lead=lead,
        lead_token=issue_token(user=lead, label="demo", actor=INSTALLER, reason=REASON),
        clinicians=clinicians,
        voters=voters,
        logins=tuple(logins),
    )


def _voter(*, project: Project, number: int) -> Voter:
    user = create_user(
        username=f"simulated-reader-{number}",
        display_name=f"Simulated reader {number}",
        password=None,
        kind=UserKind.SIMULATED,
        credentials="none: a program",
        actor=INSTALLER,
        reason=REASON,
    )
    grant(project=project, user=user, role=Role.READER, actor=INSTALLER, reason=REASON)
    return Voter(user=user, token=issue_token(user=user, label="demo", actor=INSTALLER, reason=REASON))


def _password() -> str:
    return "-".join(secrets.token_hex(2) for _ in range(4))
