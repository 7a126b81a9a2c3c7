"""The service's addresses: the API under /api/v1/, the portal everywhere else."""

from django.urls import include, path

urlpatterns = [
    path("api/v1/", include("qaservice.api.urls")),
    path("", include("qaservice.portal.urls")),
]
