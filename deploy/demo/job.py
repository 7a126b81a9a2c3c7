"""The steps of the demo, in the order of a QA lead's day. Imported once the environment is set."""

from __future__ import annotations

import random
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import django
from tqdm import tqdm

django.setup()

from django.core.management import CommandError, call_command  # noqa: E402  # Django has to be set up first

from deploy.demo import cohort, summary  # noqa: E402
from deploy.demo.client import Client, Refused  # noqa: E402
from deploy.demo.house import Demo, DemoError  # noqa: E402
from deploy.demo.people import PROJECT_KEY, REASON, Staff, hire  # noqa: E402
from deploy.demo.processes import Processes  # noqa: E402
from deploy.demo.readers import SimulatedReader  # noqa: E402
from qaservice.analysis.models import Flag  # noqa: E402
from qaservice.common.errors import ServiceError  # noqa: E402
from qaservice.labels.models import AnnotationSet  # noqa: E402
from qaservice.review.services import assign  # noqa: E402
from qaservice.studies.models import Series, SeriesState  # noqa: E402

SEED = 20260701
# The simulated readers vote on these flags; the rest waits for the person.
SIMULATED_SHARE = 0.6
REPORT_SECONDS = 600


class Job:
    """One run of the main job over one set of studies."""

    def __init__(self, *, demo: Demo, processes: Processes, studies: Path | None, annotations: Path | None) -> None:
        self._demo = demo
        self._processes = processes
        self._studies = studies
        self._annotations = annotations
        self._truth: cohort.Truth | None = None
        self._staff: Staff

    def run(self) -> None:
        """Do everything up to the exported kit."""
        try:
            self._prepare()
            self._ingest()
            self._analyse()
            self._vote()
            self._export()
        except CommandError as error:
            raise DemoError(str(error)) from error
        except ServiceError as error:
            raise DemoError(error.message) from error
        except Refused as error:
            raise DemoError(f"the service refused a step: {error}") from error

    def finish(self, *, wall_seconds: float, peak_memory_mb: int) -> None:
        """Write summary.json and say where everything is."""
        facts = summary.figures(project=self._staff.project, wall_seconds=wall_seconds, peak_memory_mb=peak_memory_mb)
        summary.write(self._demo.home / "summary.json", facts)
        for complaint in self._processes.complaints():
            print(f"Note: {complaint}")
        print(f"\nDone in {wall_seconds:.0f} s, at most {peak_memory_mb} MB of memory. Written:")
        for name in ("report.pdf", "evidence-kit.zip", "summary.json"):
            print(f"  {self._demo.home / name}")
        print(
            f"  verify the kit anywhere: python3 -m zipfile -e {self._demo.home}/evidence-kit.zip kit && "
            f"python3 kit/verify.py {self._demo.home}/evidence-kit.zip"
        )

    def invite(self) -> None:
        """Say where the portal is and how to log in."""
        print(f"\nThe portal is open at {self._demo.address}  (this machine only; Ctrl-C ends it)")
        for login in self._staff.logins:
            print(f"  {login.username:<12} {login.password}   {login.title}")
        print("The clinicians have open cases; the QA lead sees the flags, the report and the trail.", flush=True)

    def _prepare(self) -> None:
        _say("Preparing the database and the accounts")
        call_command("migrate", verbosity=0)
        own = self._studies is not None
        self._staff = hire(title="Demonstration on your studies" if own else "Demonstration on synthetic scans")
        self._processes.start_workers()
        self._processes.start_portal()

    def _ingest(self) -> None:
        studies, annotations = self._studies, self._annotations
        if studies is None:
            _say("Making synthetic chest CTs with known label errors")
            self._truth = cohort.make(self._demo.home / "cohort", seed=SEED)
            studies, annotations = self._truth.studies, self._truth.annotations
        _say("Reading the studies and their labels")
        simulated = self._truth is not None
        for path in (studies, annotations):
            if path is not None:
                call_command("ingest", path, project=PROJECT_KEY, workers_only=True, simulated_labels=simulated)

    def _analyse(self) -> None:
        project = self._staff.project
        if not Series.objects.filter(project=project).exclude(state=SeriesState.REFUSED).exists():
            raise DemoError("no CT series could be used; the lines above say why, file by file.")
        if not AnnotationSet.objects.filter(project=project).exists():
            raise DemoError("there are no labels to check. Remedy: give them with ANNOTATIONS=<file or folder>.")
        _say("Looking for label errors")
        call_command("analyze", project=PROJECT_KEY, workers_only=True)

    def _vote(self) -> None:
        lead = Client(address=self._demo.address, token=self._staff.lead_token)
        # In an order that does not depend on which worker was quicker, so that the same seed votes on the same flags.
        order = ("series__series_instance_uid", "annotation_set__reader_label", "check_name", "x_mm", "y_mm", "z_mm")
        flags = list(Flag.objects.filter(project=self._staff.project).order_by(*order))
        if not flags:
            print("  No flag was raised: there is nothing to vote on.")
            return
        _say("Simulated readers vote on part of the flags, through the REST API")
        chosen = random.Random(SEED).sample(flags, k=max(1, round(SIMULATED_SHARE * len(flags))))
        actor = self._staff.lead.as_actor(role="QA lead")
        for flag in sorted(chosen, key=lambda one: one.number):
            for voter in self._staff.voters:
                assign(flag=flag, reader=voter.user, actor=actor, reason=REASON)
        if lead.get(f"projects/{PROJECT_KEY}/model-fitness/")["held_flags"]:
            # The demo has no golden set, so its model is unproven and everything that shows its flags says so.
            lead.post(f"projects/{PROJECT_KEY}/flag-releases/", {"reason": f"{REASON}: no golden set is kept here"})
        names = [clinician.username for clinician in self._staff.clinicians]
        lead.post(f"projects/{PROJECT_KEY}/assignments/", {"readers": names, "reason": REASON})
        waiting = []
        for voter in self._staff.voters:
            client = Client(address=self._demo.address, token=voter.token)
            reader = SimulatedReader(
                name=voter.user.username, client=client, seed=SEED, truth=self._truth.nodules if self._truth else None
            )
            cases = client.every(f"projects/{PROJECT_KEY}/worklist/?state=waiting")
            waiting += [(str(case["flag"]), reader, str(case["id"])) for case in cases]
        # Flag by flag, as if three people sat side by side: the third is spared where two agree.
        given = 0
        for _, reader, assignment in tqdm(sorted(waiting, key=lambda one: one[0]), desc="votes", unit="case"):
            given += reader.read(assignment)
        print(f"  {given} verdicts on {len(chosen)} of {len(flags)} flags; the rest is for the clinicians.")

    def _export(self) -> None:
        _say("Making the validation report and the evidence kit")
        lead = Client(address=self._demo.address, token=self._staff.lead_token)
        lead.post(f"projects/{PROJECT_KEY}/reports/", {"reason": REASON})
        report = self._await_report(lead)
        lead.download(f"reports/{report}/document/", self._demo.home / "report.pdf")
        kit = self._demo.home / "evidence-kit.zip"
        lead.download(f"reports/{report}/kit/", kit)
        verifier = self._demo.home / "verify.py"
        with zipfile.ZipFile(kit) as archive:
            verifier.write_bytes(archive.read("verify.py"))
        # -I: nothing of this installation may help the verifier.
        done = subprocess.run(
            [sys.executable, "-I", str(verifier), str(kit)], capture_output=True, text=True, check=False
        )
        print("\n".join(f"  {line}" for line in done.stdout.strip().splitlines()))
        verifier.unlink()
        if done.returncode:
            raise DemoError(f"the evidence kit does not verify: {done.stderr.strip() or done.stdout.strip()}")

    def _await_report(self, lead: Client) -> str:
        give_up = time.monotonic() + REPORT_SECONDS
        while time.monotonic() < give_up:
            reports = lead.get(f"projects/{PROJECT_KEY}/reports/")
            if reports:
                return str(reports[0]["id"])
            failed = lead.get(f"projects/{PROJECT_KEY}/progress/")["failed_jobs"]
            if failed:
                raise DemoError(f"the report failed: {failed[-1]}; see {self._demo.logs}")
            time.sleep(0.5)
        raise DemoError(f"the report took more than {REPORT_SECONDS} s; see {self._demo.logs}")


def _say(words: str) -> None:
    print(f"\n{words} ...", flush=True)
