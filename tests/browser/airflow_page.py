"""Drive Airflow's pages in a browser: log in, read a request, fill in its form, press a button.

Written for the pages of Airflow 3.1 to 3.3. Fields are found by their visible labels.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from playwright.sync_api import Locator, Page, expect

from testkit.airflow_stack import AirflowStack
from testkit.json_api import quote

FIELD = "[data-scope=field][data-part=root]"
Value = bool | int | float | str | datetime


class AirflowPage:
    """One tab of a browser, logged in.

    Args:
        page: the tab.
        stack: the Airflow to look at.
    """

    def __init__(self, page: Page, stack: AirflowStack) -> None:
        self.page, self.stack = page, stack
        page.goto(f"{stack.url}/auth/login")
        page.locator("input[name=username]").fill(stack.username)
        page.locator("input[name=password]").fill(stack.password)
        page.locator("button[type=submit]").click()
        page.wait_for_url(lambda url: "/login" not in url)

    @property
    def subject(self) -> Locator:
        """The request's first line, in red."""
        return self.page.locator("p", has=self.page.locator("svg")).first

    @property
    def pending_request(self) -> Locator:
        """All that stands in the tab: subject, body, form and buttons."""
        return self.page.locator(
            "div", has=self.page.locator("footer [data-testid^=hitl-option]")
        ).last

    def open_form(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> None:
        """Open the tab "Required Actions" of a task that waits for a response."""
        task = f"{self.stack.url}/dags/{quote(dag_id)}/runs/{quote(run_id)}/tasks/{quote(task_id)}"
        mapped = "" if map_index < 0 else f"/mapped/{map_index}"
        self.page.goto(f"{task}{mapped}/required_actions")
        self.button("Resume").wait_for()

    def open_list(self) -> Page:
        """Open the list of all requests that wait; returns the tab."""
        self.page.goto(f"{self.stack.url}/required_actions?response_received=false")
        self.page.get_by_role("table").wait_for()
        return self.page

    def text(self) -> str:
        """All that can be read of the request."""
        return self.pending_request.inner_text()

    def button(self, name: str) -> Locator:
        """One of the buttons below the form; disabled while a field that must be filled is not."""
        return self.page.get_by_test_id(f"hitl-option-{name}")

    def press(self, name: str) -> None:
        """Press one of the buttons below the form, and see that the page says it was taken."""
        self.button(name).click()
        expect(self.page.get_by_text("response successful").first).to_be_visible()
        expect(self.button(name)).to_be_disabled()

    def expect_titles(self, titles: Sequence[str]) -> None:
        """See that these are the fields, with a star where one must be filled in, all of them."""
        labels = self.page.locator(f"{FIELD} label[data-part=label]")
        expect(labels).to_have_text(titles, use_inner_text=True)

    def field(self, title: str) -> Locator:
        """The field of this name: its label, what is entered, and what is said about it."""
        label = self.page.locator(
            "label[data-part=label]", has_text=re.compile(rf"^{re.escape(title)}\s*\*?\s*$")
        )
        return self.page.locator(FIELD, has=label)

    def shown(self, title: str) -> str:
        """What a field holds, as it can be read; ``on`` or ``off`` of a switch."""
        field = self.field(title)
        switch = field.locator("input[type=checkbox]")
        if switch.count():
            return "on" if switch.is_checked() else "off"
        chosen = field.locator("input[type=hidden]")
        if chosen.count():
            return chosen.first.input_value()
        for parts in (".view-lines", "[data-testid=datetime-input]"):
            if field.locator(parts).count():
                return field.locator(parts).inner_text().replace("\xa0", " ")
        return field.locator("input, textarea").first.input_value()

    def fill(self, title: str, value: Value) -> None:
        """Enter a value in the field of this name, in whatever way the page has it entered.

        Args:
            title: the field's name.
            value: of a switch whether it is on; of a moment the moment; of a list one line each;
                else what to type or to choose.
        """
        field = self.field(title)
        field.scroll_into_view_if_needed()
        if isinstance(value, bool):
            if field.locator("input[type=checkbox]").is_checked() != value:
                field.locator("[data-part=control]").click()
        elif isinstance(value, datetime):
            self._pick(field, value)
        elif field.locator("[role=combobox]").count():
            field.locator("[role=combobox]").click()
            self.page.get_by_role("option", name=str(value), exact=True).click()
        elif field.locator(".view-lines").count():
            self._type_json(field, str(value))
        else:
            field.locator("input, textarea").first.fill(str(value))

    def _pick(self, field: Locator, moment: datetime) -> None:
        field.locator("[data-testid=datetime-input]").click()
        popover = self.page.locator("[data-part=content][data-state=open]")
        popover.get_by_placeholder("YYYY/MM/DD").fill(f"{moment:%Y/%m/%d}")
        popover.get_by_placeholder("HH:mm").fill(f"{moment:%H:%M}")
        self.page.keyboard.press("Escape")

    def _type_json(self, field: Locator, text: str) -> None:
        field.locator(".view-lines").click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(text)
        # The editor closes brackets and quotes by itself.
        self.page.keyboard.press("Control+Shift+End")
        self.page.keyboard.press("Delete")
