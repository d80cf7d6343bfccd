"""Test the classification of attempts: the first one, a retry, or one after a clear."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from airflow_provider_mastra.utils._attempts import Attempt, Kind, classify


def attempt(
    try_number: int, max_tries: int, clear_number: int = 0, ti_id: str | None = None
) -> Attempt:
    return Attempt(try_number, max_tries, clear_number, ti_id or f"id-{try_number}")


@pytest.mark.parametrize(
    ("what", "before", "now", "has_ended", "kind"),
    [
        ("nothing was noted", None, attempt(1, 2), False, "first"),
        ("nothing was noted in earlier tries", None, attempt(3, 2), False, "first"),
        # max_tries stays as it was stored, whatever `retries` the DAG file has now.
        ("retry", attempt(1, 2), attempt(2, 2), False, "retry"),
        (
            "retries 0 to 2: the first try was the last one",
            attempt(1, 0),
            attempt(2, 0),
            0,
            "retry",
        ),
        ("retries 3 to 1", attempt(2, 3), attempt(3, 3), False, "retry"),
        ("the same try in another process", attempt(1, 2), attempt(1, 2), False, "retry"),
        ("a zombie of an earlier try", attempt(2, 2), attempt(1, 2, ti_id="id-2"), False, "retry"),
        ("scheduled again beyond its retries", attempt(1, 0), attempt(2, 0), False, "retry"),
        (
            "its end was noted, but never reached Airflow",
            attempt(1, 2),
            attempt(2, 2),
            True,
            "retry",
        ),
        ("another task was cleared", attempt(1, 2), attempt(2, 2, 1), False, "retry"),
        ("cleared after success", attempt(1, 2), attempt(2, 3, 1), True, "cleared"),
        ("cleared after its last retry", attempt(3, 2), attempt(4, 5, 1), False, "cleared"),
        ("cleared without its DAG run", attempt(1, 2), attempt(2, 3, 0), True, "cleared"),
        ("cleared while deferred", attempt(1, 2), attempt(2, 3, 1), False, "cleared"),
        ("cleared, retries 3 to 1", attempt(1, 3), attempt(2, 2, 1), True, "cleared"),
        ("cleared, retries 3 to 1, by chance 3", attempt(2, 3), attempt(3, 3, 1), True, "cleared"),
        ("cleared twice in between", attempt(1, 0), attempt(2, 1, 2), True, "cleared"),
        ("cleared in its last try while it ran", attempt(1, 0), attempt(2, 0, 1), False, "cleared"),
        ("cleared in an earlier try while it ran", attempt(1, 2), attempt(2, 2, 1), False, "retry"),
        ("deleted and made again", attempt(1, 2), attempt(1, 2, ti_id="new"), False, "cleared"),
        ("deleted late and made again", attempt(3, 2), attempt(1, 2), False, "cleared"),
    ],
)
def test_an_attempt_is_classified(
    what: str, before: Attempt | None, now: Attempt, has_ended: bool, kind: Kind
) -> None:
    assert classify(before, now, has_ended=bool(has_ended)) == kind, what


ATTEMPTS = [attempt(*numbers) for numbers in product(range(1, 5), range(4), range(3))]


def test_attempt_without_a_clear_is_a_retry() -> None:
    for before, more, has_ended in product(ATTEMPTS, range(1, 4), (False, True)):
        now = attempt(before.try_number + more, before.max_tries, before.clear_number)
        assert classify(before, now, has_ended=has_ended) == "retry", (before, now)


def test_clear_of_a_finished_attempt_is_detected_despite_edited_retries() -> None:
    for before, retries, clears in product(ATTEMPTS, range(5), (1, 2)):
        max_tries = before.try_number + retries
        now = attempt(before.try_number + 1, max_tries, before.clear_number + clears)
        assert classify(before, now, has_ended=True) == "cleared", (before, now)


def test_attempt_is_read_from_the_context() -> None:
    class Instance:
        try_number, max_tries, id = 2, 3, "an-id"

    class DagRun:
        clear_number = 1

    context: Any = {"ti": Instance(), "dag_run": DagRun()}
    assert Attempt.of(context) == Attempt(2, 3, 1, "an-id")
    assert Attempt.of({"ti": Instance(), "dag_run": None}) == Attempt(2, 3, 0, "an-id")
