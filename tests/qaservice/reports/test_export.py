from qaservice.reports.services import *
from pathlib import Path


def test_x(simulated):
    r = export_report(project=simulated.site.project, actor=simulated.lead, reason="end of round")
    Path("/tmp/x.pdf").write_bytes(read_blob(r.document_id))
    Path("/tmp/x.json").write_bytes(read_blob(r.facts_id))
    export_kit(report=r, path=Path("/tmp/x.zip"), actor=simulated.lead, reason="asked")
