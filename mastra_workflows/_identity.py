"""Derive run ids, so that every attempt at the same work finds the same run."""

from __future__ import annotations

import hashlib
import json
import re

MAX_LENGTH = 120
_DIGEST = 20
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


def derive_run_id(*label: str, identity: object) -> str:
    """Derive a readable, URL-safe run id of at most 120 characters.

    Args:
        *label: readable parts, such as a DAG and a task. They may be shortened.
        identity: JSON that identifies the piece of work. Equal identities give equal ids, different
            ones different ids.

    Returns:
        The label and a digest of the identity.
    """
    text = json.dumps([label, identity], sort_keys=True, ensure_ascii=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]
    readable = ".".join(_UNSAFE.sub("-", part).strip("-.") or "x" for part in label)
    return f"{readable[: MAX_LENGTH - _DIGEST - 1].rstrip('-.')}-{digest}"
