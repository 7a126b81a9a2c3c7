"""Addresses of version 1 of the API."""

from django.urls import path
from drf_spectacular.views import SpectacularJSONAPIView

from qaservice.api import (
    analysis_views,
    export_views,
    project_views,
    push_views,
    quarantine_views,
    record_views,
    review_views,
    study_views,
)

app_name = "api"
urlpatterns = [
    path("schema/", SpectacularJSONAPIView.as_view(), name="schema"),
    path("me/", project_views.MeView.as_view(), name="me"),
    path("projects/", project_views.ProjectsView.as_view(), name="projects"),
    path("projects/<slug:key>/", project_views.ProjectView.as_view(), name="project"),
    path("projects/<slug:key>/policies/", project_views.PoliciesView.as_view(), name="policies"),
    path("projects/<slug:key>/label-terms/apply/", project_views.LabelTermsView.as_view(), name="label-terms"),
    path("projects/<slug:key>/progress/", project_views.ProgressView.as_view(), name="progress"),
    path("projects/<slug:key>/ingests/", study_views.IngestsView.as_view(), name="ingests"),
    path("ingests/<uuid:ingest_id>/", study_views.IngestView.as_view(), name="ingest"),
    path("projects/<slug:key>/deliveries/", push_views.DeliveriesView.as_view(), name="deliveries"),
    path("projects/<slug:key>/instances/", push_views.InstancesView.as_view(), name="instances"),
    path("ingests/<uuid:ingest_id>/close/", push_views.CloseDeliveryView.as_view(), name="ingest-close"),
    path("ingests/<uuid:ingest_id>/items/", study_views.IngestItemsView.as_view(), name="ingest-items"),
    path("projects/<slug:key>/quarantine/", quarantine_views.QuarantineView.as_view(), name="quarantine"),
    path(
        "projects/<slug:key>/quarantine/retry/",
        quarantine_views.QuarantineRetryView.as_view(),
        name="quarantine-retry",
    ),
    path("projects/<slug:key>/series/", study_views.ProjectSeriesView.as_view(), name="project-series"),
    path("series/<uuid:series_id>/", study_views.SeriesView.as_view(), name="series"),
    path("series/<uuid:series_id>/slices/<int:index>/", study_views.SliceView.as_view(), name="slice"),
    path("series/<uuid:series_id>/overlays/", study_views.SeriesOverlaysView.as_view(), name="series-overlays"),
    path(
        "series/<uuid:series_id>/annotation-sets/",
        study_views.AnnotationSetsView.as_view(),
        name="series-annotation-sets",
    ),
    path("series/<uuid:series_id>/reference/", study_views.SeriesReferenceView.as_view(), name="series-reference"),
    path("projects/<slug:key>/runs/", analysis_views.RunsView.as_view(), name="runs"),
    path("runs/<uuid:run_id>/", analysis_views.RunView.as_view(), name="run"),
    path("runs/<uuid:run_id>/cancel/", analysis_views.CancelRunView.as_view(), name="run-cancel"),
    path("projects/<slug:key>/flags/", analysis_views.FlagsView.as_view(), name="flags"),
    path("projects/<slug:key>/flag-counts/", analysis_views.FlagCountsView.as_view(), name="flag-counts"),
    path("flags/<uuid:flag_id>/", analysis_views.FlagView.as_view(), name="flag"),
    path("projects/<slug:key>/assignments/", review_views.AssignmentsView.as_view(), name="assignments"),
    path("projects/<slug:key>/worklist/", review_views.WorklistView.as_view(), name="worklist"),
    path("assignments/<uuid:assignment_id>/", review_views.CaseView.as_view(), name="case"),
    path("assignments/<uuid:assignment_id>/overlays/", review_views.OverlaysView.as_view(), name="overlays"),
    path("assignments/<uuid:assignment_id>/verdicts/", review_views.VerdictsView.as_view(), name="verdicts"),
    path("assignments/<uuid:assignment_id>/reveal/", review_views.RevealView.as_view(), name="reveal"),
    path("projects/<slug:key>/dataset-versions/", record_views.DatasetVersionsView.as_view(), name="dataset-versions"),
    path("projects/<slug:key>/label-exports/", export_views.LabelExportsView.as_view(), name="label-exports"),
    path("projects/<slug:key>/events/", record_views.EventsView.as_view(), name="events"),
    path("projects/<slug:key>/reports/", record_views.ReportsView.as_view(), name="reports"),
    path("reports/<uuid:report_id>/", record_views.ReportView.as_view(), name="report"),
    path("reports/<uuid:report_id>/document/", record_views.ReportDocumentView.as_view(), name="report-document"),
    path("reports/<uuid:report_id>/kit/", record_views.ReportKitView.as_view(), name="report-kit"),
    path("ledger/verify/", record_views.LedgerVerificationView.as_view(), name="ledger-verify"),
]
