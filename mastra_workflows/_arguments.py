"""Validate arguments before anything is sent; each function raises a `ConfigurationError`."""

from __future__ import annotations

from datetime import datetime

from mastra_workflows._policy import quoted
from mastra_workflows.errors import ConfigurationError

MAX_COUNT = 2**31 - 1


def require_instance(name: str, value: object, kind: type, expected: str) -> None:
    """Refuse a value that is not an instance of a type."""
    if not isinstance(value, kind):
        raise _unexpected(name, value, expected)


def require_count(name: str, value: object, least: int = 1) -> None:
    """Refuse a value that is not an integer from ``least`` to `MAX_COUNT`."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_COUNT:
        raise _unexpected(name, value, f"an integer from {least} to {MAX_COUNT}")


def require_text(**settings: object) -> None:
    """Refuse a value that is neither None nor a text that servers accept unchanged."""
    for name, value in settings.items():
        if value is None:
            continue
        require_instance(name, value, str, "a string")
        if not is_sendable(str(value)):
            raise ConfigurationError(
                f"{name} is {quoted(value)}; it must not contain a NUL or a lone surrogate."
            )


def require_aware(**settings: object) -> None:
    """Refuse a value that is neither None nor an aware datetime."""
    for name, value in settings.items():
        if value is not None and (not isinstance(value, datetime) or value.tzinfo is None):
            raise ConfigurationError(
                f"{name}: expected a timezone-aware datetime, got {quoted(value)}. Nothing was "
                "sent."
            )


def require_callable(**settings: object) -> None:
    """Refuse a value that is neither None nor callable."""
    for name, value in settings.items():
        if value is not None and not callable(value):
            raise _unexpected(name, value, "a callable")


def require_step(step: object) -> None:
    """Refuse a value that is neither a step's name nor its path."""
    names = step if isinstance(step, list | tuple) else [step]
    if step == "" or not names or not all(isinstance(name, str) for name in names):
        raise _unexpected("step", step, "the name of a step, or its path as a list of names")


def is_sendable(text: str) -> bool:
    """Return whether servers accept a text unchanged.

    A NUL ends a text in many databases, and a lone surrogate cannot be encoded as UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _unexpected(name: str, value: object, expected: str) -> ConfigurationError:
    return ConfigurationError(f"{name}: expected {expected}, got {quoted(value)}.")
