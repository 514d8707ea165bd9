"""Expected documents over the local API when there are hundreds: in pages, and never at the cost of a scan."""

import json
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

from checks_rig import Site, document, label, line
from starlette.requests import Request

from gateway.web.auth import LOCAL_READER
from gateway.web.expectations import TURN_DOCUMENTS, ExpectationsApi

COUNT = 3 * TURN_DOCUMENTS + 2


async def test_documents_come_in_pages_and_let_scans_in_between() -> None:
    """What is counted of each document is read from disk: a thousand of them held up every scan for 250 ms."""
    site, turns = Site(), []

    async def pause(seconds: float) -> None:
        turns.append(seconds)

    report: Any = SimpleNamespace(checks=SimpleNamespace(checker=site.checker, desk=site.desk), pause=pause)

    async def listed(**asked: object) -> dict[str, Any]:
        scope = {"type": "http", "method": "GET", "path": "/v1/expectations", "headers": [],
                 "query_string": urlencode(asked).encode(), "state": {"caller": LOCAL_READER}}  # fmt: skip
        found: dict[str, Any] = json.loads((await ExpectationsApi(report).list(Request(scope))).body)
        return found

    names = [f"ASN-{number:03}" for number in range(COUNT)]
    for name in names:
        site.expect(document(name, "asn", line(1, 2)))
    await site.scan("hh-1", label(1), document=names[0], activity="receipt")
    whole = await listed()
    assert [one["id"] for one in whole["expectations"]] == names
    assert whole["next_after"] is None
    assert [work["activity"] for work in whole["expectations"][0]["progress"]] == ["receipt"]
    assert len(turns) >= COUNT // TURN_DOCUMENTS
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await listed(after=after, limit=COUNT // 2)
        found += [one["id"] for one in page["expectations"]]
        after = page["next_after"]
    assert found == names
