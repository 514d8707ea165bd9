"""Exceptions over the local API when there are thousands: counted, in pages, and never at the cost of a scan."""

import json
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from checks_rig import Site, document, label, line
from starlette.requests import Request

from gateway.checks.docket import PAGE_ROWS
from gateway.web.auth import LOCAL_READER
from gateway.web.exceptions import ExceptionsApi

COUNT = 3 * PAGE_ROWS + 7


class Desk:
    """The API before a site in memory; `turns` counts how often others were let in."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.turns = 0
        report: Any = SimpleNamespace(
            checks=SimpleNamespace(checker=site.checker, desk=site.desk), outbox=site.outbox, pause=self.pause
        )
        self.api = ExceptionsApi(report)

    async def pause(self, seconds: float) -> None:
        self.turns += 1

    async def list(self, **asked: object) -> dict[str, Any]:
        scope = {"type": "http", "method": "GET", "path": "/v1/exceptions", "headers": [],
                 "query_string": urlencode(asked).encode(), "state": {"caller": LOCAL_READER}}  # fmt: skip
        found: dict[str, Any] = json.loads((await self.api.list(Request(scope))).body)
        return found


@pytest.fixture
async def desk() -> Desk:
    """Three hundred exceptions about one document, and one about another."""
    site = Site()
    for name in ("ASN-1", "ASN-2"):
        site.expect(document(name, "asn", line(1, 2)))
    for number in range(COUNT - 1):
        await site.scan("hh-1", label(number + 2), document="ASN-1", activity="receipt")
    await site.scan("hh-1", label(2), document="ASN-2", activity="receipt")
    return Desk(site)


async def test_pages_hold_every_exception_once_and_each_says_how_many_there_are(desk: Desk) -> None:
    for state in ("unresolved", "all"):
        found, after = [], ""
        while after is not None:
            answer = await desk.list(state=state, limit=PAGE_ROWS - 1, after=after)
            assert answer["total"] == COUNT
            found += [one["exception"] for one in answer["exceptions"]]
            after = answer["next_after"]
        assert len(found) == COUNT
        assert found == sorted(set(found))


async def test_whoever_lists_thousands_lets_scans_in_between(desk: Desk) -> None:
    """Thirty thousand resolved ones held up every scan for four seconds, whenever a page looked at them."""
    for state in ("unresolved", "resolved", "all", "overdue"):
        desk.turns = 0
        await desk.list(state=state)
        assert desk.turns >= COUNT // PAGE_ROWS, state


async def test_what_is_overdue_is_a_state_and_a_count(desk: Desk) -> None:
    assert (await desk.list())["overdue"] == 0
    site = desk.site
    before = site.outbox.operating_ms
    due_ms = min(case.due_ms for case in site.checker.docket.open_cases() if case.due_ms is not None)
    site.passes((due_ms - before) / 1000)
    (late,) = (await desk.list(document="ASN-2"))["exceptions"]
    assert late["overdue"]
    answer = await desk.list(state="overdue", document="ASN-2")
    assert (answer["total"], answer["overdue"], answer["next_after"]) == (1, 1, None)


async def test_a_station_counts_the_exceptions_of_its_document_without_looking_at_all(desk: Desk) -> None:
    docket = desk.site.checker.docket
    assert (docket.count_about("ASN-1"), docket.count_about("ASN-2"), docket.count_about("ASN-3")) == (COUNT - 1, 1, 0)
    last = docket.open_cases()[-1]
    await desk.site.desk.resolve(last.id, actor="otto", resolution="put back")
    assert (docket.count_about("ASN-1"), docket.count_about("ASN-2")) == (COUNT - 1, 0)
    desk.site.restart()
    assert desk.site.checker.docket.count_about("ASN-1") == COUNT - 1
