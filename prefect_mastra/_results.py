"""Define how this package's flows persist their results, if persistence is enabled.

Prefect mistakes stored JSON with a key ``result`` for its own result record and returns only the
value of that key. A flow that continues after a restart would then receive part of the outcome of a
finished subflow. Compressed JSON is not affected.
"""

from __future__ import annotations

from typing import Final

from prefect.settings import get_current_settings

SERIALIZER: Final = "compressed/json"

PERSIST_RESULT: Final = get_current_settings().results.persist_by_default
"""The value of Prefect's setting. Otherwise a flow with a serializer always stores its results."""
