"""Errors as the reference shows them (section HTTP Status Codes), whatever raised them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

REALM: Final = 'Basic realm="flexml", charset="UTF-8"'
BEARER: Final = 'Bearer realm="flexml"'
INVALID: Final = "object validation error"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong; `field` is None where it is no field's, `sid` what stands in the way, if anything."""

    field: str | None
    message: str
    sid: str | None = None


class Problem(Exception):
    """A request that is answered with an error; without `faults` the message is the only one."""

    def __init__(
        self, status: int, message: str, faults: Sequence[Fault] = (), *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers
        self.faults = tuple(faults) or (Fault(None, message),)

    def response(self) -> JSONResponse:
        """What the client gets."""
        errors = [{"field": one.field, "message": one.message, "reference_sid": one.sid} for one in self.faults]
        content = {"message": self.message, "errors": errors}
        return JSONResponse(content, status_code=self.status, headers=dict(self.headers or {}))


def unauthenticated(challenge: str = REALM) -> Problem:
    """Nobody known asks; `challenge` says how one makes oneself known (RFC 9110 section 11.6.1)."""
    message = "authentication required"
    return Problem(401, message, [Fault("cause", message)], headers={"WWW-Authenticate": challenge})


def forbidden() -> Problem:
    """Who asks is known, and may not."""
    message = "permission denied"
    return Problem(403, message, [Fault("cause", message)])


def missing(noun: str) -> Problem:
    """There is no such object, or it is another account's: nobody can tell which."""
    return Problem(404, "no item error", [Fault(None, f"cannot find {noun}")])


def bad_query(parameter: str, message: str) -> Problem:
    """A query parameter that cannot be used."""
    return Problem(400, f"bad {parameter}", [Fault(parameter, message)])


def invalid(*faults: Fault) -> Problem:
    """A body whose fields are not what they should be."""
    return Problem(422, INVALID, faults)


def conflict(field: str | None, message: str, sid: str | None = None) -> Problem:
    """What is asked does not fit how the object is now, or another one, whose sid may be said."""
    return Problem(409, "conflict", [Fault(field, message, sid)])


# ---- as handlers of the application ----------------------------------------------------------------------------


def show_problem(_request: Request, error: Exception) -> JSONResponse:
    """A Problem, or whatever of Starlette's says a status."""
    if isinstance(error, Problem):
        return error.response()
    assert isinstance(error, HTTPException)
    return Problem(error.status_code, str(error.detail).lower(), headers=error.headers).response()


def show_validation(_request: Request, error: Exception) -> JSONResponse:
    """What FastAPI found wanting, field by field."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    return invalid(*(Fault(".".join(map(str, one["loc"][1:])) or None, one["msg"]) for one in found)).response()


def show_away(_request: Request, _error: Exception) -> JSONResponse:
    """The database does not answer, of which the log has the rest."""
    message = "the database does not answer"
    return Problem(503, message, [Fault("cause", message)], headers={"Retry-After": "10"}).response()


def show_unexpected(_request: Request, _error: Exception) -> JSONResponse:
    """An error of the engine's own, of which the log has the rest."""
    return Problem(500, "internal server error").response()
