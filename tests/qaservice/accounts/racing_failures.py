"""Eight failures of one account at the same moment; prints what came of it as JSON. Run by test_races.py."""

from __future__ import annotations

import json
import threading

import django

django.setup()

from django.db import connection  # noqa: E402  # settings have to stand first

from compliance.models import Event  # noqa: E402
from qaservice.accounts.alerts import open_alerts  # noqa: E402
from qaservice.accounts.attempts import AttemptKind, login_failed  # noqa: E402
from qaservice.accounts.models import AttemptCounter  # noqa: E402
from tests.factories.records import make_user  # noqa: E402

TOGETHER = 8


def main() -> None:
    user = make_user("kim")
    barrier = threading.Barrier(TOGETHER)
    faults: list[str] = []

    def fail() -> None:
        try:
            barrier.wait()
            login_failed(username="kim", known_user=user, address="192.0.2.7")
        except Exception as error:  # whatever it was, the test shows it
            faults.append(repr(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=fail) for _ in range(TOGETHER)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = {
        "faults": faults,
        "recorded": Event.objects.filter(kind="account.login-failed").count(),
        "locked": Event.objects.filter(kind="account.locked").count(),
        "alerts": open_alerts().count(),
        "counted": AttemptCounter.objects.get(user=user, kind=AttemptKind.LOGIN).failures,
        "from_the_address": AttemptCounter.objects.get(user=None).failures,
    }
    print(json.dumps(told))


main()
