"""Fetching expected documents and decisions from the centre. The gateway is never called; it asks.

    GET <url>   If-None-Match: "<etag of the last answer that was taken over whole>"
    304         nothing is new
    200         {"expectations": [...], "removed": ["ASN-7"], "resolutions": [{"exception": "<id>",
                "state": "resolved", "actor": "jane", "resolution": "credit note"}], "next": "<url of the next part>"}

An answer is taken over as far as it can be: one document of a wrong shape is named in the status and keeps none of the
others from counting, but the ETag is not kept then, so it is asked for again. Everything here may be repeated without
harm. Intake never waits for any of it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol
from urllib.parse import urljoin, urlsplit

from buffer import AnnexRow
from buffer.errors import OutboxError
from drivers import StorageUnavailable
from gateway.checks.desk import Aside, ChecksDesk, Refused
from gateway.checks.expectation import (
    DOCUMENTS_MAX,
    Expectation,
    ExpectationInvalid,
    read_expectation,
    read_json,
)
from gateway.log import event
from sync.answer import Answer
from sync.errors import SyncError

log = logging.getLogger(__name__)

ETAG_SPACE: Final = "expectation-etag"
PARTS_MAX: Final = 1_000
ACTOR: Final = "pull"
BACKOFF_MAX_S: Final = 300.0


Get = Callable[[str, dict[str, str]], Awaitable[Answer]]
"""Asks a URL with headers. Raises SyncError."""


class EtagKeeper(Protocol):
    """The part of the outbox in which the ETag is kept."""

    def annex(self, space: str, key: str) -> bytes | None:
        """Return a committed row."""

    async def keep(self, rows: list[AnnexRow]) -> None:
        """Write rows."""


@dataclass(frozen=True, slots=True)
class PullState:
    """How the last pull went."""

    at: float | None = None
    """When it ended, on the monotonic clock; None: not yet."""
    failures: int = 0
    problem: str | None = None
    hint: str | None = None
    documents: int = 0
    """Taken over since the start, new ones and new versions."""
    decisions: int = 0
    """About exceptions, taken over since the start."""


class Pull:
    """One address that is asked again and again."""

    def __init__(
        self, url: str, get: Get, desk: ChecksDesk, outbox: EtagKeeper, *, monotonic: Callable[[], float], aside: Aside
    ) -> None:
        self._url = url
        self._get = get
        self._desk = desk
        self._outbox = outbox
        self._monotonic = monotonic
        self._aside = aside
        self.state = PullState()

    async def pull(self) -> bool:
        """Ask once and take over what is new; return True when that went well. What went wrong is in `state`."""
        before = self.state
        try:
            documents, decisions, problem = await self._pull()
        except (SyncError, OutboxError, StorageUnavailable, ExpectationInvalid) as error:
            hint = getattr(error, "hint", None)
            self._failed(before, str(error), hint)
            return False
        if problem is not None:
            self._failed(before, problem, "ask whoever sends the document", documents=documents, decisions=decisions)
            return False
        self.state = PullState(
            self._monotonic(), documents=before.documents + documents, decisions=before.decisions + decisions
        )
        if before.failures:
            log.info("%s", event("expectations_pulled_again", url=self._url))
        return True

    def pause_s(self, interval_s: float, draw: Callable[[], float]) -> float:
        """Return how long to wait before the next pull. `draw` gives 0 to 1: a hundred sites must not ask at once."""
        failures = self.state.failures
        if not failures:
            return interval_s * (0.9 + 0.2 * draw())
        ceiling = min(max(interval_s, 1.0) * float(2 ** min(failures, 10)), max(BACKOFF_MAX_S, interval_s))
        return ceiling * (0.5 + 0.5 * draw())

    # -- within

    def _failed(
        self, before: PullState, problem: str, hint: str | None, *, documents: int = 0, decisions: int = 0
    ) -> None:
        if before.problem != problem:
            log.warning("%s", event("expectations_not_pulled", url=self._url, reason=problem, hint=hint))
        self.state = PullState(
            self._monotonic(),
            before.failures + 1,
            problem,
            hint,
            before.documents + documents,
            before.decisions + decisions,
        )

    async def _pull(self) -> tuple[int, int, str | None]:
        kept = self._outbox.annex(ETAG_SPACE, self._url)
        headers = {"Accept": "application/json"}
        if kept is not None:
            headers["If-None-Match"] = kept.decode()
        url: str | None = self._url
        etag: str | None = None
        documents = decisions = 0
        problem: str | None = None
        for part in range(PARTS_MAX):
            assert url is not None
            answer = await self._get(url, headers if part == 0 else {"Accept": "application/json"})
            if answer.status == 304 and part == 0:
                return 0, 0, None
            found = await self._read(answer)
            etag = answer.headers.get("etag") if part == 0 else etag
            new, wrong = await self._take_documents(found)
            documents += new
            problem = problem or wrong
            decisions += await self._take_decisions(found)
            following = found.get("next")
            if not isinstance(following, str) or not following:
                break
            url = self._following(following)
        if problem is None and etag and etag.isascii() and etag.isprintable() and len(etag) <= 512:
            await self._outbox.keep([AnnexRow(ETAG_SPACE, self._url, etag.encode())])
        return documents, decisions, problem

    async def _read(self, answer: Answer) -> dict[str, Any]:
        if answer.status != 200:
            raise ExpectationInvalid(f"{self._url} answered {answer.status}")
        if answer.is_cut:
            raise ExpectationInvalid("the answer is larger than bytes_max in [expectations]")
        found = await self._aside(lambda: read_json(answer.body))
        if isinstance(found, list):
            found = {"expectations": found}
        if not isinstance(found, dict):
            raise ExpectationInvalid("the answer is neither an object nor a list of documents")
        return found

    def _following(self, url: str) -> str:
        """Return the address of the next part: only where we were told to ask, or our token would go elsewhere."""
        try:
            whole = urljoin(self._url, url)
            leads_away = urlsplit(whole)[:2] != urlsplit(self._url)[:2]
        except ValueError:
            raise ExpectationInvalid('"next" is no address') from None
        if leads_away:
            raise ExpectationInvalid(f'"next" leads to another server: {whole}')
        return whole

    async def _take_documents(self, found: dict[str, Any]) -> tuple[int, str | None]:
        given, removed = found.get("expectations", []), found.get("removed", [])
        if not isinstance(given, list) or not isinstance(removed, list) or len(given) > DOCUMENTS_MAX:
            raise ExpectationInvalid('"expectations" and "removed" are lists')
        new, problem = 0, None
        for value in given:
            try:
                expectation: Expectation = await self._aside(partial(read_expectation, value))
            except ExpectationInvalid as error:
                problem = problem or str(error)
                continue
            _, is_new = await self._desk.put(expectation, origin="pull", actor=ACTOR)
            new += is_new
        for document in removed:
            try:
                await self._desk.remove(str(document), actor=ACTOR)
            except Refused:
                continue  # it was never here, or is gone since the last time
        return new, problem

    async def _take_decisions(self, found: dict[str, Any]) -> int:
        given = found.get("resolutions", [])
        if not isinstance(given, list):
            raise ExpectationInvalid('"resolutions" is a list')
        taken = 0
        for one in given:
            if not isinstance(one, dict) or not isinstance(one.get("exception"), str):
                raise ExpectationInvalid('a resolution names its "exception"')
            actor = str(one.get("actor") or "centre")[:128]
            try:
                case = self._desk.case(one["exception"])
                if one.get("state", "resolved") == "resolved":
                    said = str(one.get("resolution") or "resolved by the centre")[:2000]
                    await self._desk.resolve(one["exception"], actor=actor, resolution=said)
                elif case.data.state in ("open", "escalated"):
                    await self._desk.acknowledge(one["exception"], actor=actor)
                else:
                    continue
                taken += 1
            except Refused:
                continue  # said before, or about an exception that is past its time
        return taken
