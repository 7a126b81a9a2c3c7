"""Two readers give the deciding votes at the same moment; prints what came of it as JSON. Run by test_races.py."""

from __future__ import annotations

import json
import threading

import django

django.setup()

from django.db import connection  # noqa: E402  # settings have to stand first

from qaservice.analysis.models import Flag  # noqa: E402
from qaservice.common.errors import ServiceError  # noqa: E402
from qaservice.review.models import Assignment, Consensus, Correction, Verdict  # noqa: E402
from qaservice.review.services import give_verdict, reveal  # noqa: E402
from tests.factories.records import assign_first_three, make_flag, make_site  # noqa: E402

ROUNDS = 6


def fresh(assignment: Assignment) -> Assignment:
    return Assignment.objects.select_related("flag__series__study", "project", "reader").get(pk=assignment.pk)


def prepare(assignment: Assignment) -> None:
    give_verdict(assignment=fresh(assignment), user=assignment.reader, decision="label-wrong", rationale="first look")
    reveal(assignment=fresh(assignment), user=assignment.reader)


def finish(assignment: Assignment, barrier: threading.Barrier, answers: list[str]) -> None:
    try:
        mine = fresh(assignment)
        barrier.wait()
        give_verdict(assignment=mine, user=mine.reader, decision="label-wrong", rationale="sure now", proposal_id="p1")
        answers.append("stored")
    except ServiceError as error:
        answers.append(error.code)
    finally:
        connection.close()


def main() -> None:
    site = make_site(flags=0)
    answers: list[str] = []
    for number in range(1, ROUNDS + 1):
        flag = make_flag(site=site, number=number)
        assignments = assign_first_three(site, flag)
        for assignment in assignments:
            prepare(assignment)
        barrier = threading.Barrier(len(assignments) + 1)
        threads = [
            # The first reader sends the same final verdict twice, as an impatient double click does.
            threading.Thread(target=finish, args=(assignment, barrier, answers))
            for assignment in (assignments[0], *assignments)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print(
        json.dumps(
            {
                "answers": sorted(answers),
                "settled": Flag.objects.filter(state="settled").count(),
                "consensuses": Consensus.objects.count(),
                "corrections": Correction.objects.count(),
                "final_verdicts": Verdict.objects.filter(phase="final").count(),
            }
        )
    )


main()
