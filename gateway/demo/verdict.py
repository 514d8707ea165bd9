"""The verdict on a simulated site, while a gateway runs and when it was stopped early."""

from __future__ import annotations

from dataclasses import dataclass

from simulators.ledger import Ledger, reconcile
from simulators.parts import PartsCount
from simulators.site import Site


@dataclass(frozen=True, slots=True)
class SiteVerdict:
    """What became of the scans and parts of a site until now."""

    ledger: Ledger
    parts: PartsCount
    expected: int
    """Scans and tags that the site was to make."""

    @property
    def is_complete(self) -> bool:
        """True when the site has done its work, and the centre has all of it."""
        ledger = self.ledger
        return ledger.injected >= self.expected and ledger.delivered >= ledger.injected and self.parts.missing <= 0

    @property
    def holds(self) -> bool:
        """True when nothing that has arrived contradicts the promises, and nothing is missing."""
        return self.ledger.holds and self.parts.missing == 0

    def show(self) -> None:
        """Print it."""
        from rich.console import Console

        from gateway.demo.view import ledger_table

        console = Console()
        console.print(ledger_table(self.ledger, self.parts))
        console.print(self.conclusion())

    def conclusion(self) -> str:
        """Return the last line: what the exit code means."""
        broken = [name for name, found in self.ledger.violations().items() if found and name != "lost"]
        if broken or self.parts.missing < 0:
            return f"Broken: {', '.join(broken) or 'parts that nobody made'}.".replace("_", " ")
        if self.is_complete:
            return "The promises held." if self.holds else "Broken: lost."
        missing = self.expected - self.ledger.delivered
        made = f"Stopped early: {self.ledger.injected} of {self.expected} scans and tags were made"
        return f"{made}, {missing} are not at the centre, nor are {self.parts.missing} parts. All else holds so far."


def site_verdict(site: Site) -> SiteVerdict:
    """Judge a site as it stands."""
    return SiteVerdict(reconcile(site.device_scans(), site.centre_events()), site.parts(), site.tokens_expected)
