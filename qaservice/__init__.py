"""The Django project: composes the analysis core and the record into a service."""
