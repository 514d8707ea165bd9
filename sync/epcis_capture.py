"""EPCIS 2.0 documents to an event repository's capture interface.

Theory of operation. Capture is asynchronous: `POST /capture` is answered 202 with the address of a capture job, and
"a successful capturing of events does not guarantee that events will be stored". So a 202 delivers nothing. The job is
asked for until it has ended, and only its success is an acknowledgement.

    job ended, success             every event of the document is accepted
    job ended, a fault of theirs   tried again (every error of it is a 5xx)
    job ended, no success          refused; with the standard's "rollback" nothing was stored, and which event is at
                                   fault is not said, so the pump halves until it stands alone
    job unknown (404, 410)         the repository lost it: the document is captured again
    job not answering              the same job is asked for at the next attempt; nothing is captured twice
    job running too long           given up and captured again

A document that is captured twice, after a crash between POST and answer too, is harmless: its events have the ids they
had before. A repository that answers 409 to an id it knows says that it has the event; to an error declaration, which
must repeat an id, it says that it does not take corrections.

What the repository announces with `GS1-EPCIS-Capture-Limit` and `GS1-EPCIS-Capture-File-Size-Limit`, asked for with
OPTIONS and looked for in every answer, is obeyed: a batch goes out in as many documents as that takes.

How an event looks in EPCIS is not known here: an encoder is handed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urljoin, urlsplit

from buffer.entry import Accepted, Outcome, Rejected, Released
from sync.answer import Answer, hold_for, read_answer
from sync.backoff import parse_retry_after
from sync.batch import Batch
from sync.capture_job import CaptureJob, JobState, read_job
from sync.errors import (
    BatchRefused,
    BatchTooLarge,
    NotAnAnswer,
    SyncError,
    Unanswered,
    UpstreamHolds,
    UpstreamUnavailable,
)
from sync.http_events import HttpEvents
from sync.http_exchange import Carrier
from sync.settings import EpcisCaptureSettings
from sync.upstream import Position

POLL_GROWTH_MAX = 25.0
"""The waits between two questions grow to this multiple of the first: a slow job must not cost many requests."""

_HEADERS = {
    "Content-Type": "application/ld+json",
    "Accept": "application/json, application/problem+json",
    "GS1-EPCIS-Version": "2.0.0",
    "GS1-CBV-Version": "2.0.0",
    "GS1-EPCIS-Min": "2.0.0",
    "GS1-EPCIS-Max": "2.0.0",
    "GS1-Capture-Error-Behaviour": "rollback",
}
_DECLARATION = b'"errorDeclaration"'


@dataclass(frozen=True, slots=True)
class Unencodable:
    """An event that has no form in EPCIS."""

    reason: str


class EventEncoder(Protocol):
    """Makes EPCIS of our events."""

    async def encode(self, batch: Batch) -> Sequence[bytes | Unencodable]:
        """Return one EPCIS event as JSON for each member of the batch, in its order."""

    def document(self, events: Sequence[bytes]) -> bytes:
        """Return the EPCISDocument that holds them."""


class EpcisCapture:
    """Delivers to one capture interface. Implements `Upstream`."""

    def __init__(
        self,
        settings: EpcisCaptureSettings,
        encoder: EventEncoder,
        *,
        wall: Callable[[], int],
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        credentials: Path | None = None,
        carrier: Carrier | None = None,
    ) -> None:
        """Connect to nothing yet. `sleep` waits between two questions about a job."""
        self._settings = settings
        self._encoder = encoder
        self._wall = wall
        self._monotonic = monotonic
        self._sleep = sleep
        self._http = HttpEvents(settings.exchange(), wall=wall, credentials=credentials, carrier=carrier)
        self.claimed_through = 0
        self._events_max: int | None = None
        self._bytes_max: int | None = None
        self._has_asked_limits = False
        self._open_job: tuple[bytes, str] | None = None
        """What was captured (its digest) and where its job is, while the job's end is not known."""

    async def send(self, batch: Batch) -> list[Outcome]:
        """Capture the batch and return what became of it when its jobs have ended. Raises as `Upstream.send`."""
        encoded = await self._encoder.encode(batch)
        if not self._has_asked_limits:
            await self._ask_limits()
        events = [one for one in encoded if isinstance(one, bytes)]
        captured = await self._capture_all(events, batch) if events else 0
        outcomes: list[Outcome] = []
        for one in encoded:
            if isinstance(one, Unencodable):
                outcomes.append(Rejected(one.reason))
            elif captured:
                outcomes.append(Accepted())
                captured -= 1
            else:
                outcomes.append(Released())
        return outcomes

    async def position(self, source: str) -> Position | None:
        """A repository does not say how far it is."""
        del source
        return None

    async def probe(self, source: str) -> str:
        """Find out whether the repository lets us in, by asking what it takes (OPTIONS); nothing is captured.

        Returns one line for a person. Raises UpstreamUnavailable, UpstreamHolds.
        """
        del source
        answer = await self._ask("OPTIONS", self._settings.url, b"")
        if answer.status >= 500 or answer.status == 429:
            raise UpstreamUnavailable(f"the repository answered {answer.status}")
        if not 200 <= answer.status < 300:
            raise hold_for(answer)
        limit = f", {self._events_max} events in one document" if self._events_max is not None else ""
        return f"the repository lets us in ({answer.status}){limit}"

    def refreshed(self) -> bool:
        """Return whether a token or TLS file changed since it was last used."""
        return self._http.refreshed()

    async def aclose(self) -> None:
        """Close the connections; the next `send` opens new ones."""
        await self._http.aclose()

    async def _capture_all(self, events: Sequence[bytes], batch: Batch) -> int:
        """Return how many of the events, from the first on, are captured; raise when it is none."""
        captured = 0
        for part in self._cut(events):
            try:
                await self._capture(part, batch)
            except SyncError:
                if captured:
                    # What is behind us is delivered; the pump comes back for the rest and hears the trouble then.
                    return captured
                raise
            captured += len(part)
        return captured

    def _cut(self, events: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        """Yield the events in documents that the repository takes."""
        overhead = len(self._encoder.document(())) - 1  # one comma less than events
        part: list[bytes] = []
        size = overhead
        for event in events:
            is_full = self._events_max is not None and len(part) >= self._events_max
            if part and (is_full or (self._bytes_max is not None and size + len(event) + 1 > self._bytes_max)):
                yield part
                part, size = [], overhead
            part.append(event)
            size += len(event) + 1
        yield part

    async def _capture(self, events: Sequence[bytes], batch: Batch) -> None:
        """Return when the repository has stored the events."""
        digest = hashlib.sha256(b"\n".join(events)).digest()
        if self._open_job is None or self._open_job[0] != digest:
            body = self._encoder.document(events)
            if self._bytes_max is not None and len(body) > self._bytes_max:
                raise BatchTooLarge(f"the repository takes no document of {len(body)} bytes, only {self._bytes_max}")
            answer = await self._ask("POST", self._settings.url, body)
            if answer.status == 409 and _is_known(events):
                return
            self._open_job = (digest, self._job_url(answer, batch))
        try:
            job = await self._await_job(self._open_job[1])
        except (_JobLost, _JobStuck):
            self._open_job = None
            raise
        self._open_job = None
        if job.is_theirs:
            raise UpstreamUnavailable(
                f"the repository could not store a document: {job.reason}",
                hint="it says that the fault is its own; ask its operator when it lasts",
                code="capture_job_failed",
            )
        if job.state is not JobState.STORED and not (job.is_known and _is_known(events)):
            raise BatchRefused(f"the capture job failed: {job.reason}")

    def _job_url(self, answer: Answer, batch: Batch) -> str:
        """Return where the job is. The token is sent to nobody but the host of `url`, whatever the answer says."""
        if answer.status == 409:
            raise BatchRefused("the repository has one of these events already (409)")
        if answer.status in (406, 415):
            raise UpstreamHolds(
                f"the repository takes no EPCIS 2.0 in JSON ({answer.status})",
                hint="is `url` the capture interface of an EPCIS 2.0 repository?",
                code="upstream_settings",
            )
        if not 200 <= answer.status < 300:
            read_answer(answer, batch, acknowledge="status", wall_ms=self._wall())
        location = answer.headers.get("location")
        if answer.status not in (201, 202) or not location:
            raise NotAnAnswer(
                f"what answers is no capture interface ({answer.status}, no capture job)",
                hint="a portal or proxy? `url` must be that of the capture interface, e.g. https://epcis.example/capture",
            )
        url = self._settings.url
        try:
            job, ours = urlsplit(urljoin(url, location)), urlsplit(url)
        except ValueError:
            raise NotAnAnswer(
                f"the repository names a capture job by an address that is none ({answer.status})",
                hint="the events are captured again under the same ids; when it lasts, ask its operator",
            ) from None
        if (job.scheme, job.netloc) == (ours.scheme, ours.netloc):
            return job.geturl()
        # Behind a proxy a repository may name itself by an inner address: its id is good all the same.
        return f"{url.partition('?')[0].rstrip('/')}/{job.path.rstrip('/').rpartition('/')[2]}"

    async def _await_job(self, url: str) -> CaptureJob:
        """Return the job when it has ended. Raises UpstreamUnavailable when that cannot be found out now."""
        began, wait_s = self._monotonic(), self._settings.job_poll_s
        while True:
            try:
                answer = await self._ask("GET", url, b"")
            except Unanswered as error:
                # Not the document was too much: cut in other pieces, it would be captured again.
                raise UpstreamUnavailable(str(error), hint=error.hint) from None
            job = self._read_job(answer)
            if job.state is not JobState.RUNNING:
                return job
            if self._monotonic() - began >= self._settings.job_timeout_s:
                raise _JobStuck(
                    f"the capture job runs for more than {self._settings.job_timeout_s:g} s",
                    hint="ask the repository's operator; its events are captured again under the same ids",
                    code="capture_job_stuck",
                )
            asked_s = self._retry_after(answer)
            await self._sleep(max(wait_s, min(asked_s or 0.0, self._settings.retry_after_max_s)))
            wait_s = min(wait_s * 2, self._settings.job_poll_s * POLL_GROWTH_MAX)

    def _read_job(self, answer: Answer) -> CaptureJob:
        if answer.status in (404, 410):
            raise _JobLost(
                f"the repository does not know its own capture job ({answer.status})",
                hint="did it start anew? The events are captured again under the same ids",
                code="capture_job_lost",
            )
        if answer.status == 200:
            return read_job(answer)
        if answer.status in (408, 425, 429) or answer.status >= 500:
            raise UpstreamUnavailable(
                f"the repository answered {answer.status} when asked for a capture job",
                retry_after_s=self._retry_after(answer),
            )
        raise hold_for(answer)

    async def _ask_limits(self) -> None:
        """Ask what the repository takes at once; one that does not say is tried with what we have."""
        await self._ask("OPTIONS", self._settings.url, b"")
        self._has_asked_limits = True

    async def _ask(self, method: str, url: str, body: bytes) -> Answer:
        headers = {**_HEADERS, **self._http.credential_headers()}
        if method != "POST":
            del headers["Content-Type"]
        answer = await self._http.ask(method, url, headers, body)
        self._events_max = _limit(answer, "gs1-epcis-capture-limit", self._events_max)
        self._bytes_max = _limit(answer, "gs1-epcis-capture-file-size-limit", self._bytes_max)
        return answer

    def _retry_after(self, answer: Answer) -> float | None:
        return parse_retry_after(
            answer.headers.get("retry-after"), date=answer.headers.get("date"), wall_ms=self._wall()
        )


class _JobLost(UpstreamUnavailable):
    """The repository forgot a capture job."""


class _JobStuck(UpstreamUnavailable):
    """A capture job does not end."""


def _is_known(events: Sequence[bytes]) -> bool:
    """Whether "I have this id already" about these events says that they are delivered."""
    return len(events) == 1 and _DECLARATION not in events[0]


def _limit(answer: Answer, header: str, known: int | None) -> int | None:
    text = answer.headers.get(header, "").strip()
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else known
