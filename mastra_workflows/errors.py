"""The errors of the client, in one class tree.

Each message says what failed, for which run, whether that run continues, and what to do next. No
error carries a token or a header, because error texts end up in logs, mails and web pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mastra_workflows._text import safe_text

if TYPE_CHECKING:
    from mastra_workflows._models import Suspension, WorkflowRun
    from mastra_workflows.hitl._pending_requests import PendingRequest


_MAX_MESSAGE = 4_000
"""The maximum length of an error message, in characters. Longer messages are cut."""


class MastraError(Exception):
    """The base class of every error that this package raises on purpose.

    The text is one line that is safe to log, even if it quotes remote text. Secrets of the clients
    of this process are masked. Every error can be pickled.
    """

    def __str__(self) -> str:
        return safe_text(super().__str__(), _MAX_MESSAGE)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # The default would call the class with the message alone, but many take more arguments.
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(kind: type[MastraError], args: tuple[Any, ...], state: dict[str, Any]) -> MastraError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class ConfigurationError(MastraError, ValueError):
    """A setting or argument is invalid; nothing was sent."""


# -- connection and API -------------------------------------------------------------------------


class ConnectionFailedError(MastraError):
    """No complete response arrived: the connection was refused, reset, cut or timed out.

    Attributes:
        request_sent: whether the server may have received the request, and executed it.
        transient: whether a retry can help. A refused connection may recover; an unknown host name
            or an untrusted certificate does not recover within the time of a retry.
        refused: whether the connection was refused: nothing listens at the address.
    """

    def __init__(
        self, message: str, *, request_sent: bool, transient: bool = True, refused: bool = False
    ) -> None:
        super().__init__(message)
        self.request_sent = request_sent
        self.transient = transient
        self.refused = refused


class ServerLostError(MastraError):
    """The server was unavailable for longer than a wait allows; the run may still be running."""


class ResponseLostError(ServerLostError):
    """The server became unavailable before it confirmed that a step was resumed."""


class BodyTooLargeError(MastraError):
    """A request or response exceeds ``max_body_bytes``, or the server's own limit (413)."""


class NotMastraError(MastraError):
    """The response is not Mastra's: HTML, incomplete JSON, or a redirect."""


class ForeignRunError(NotMastraError):
    """The response is the record of another run than the requested one."""


class ApiError(MastraError):
    """The server responded with an HTTP error.

    Attributes:
        status_code: the HTTP status.
        server_message: the server's message, shortened.
        retry_after: seconds to wait before a retry, if the server sent ``Retry-After``.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        server_message: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.server_message = server_message
        self.retry_after = retry_after


class AuthenticationError(ApiError):
    """The token is missing, wrong or lacks permission (401 or 403)."""


class UnavailableError(ApiError):
    """The server, or a gateway before it, is temporarily unavailable (429, 502, 503 or 504)."""


class UnknownWorkflowError(ApiError):
    """The server has no workflow with this key; the message names existing ones."""


class UnknownRunError(ApiError):
    """The server has no run with this id in this workflow."""


class UnsupportedError(MastraError):
    """The server's version does not support the operation; nothing was changed."""


# -- data ---------------------------------------------------------------------------------------


class InvalidDataError(MastraError, ValueError):
    """The data cannot be serialised as JSON, or does not match the workflow's JSON Schema.

    Attributes:
        validation_errors: one line for each mismatch with the schema, beginning with the path:
            ``$.city: required``; empty if the data cannot be serialised.
    """

    def __init__(self, message: str, *, validation_errors: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.validation_errors = tuple(validation_errors)


class InvalidInputError(InvalidDataError):
    """The input data does not match the workflow's input schema; nothing was executed."""


class InvalidResumeDataError(InvalidDataError):
    """The resume data does not match the step's resume schema; the step is still suspended."""


class ResumeSchemaChangedError(InvalidResumeDataError):
    """The step's resume schema has changed since the suspension, as after a deploy.

    The resume data does not match the new schema.

    Attributes:
        pending_request: the pending request with the current schema; collect the response again
            with its form.
    """

    def __init__(
        self, message: str, *, validation_errors: Sequence[str], pending_request: PendingRequest
    ) -> None:
        super().__init__(message, validation_errors=validation_errors)
        self.pending_request = pending_request


# -- runs ---------------------------------------------------------------------------------------


class RunError(MastraError):
    """The base class of errors about one run; ``run`` is its record as last read."""

    def __init__(self, message: str, run: WorkflowRun) -> None:
        super().__init__(message)
        self.run = run


class RunNotStartedError(MastraError):
    """The server did not execute the run: it refused it, or left it ``pending``."""


class RunNotStoredError(MastraError):
    """The run was executed, but the server stores no record of it, so its result is unknown.

    The workflow sets ``shouldPersistSnapshot: () => false``, or the server has no storage. Starting
    the run again would execute it again.
    """


class RunAlreadyStartedError(RunError):
    """The run was started before; starting it again would execute it a second time."""


class RunMismatchError(RunError):
    """The run with this id belongs to other work: its input differs, or it began too early."""


class RunFailedError(RunError):
    """The run finished as ``failed``, or with another status that is not a success."""


class RunCanceledError(RunError):
    """The run was cancelled for good: no retry starts another run in its place."""


class RunSuspendedError(RunError):
    """The run is suspended, with ``on_suspend="fail"``; it can be resumed."""

    @property
    def suspensions(self) -> tuple[Suspension, ...]:
        """The suspended steps of the run."""
        return self.run.suspensions


class WaitTimeoutError(RunError):
    """The wait timed out; the run continues."""


class RunStalledError(RunError):
    """The run has made no progress for too long; its server most likely lost it by restarting."""


class NotSuspendedError(RunError):
    """The step to resume is not suspended, or it is ambiguous which step is meant."""


class ResumeRefusedError(RunError):
    """The server did not accept the resume; ``run`` shows the state of the run."""


class UnknownStepError(RunError):
    """The workflow has no such step, or a deploy has removed or renamed it."""


class NotActiveError(RunError):
    """The status of the run does not allow the call, which needs an active or an inactive run."""


FINAL: tuple[type[MastraError], ...] = (
    AuthenticationError,
    BodyTooLargeError,
    ConfigurationError,
    InvalidDataError,
    RunCanceledError,
    RunMismatchError,
    RunNotStoredError,
    RunSuspendedError,
    # A server without storage forgets a finished run: a retry would start it again.
    UnknownRunError,
    UnknownStepError,
    UnknownWorkflowError,
    UnsupportedError,
)
"""Errors that a retry of the same call cannot resolve."""
