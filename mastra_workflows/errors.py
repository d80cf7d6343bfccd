"""One tree of errors.

Each says what happened, to which run, whether that run continues, and what to do next. None
carries a token or a header: the text of an error ends in logs, mails and web pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mastra_workflows._text import safe_text

if TYPE_CHECKING:
    from mastra_workflows._models import Suspension, WorkflowRun
    from mastra_workflows.hitl._questions import Question


MAX_MESSAGE = 4_000
"""How many characters of an error's message are shown."""


class MastraError(Exception):
    """The base of every error that this package raises on purpose; each can be pickled.

    Its text is one line that is safe to log, also with remote text in it. Secrets of this process's
    clients are masked.
    """

    def __str__(self) -> str:
        return safe_text(super().__str__(), MAX_MESSAGE)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # The default would build it anew from the message alone, and many take more than that.
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(kind: type[MastraError], args: tuple[Any, ...], state: dict[str, Any]) -> MastraError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class ConfigurationError(MastraError, ValueError):
    """A setting of ours cannot work; nothing was sent."""


# -- the way to the server ----------------------------------------------------------------------


class ConnectionFailedError(MastraError):
    """No whole answer came: refused, reset, timed out, or cut in the middle.

    Attributes:
        request_sent: whether the server may have seen (and obeyed) the request.
        transient: whether a retry can help. A refused connection may heal; an unknown host
            name or an untrusted certificate does not within the time a retry takes.
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
    """While waiting, the server was unavailable for longer than was allowed; the run may go on."""


class AnswerLostError(ServerLostError):
    """A step was resumed, and the server was unavailable before it showed whether that worked."""


class BodyTooLargeError(MastraError):
    """A request or an answer is over ``max_body_bytes``, or over what the server takes (413)."""


class NotMastraError(MastraError):
    """Something answered, but not as Mastra's API does: HTML, half a JSON document, a redirect."""


class ForeignRunError(NotMastraError):
    """The answer is the record of another run than the one that was asked for."""


class ApiError(MastraError):
    """The server answered with an HTTP error.

    Attributes:
        status_code: the HTTP status.
        server_message: what the server said, shortened.
        retry_after: seconds that the server asked us to wait, if it did.
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
    """401 or 403: the token is missing, wrong, or may not do this."""


class UnavailableError(ApiError):
    """429, 502, 503 or 504: the server, or a gateway before it, asks to come again later."""


class UnknownWorkflowError(ApiError):
    """The server has no workflow under this key. The message names those that it has."""


class UnknownRunError(ApiError):
    """The server has no run with this id in this workflow."""


class UnsupportedError(MastraError):
    """This server's generation cannot do what was asked; nothing was sent that would do it."""


# -- data ---------------------------------------------------------------------------------------


class InvalidDataError(MastraError, ValueError):
    """Data does not fit the workflow's own JSON Schema.

    Attributes:
        validation_errors: one line each, the place first: ``$.city: required``.
    """

    def __init__(self, message: str, *, validation_errors: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.validation_errors = tuple(validation_errors)


class InvalidInputError(InvalidDataError):
    """The input data is not what the workflow takes; nothing was executed."""


class InvalidResumeDataError(InvalidDataError):
    """The resume data is not what the step takes; the step is still suspended."""


class ResumeSchemaChangedError(InvalidResumeDataError):
    """The resume data fits the schema that the step asked with, but not the one that it has now.

    Attributes:
        question: what the step asks now; its form is the one to answer.
    """

    def __init__(
        self, message: str, *, validation_errors: Sequence[str], question: Question
    ) -> None:
        super().__init__(message, validation_errors=validation_errors)
        self.question = question


# -- runs ---------------------------------------------------------------------------------------


class RunError(MastraError):
    """Something about one run. ``run`` is its record as it was last read."""

    def __init__(self, message: str, run: WorkflowRun) -> None:
        super().__init__(message)
        self.run = run


class RunNotStartedError(MastraError):
    """The server did not execute the run: it refused it, or left it ``pending``."""


class RunNotStoredError(MastraError):
    """The run was executed, but the server keeps no record of it: its result cannot be known.

    The workflow has ``shouldPersistSnapshot: () => false``, or the server has no storage. Starting
    the run again would execute it again.
    """


class RunAlreadyStartedError(RunError):
    """The run was started before. Starting it again would execute it a second time."""


class RunMismatchError(RunError):
    """The run that has the id is not the run of this work: its input differs, or it is older."""


class RunFailedError(RunError):
    """The run ended as ``failed`` (or as another status that is no success)."""


class RunCanceledError(RunError):
    """Somebody cancelled the run, and nobody reserved a next one: no retry does the work."""


class RunSuspendedError(RunError):
    """The run is suspended and ``on_suspend="fail"`` was chosen; it waits to be resumed."""

    @property
    def suspensions(self) -> tuple[Suspension, ...]:
        """What the run waits for."""
        return self.run.suspensions


class WaitTimeoutError(RunError):
    """The time to wait was over before the run was; the run continues."""


class RunStalledError(RunError):
    """Nothing has moved in the run for long: its server has most likely lost it by restarting."""


class NotSuspendedError(RunError):
    """The step to resume is not suspended (any more), or none or several could be meant."""


class ResumeRefusedError(RunError):
    """The server did not accept the resume; the record says how the run stands."""


class UnknownStepError(RunError):
    """The workflow has no such step, or none any more since it was deployed anew."""


class NotActiveError(RunError):
    """The call needs a run that is under way (or one that is not), and this one is not (is)."""


FINAL: tuple[type[MastraError], ...] = (
    AuthenticationError,
    BodyTooLargeError,
    ConfigurationError,
    InvalidDataError,
    RunCanceledError,
    RunMismatchError,
    RunNotStoredError,
    RunSuspendedError,
    # A server without storage forgets a run when it ends: another try would start it again.
    UnknownRunError,
    UnknownStepError,
    UnknownWorkflowError,
    UnsupportedError,
)
"""Errors that the same call meets again, however often it is tried."""
