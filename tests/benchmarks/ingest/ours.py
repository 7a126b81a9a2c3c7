"""One ingest by this service, in a process of its own: ``python -m tests.benchmarks.ingest.ours MODE FOLDER``.

MODE ``directory`` takes the folder's files in as a delivery, on the database that the environment names; ``floor``
reads, hashes, parses and syncs them and does nothing else. Prints one JSON object with the seconds that it took. The
start of processes, this one's and its parsers', is not in them.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main(mode: str, folder: Path) -> None:
    """Measure one mode."""
    import django

    django.setup()
    from imaging.readers.limits import CT_READ_LIMITS
    from qaservice.jobs.registry import all_housekeeping
    from qaservice.studies.examining import Stored, reexamine
    from qaservice.studies.parsers import CHILDREN, PARSER_LIMITS, parsers

    all_housekeeping()  # imports what a worker has imported before its first job
    with parsers(PARSER_LIMITS, children=CHILDREN) as sandbox:
        # A worker's parsers are there before the delivery comes.
        for answer in sandbox.map(reexamine, [Stored((), CT_READ_LIMITS)] * CHILDREN):
            answer.result()
    seconds, instances = _directory(folder) if mode == "directory" else _floor(folder)
    print(json.dumps({"seconds": seconds, "instances": instances}))


def _directory(folder: Path) -> tuple[float, int]:
    from django.core.management import call_command

    from compliance.recording import SYSTEM
    from qaservice.jobs.runner import drain
    from qaservice.projects.services import create_project
    from qaservice.studies.models import Instance, SeriesState
    from qaservice.studies.selectors import series_of
    from qaservice.studies.services import announce_ingest

    call_command("migrate", verbosity=0)
    project = create_project(key="bench", title="Benchmark", actor=SYSTEM, reason="benchmark")
    began = time.perf_counter()
    ingest = announce_ingest(
        project=project, source_path=folder, source_name="benchmark", actor=SYSTEM, reason="benchmark"
    )
    drain(project_key=project.key, on_progress=lambda progress: None)
    seconds = time.perf_counter() - began
    ingest.refresh_from_db()
    if ingest.state != "completed" or {row.state for row in series_of(project)} != {SeriesState.ACCEPTED}:
        raise SystemExit(f"the delivery is {ingest.state}: {ingest.summary}")
    return seconds, Instance.objects.count()


def _floor(folder: Path) -> tuple[float, int]:
    from qaservice.projects.models import Project
    from qaservice.storage.services import BlobWriter
    from qaservice.studies.ingest import terms_of
    from qaservice.studies.reading import judge_files
    from qaservice.studies.sources import DELIVERY_LIMITS, open_source

    began = time.perf_counter()
    with open_source(folder, DELIVERY_LIMITS) as entries, BlobWriter() as writer:
        terms = terms_of(Project(key="bench"), folder=writer.folder)
        judged = list(judge_files(entries=entries, terms=terms, writer=writer))
    seconds = time.perf_counter() - began
    return seconds, sum(file.outcome == "stored" for file in judged)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
