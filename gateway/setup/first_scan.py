"""The end of a set-up: a real scan, seen where it arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.journey import OWN_TYPES, kind_of

if TYPE_CHECKING:
    from gateway.cli.client import Json, Site


def await_scan(site: Site, within_s: float) -> Json | None:
    """Return the first event that a device causes from now on, or None when none comes in time.

    Raises NoDaemon, Failure.
    """
    for found in site.follow("/v1/events/tail", within_s=within_s):
        event = found.get("event") or {}
        kind = kind_of(event)
        if kind and kind not in OWN_TYPES:
            return found
    return None
