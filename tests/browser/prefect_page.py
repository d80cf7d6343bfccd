"""Drive Prefect's pages in a browser: read the request of a paused flow run and fill in its form.

Written for the pages (V1) of Prefect 3.8. Fields are found by their visible labels.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime

from playwright.sync_api import Locator, Page, expect

from testkit.prefect_stack import PrefectStack

Value = bool | int | float | str | date | datetime | list[str]


class PrefectPage:
    """One tab of a browser; Prefect asks for no login.

    Args:
        page: the tab.
        stack: the Prefect to look at.
    """

    def __init__(self, page: Page, stack: PrefectStack) -> None:
        self.page, self.stack = page, stack

    @property
    def dialog(self) -> Locator:
        """The window with the form."""
        return self.page.get_by_role("dialog")

    @property
    def body(self) -> Locator:
        """The text above the form."""
        return self.dialog.locator("article").first

    def expect_text(self, text: str) -> None:
        """See that a text is on the screen: Prefect's page hides the one above a long form."""
        expect(self.dialog.get_by_text(text).filter(visible=True).first).to_be_visible()

    def open_form(self, flow_run_id: str) -> None:
        """Open the page of a paused flow run, and the form that its button "Resume" opens."""
        self.page.goto(f"{self.stack.url}/runs/flow-run/{flow_run_id}")
        self.page.get_by_role("button", name="Resume").click()
        self.button("Submit").wait_for()

    def button(self, name: str) -> Locator:
        return self.dialog.get_by_role("button", name=name, exact=True)

    def submit(self) -> None:
        """Press "Submit", and see that the page takes it."""
        self.button("Submit").click()
        expect(self.dialog).to_have_count(0)

    def cancel_flow_run(self) -> None:
        """Close the form, press "Cancel" and say yes."""
        self.button("Close").click()
        self.page.get_by_role("button", name="Cancel", exact=True).click()
        self.button("Confirm").click()

    def expect_titles(self, titles: Sequence[str]) -> None:
        """See that these are the fields, from top to bottom, once all of them are there."""
        expect(self.dialog.locator("label[for]")).to_have_text(titles, use_inner_text=True)

    def field(self, title: str) -> Locator:
        """The field of this name: its label, what is said about it, and what is entered."""
        label = self.dialog.locator(
            "label[for]", has_text=re.compile(rf"^\s*{re.escape(title)}( \(Optional\))?\s*$")
        )
        return label.locator("xpath=../..").first

    def shown(self, title: str) -> str:
        """What a field holds, as it can be read; ``on`` or ``off`` of a switch."""
        field = self.field(title)
        switch = field.get_by_role("switch")
        if switch.count():
            return "on" if switch.get_attribute("aria-checked") == "true" else "off"
        chosen = field.locator("button .p-select-button__value, button > span")
        if chosen.count():
            return chosen.first.inner_text()
        entered = field.locator("fieldset").locator("input, textarea")
        return "\n".join(one.input_value() for one in entered.all())

    def fill(self, title: str, value: Value) -> None:
        """Enter a value in the field of this name, in whatever way the page has it entered.

        Args:
            title: the field's name.
            value: of a switch whether it is on; of a day or a moment this; of a list its items;
                else what to type or to choose.
        """
        field = self.field(title)
        field.scroll_into_view_if_needed()
        # A value that may be null: one of two buttons says which it is.
        other = field.locator(
            "button", has_text=re.compile(r"^\s*(bool|int|float|str|dict|list)\s*$")
        )
        if other.count():
            other.click()
        if isinstance(value, bool):
            switch = field.get_by_role("switch")
            if (switch.get_attribute("aria-checked") == "true") != value:
                switch.click()
        elif isinstance(value, date):
            self._pick(field, value)
        elif isinstance(value, list):
            entries = field.locator("textarea")
            for item in value:
                place = entries.count()
                field.get_by_role("button", name="Add item").click()
                entries.nth(place).fill(item)
        elif field.locator(".p-select-button__control").count():
            field.locator(".p-select-button__control").focus()
            self.page.keyboard.press("Space")
            self.page.get_by_role("option", name=str(value), exact=True).click()
        else:
            field.locator("input, textarea").first.fill(str(value))

    def _pick(self, field: Locator, when: date) -> None:
        field.locator("button[aria-hidden=true]").click()
        picker = self.page.locator(".p-date-picker")
        entries = picker.locator("input")
        entries.nth(0).fill(f"{when:%Y-%m-%d}")
        if isinstance(when, datetime):
            entries.nth(1).fill(f"{when:%H:%M}")
        picker.get_by_role("button", name="Apply").click()
