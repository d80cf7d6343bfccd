"""How the flows of this package store what they return, where flows store results at all.

Prefect takes a stored JSON that has a key ``result`` for a record of its own, and gives back what
is under that key alone: a flow that goes on after a restart would get a part of the outcome of a
subflow that had ended. Compressed, the JSON is not mistaken for one.
"""

from __future__ import annotations

from typing import Final

from prefect.settings import get_current_settings

SERIALIZER: Final = "compressed/json"

PERSIST_RESULT: Final = get_current_settings().results.persist_by_default
"""As the settings say: a flow that names a serializer would else store its results always."""
