"""One intent used by two requests at the same moment; prints what came of it as JSON. Run by test_races.py."""

from __future__ import annotations

import json
import threading
from unittest import mock

import django

django.setup()

from django.db import connection  # noqa: E402  # settings have to stand first

from qaservice.common import clock  # noqa: E402
from qaservice.common.errors import ServiceError  # noqa: E402
from qaservice.signatures.models import Signature, SigningIntent, UsedCode  # noqa: E402
from qaservice.signatures.services import prepare, sign  # noqa: E402
from qaservice.signatures.standing import judge  # noqa: E402
from tests.qaservice.signatures.signing_site import (  # noqa: E402
    OWN_PASSWORD,
    Clock,
    Signer,
    SigningSite,
    make_report,
    make_signing_site,
)

ROUNDS = 4
ATTEMPTS = 3


def attempt(signer: Signer, intent: SigningIntent, code: str, barrier: threading.Barrier, answers: list[str]) -> None:
    try:
        barrier.wait()
        sign(user=signer.user, session=signer.session, intent_id=intent.pk, password=OWN_PASSWORD, code=code)
        answers.append("signed")
    except ServiceError as error:
        answers.append(error.code)
    finally:
        connection.close()


def race(site: SigningSite, codes: list[str], answers: list[str]) -> None:
    """Put the site's report before its author, and sign it several times at once."""
    kind, key = site.subject
    author = site.author
    intent = prepare(user=author.user, session=author.session, subject_type=kind, subject_id=key, meaning="responsible")
    barrier = threading.Barrier(len(codes))
    threads = [threading.Thread(target=attempt, args=(author, intent, code, barrier, answers)) for code in codes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    time = Clock()
    with mock.patch.object(clock, "now", time.now):
        site = make_signing_site(time=time)
        with_code: list[str] = []
        race(site, [site.author.code()] * ATTEMPTS, with_code)
        steps = UsedCode.objects.count()
        by_password: list[str] = []
        # The session has shown its second factor: from here on the password alone decides, and nothing else queues.
        for number in range(2, ROUNDS + 2):
            site.report = make_report(site.site, number=number)
            race(site, [""] * ATTEMPTS, by_password)
        standings = sorted({judge(one).standing.value for one in Signature.objects.all()})
    print(
        json.dumps(
            {
                "with_code": sorted(with_code),
                "by_password": sorted(by_password),
                "signatures": Signature.objects.count(),
                "intents": SigningIntent.objects.count(),
                "used_codes": steps,
                "standings": standings,
            }
        )
    )


main()
