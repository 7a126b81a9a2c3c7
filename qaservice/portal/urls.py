"""Addresses of the portal. None carries personal data."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from qaservice.portal.views import fitness, flags, home, models, projects, quarantine, reading, record, studies

app_name = "portal"
urlpatterns = [
    path("", home.home, name="home"),
    path("login/", home.Login.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("account/", home.account, name="account"),
    path("projects/", home.open_project, name="open-project"),
    path("projects/<slug:key>/", projects.overview, name="overview"),
    path("projects/<slug:key>/analyse/", projects.analyse, name="analyse"),
    path("projects/<slug:key>/assign/", projects.assign, name="assign"),
    path("projects/<slug:key>/people/", projects.people, name="people"),
    path("projects/<slug:key>/people/grant/", projects.grant_role, name="grant"),
    path("projects/<slug:key>/people/identify/", projects.identify, name="identify"),
    path("projects/<slug:key>/people/<uuid:membership_id>/withdraw/", projects.withdraw_role, name="withdraw"),
    path("projects/<slug:key>/deliveries/", studies.upload, name="upload"),
    path("projects/<slug:key>/deliveries/<uuid:ingest_id>/", studies.delivery, name="delivery"),
    path("projects/<slug:key>/quarantine/", quarantine.quarantine, name="quarantine"),
    path("projects/<slug:key>/quarantine/retry/", quarantine.try_again, name="try-again"),
    path("projects/<slug:key>/series/", studies.series_list, name="series-list"),
    path("projects/<slug:key>/series/<uuid:series_id>/", studies.series, name="series"),
    path("projects/<slug:key>/flags/", flags.flag_list, name="flags"),
    path("projects/<slug:key>/flags/<uuid:flag_id>/", flags.flag_page, name="flag"),
    path("projects/<slug:key>/fitness/", fitness.fitness, name="fitness"),
    path("projects/<slug:key>/fitness/evaluate/", fitness.evaluate, name="evaluate"),
    path("projects/<slug:key>/fitness/threshold/", fitness.set_threshold, name="set-threshold"),
    path("projects/<slug:key>/fitness/release/", fitness.release, name="release"),
    path("projects/<slug:key>/fitness/<uuid:evaluation_id>/<slug:name>.svg", fitness.plot, name="plot"),
    path("projects/<slug:key>/golden/<uuid:set_id>/add/", fitness.add_case, name="add-case"),
    path("projects/<slug:key>/golden/<uuid:case_id>/withdraw/", fitness.withdraw_case, name="withdraw-case"),
    path("projects/<slug:key>/models/", models.model_list, name="models"),
    path("projects/<slug:key>/models/<uuid:model_id>/", models.model_page, name="model"),
    path("projects/<slug:key>/models/<uuid:model_id>/approve/", models.approve, name="model-approve"),
    path("projects/<slug:key>/models/<uuid:model_id>/withdraw/", models.withdraw, name="model-withdraw"),
    path("projects/<slug:key>/worklist/", reading.reading_list, name="worklist"),
    path("projects/<slug:key>/worklist/batch/", reading.start_batch, name="batch"),
    path("projects/<slug:key>/cases/<uuid:assignment_id>/", reading.case, name="case"),
    path("projects/<slug:key>/cases/<uuid:assignment_id>/next/", reading.next_case, name="next-case"),
    path("projects/<slug:key>/trail/", record.trail, name="trail"),
    path("projects/<slug:key>/reports/", record.reports, name="reports"),
    path("projects/<slug:key>/reports/make/", record.make_report, name="make-report"),
    path("projects/<slug:key>/verify/", record.verify, name="verify"),
]
