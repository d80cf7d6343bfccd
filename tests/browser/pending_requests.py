"""Define the requests and responses that both orchestrators' browser tests share."""

from __future__ import annotations

from typing import Any

EVERY_RESPONSE: dict[str, Any] = {
    "agree": True,
    "urgent": False,
    "title": "A fine headline",
    "summary": "First line\nsecond line",
    "copies": 3,
    "budget": 12.5,
    "draft": "second",
    "day": "2026-01-31",
    "moment": "2026-02-01T09:30:00Z",
    "tags": ["red", "green"],
    "address": {"street": "Am Kai 1", "zip": "20457", "country": "AT"},
    "contact": {"phone": "040"},
}
"""The response to everyType, which returns it."""

ODD_RESPONSE: dict[str, Any] = {
    "opens": "09:30",
    "amounts": [1, 2.5],
    "parcels": [{"weight": 0.5}],
    "priority": 2,
    "size": 40,
    "substitute": None,
    "place": {"hall": "A", "row": 3},
    "ticket": 17,
    "price": 19.99,
    "name": "Zoë",
    "notes": {"seen": True},
    "greeting": "",
}
"""The same of oddTypes' first request."""

REFUND = {"order": "A-1042", "amount": 4200, "reason": "arrived broken"}

AS_IT_IS = (
    "**bold** [link](javascript:alert(1))",
    "<script>window.hostile = 1</script>",
    "{{ 7 * 7 }} {% raw %}",
    "all work and no play",
)
"""What can be read of hostileRequest's payload, with nothing of it carried out."""

CANCELLED = {"0": "suspended", "1": "canceled"}
"""How a run stands that was cancelled while it asked; 0.x leaves it as it is."""
