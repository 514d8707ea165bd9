"""Debian's own browser before the page, and what every look at the page has to hold: no violation and no error.

The browser is that of the system (`executable_path`): nothing is downloaded, and what is tested is what sites run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
BOUND_MS = 60_000
"""Longer than anything takes on a busy machine; who reaches it has failed."""
PROBES = Path(__file__).with_name("page_probes.js")


@contextmanager
def browser() -> Iterator[Browser]:
    """One browser; without its sandbox where tests run as root, as Chromium demands."""
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, args=options)
        try:
            yield found
        finally:
            found.close()


class Window:
    """One page in a context of its own; collects what the browser complains of."""

    def __init__(self, source: Browser, url: str, shots: Path, **context: Any) -> None:
        self.url = url
        self.complaints: list[str] = []
        self._shots = shots
        self._context = source.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
        self._context.set_default_timeout(BOUND_MS)
        self._context.add_init_script(path=PROBES)
        self.page: Page = self._context.new_page()
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._see)

    def open(self, view: str) -> Page:
        """Open a view and return the page when the gateway is heard."""
        self.page.goto(f"{self.url}/#/{view}")
        self.page.locator("#link.good").wait_for(state="attached")
        return self.page

    def probe(self, name: str) -> list[str]:
        """Return what a probe of page_probes.js finds wrong."""
        found: list[str] = self.page.evaluate(f"window.probes.{name}()")
        return found

    def shoot(self, name: str) -> None:
        """Take a picture, for whoever looks at a failure."""
        self.page.screenshot(path=self._shots / f"{name}.png", full_page=True)

    def sign_in(self, token: str) -> None:
        """Fill in the dialog that asks for a token."""
        dialog = self.page.get_by_role("dialog", name="Sign in")
        dialog.get_by_label("Token").fill(token)
        shown = dialog.element_handle()  # another one may follow at once
        dialog.get_by_role("button", name="Sign in").click()
        shown.wait_for_element_state("hidden")

    def close(self) -> None:
        """Close it."""
        self._context.close()

    def _see(self, request: Any) -> None:
        if not request.url.startswith(self.url):
            self.complaints.append(f"asks somebody else: {request.url}")
