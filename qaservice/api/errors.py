"""Errors as problem details (RFC 9457): what is wrong, a stable code, and nothing personal."""

from __future__ import annotations

from typing import Any

from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.response import Response
from rest_framework.views import exception_handler

from compliance.recording import BlankReason
from qaservice.common.errors import Conflict, Gone, InvalidInput, NotFound, NotPermitted, ServiceError, Unavailable

STATUS_OF: dict[type[ServiceError], int] = {
    InvalidInput: status.HTTP_400_BAD_REQUEST,
    NotPermitted: status.HTTP_403_FORBIDDEN,
    NotFound: status.HTTP_404_NOT_FOUND,
    Conflict: status.HTTP_409_CONFLICT,
    Gone: status.HTTP_410_GONE,
    Unavailable: status.HTTP_503_SERVICE_UNAVAILABLE,
}
CONTENT_TYPE = "application/problem+json"


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the response for ``error``, or None for one that nobody foresaw (a plain 500 without its text)."""
    if isinstance(error, ServiceError):
        code = next((STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF), 400)
        return _problem(code, error.code, error.message, dict(error.details))
    if isinstance(error, BlankReason):
        return _problem(400, "reason-missing", "give a reason for this change", {})
    response = exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, APIException):
        fields = response.data if isinstance(response.data, dict) and "detail" not in response.data else {}
        sentence = _sentence(response.data)
        made = _problem(response.status_code, str(error.default_code).replace("_", "-"), sentence, dict(fields))
        for name, value in response.items():
            if name.lower() in {"www-authenticate", "retry-after"}:
                made[name] = value
        return made
    return _problem(response.status_code, "error", _sentence(response.data), {})


def _problem(code: int, name: str, sentence: str, details: dict[str, Any]) -> Response:
    body = {"type": "about:blank", "status": code, "code": name, "detail": sentence, "details": details}
    return Response(body, status=code, content_type=CONTENT_TYPE)


def _sentence(data: Any) -> str:
    if isinstance(data, dict):
        if "detail" in data:
            return str(data["detail"])
        return "; ".join(f"{field}: {_sentence(value)}" for field, value in data.items())
    if isinstance(data, list):
        return " ".join(_sentence(one) for one in data)
    return str(data)
