"""The capture interface: nothing counts before the job has succeeded, and nothing is captured in two ways."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest
from scripted_carrier import ScriptedCarrier, said
from upstream_events import SOURCE, entries, entry

from buffer.entry import Accepted, Rejected, Released
from simulators.centre import Centre, Policy
from simulators.centre_script import Act, Script
from sync import (
    Batch,
    BatchRefused,
    BatchTooLarge,
    EpcisCaptureSettings,
    NotAnAnswer,
    Unanswered,
    UpstreamHolds,
    UpstreamUnavailable,
    join_batch,
)
from sync.answer import Answer
from sync.capture_job import JobState, read_job
from sync.epcis_capture import EpcisCapture, Unencodable
from sync.http_exchange import BrokenConnection, Request

WALL_MS = 1_795_248_000_000


class PlainEncoder:
    """Encodes without the gateway: an event with its id and place. `refuses` are ids it has no form for."""

    def __init__(self, refuses: Sequence[str] = ()) -> None:
        self.refuses = refuses

    async def encode(self, batch: Batch) -> list[bytes | Unencodable]:
        return [self._encode(event) for event in json.loads(batch.body)]

    def _encode(self, event: dict[str, str]) -> bytes | Unencodable:
        if event["id"] in self.refuses:
            return Unencodable("no form")
        place = {f"dockline:{name}": event[name] for name in ("source", "sequence", "type")}
        corrects = event.get("corrects")
        declared = {"errorDeclaration": {"declarationTime": event["time"], "dockline:void": place}} if corrects else {}
        what = {"type": "ObjectEvent", "eventTime": event["time"], "eventTimeZoneOffset": "+00:00"}
        told = {"eventID": f"urn:uuid:{corrects or event['id']}", **declared, **what, "dockline:event": place}
        return json.dumps(told).encode()

    def document(self, events: Sequence[bytes]) -> bytes:
        context = b'["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"]'
        head = b'{"@context":%s,"type":"EPCISDocument","schemaVersion":"2.0","creationDate":"2026-11-21T08:00:00Z"'
        return head % context + b',"epcisBody":{"eventList":[' + b",".join(events) + b"]}}"


@dataclass
class Bench:
    """A repository, the upstream, and a clock that only moves when the upstream waits."""

    centre: Centre
    waits: list[float] = field(default_factory=list)
    opened: list[EpcisCapture] = field(default_factory=list)

    def upstream(self, encoder: PlainEncoder | None = None, **settings: object) -> EpcisCapture:
        made = {"name": "epcis", "url": f"http://127.0.0.1:{self.centre.port}/capture", "timeout_s": 5, **settings}
        upstream = EpcisCapture(
            EpcisCaptureSettings.model_validate(made),
            encoder or PlainEncoder(),
            wall=lambda: WALL_MS,
            monotonic=lambda: sum(self.waits),
            sleep=self.sleep,
        )
        self.opened.append(upstream)
        return upstream

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)

    def ids(self) -> list[str]:
        return list(self.centre.ledger.by_id)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Centre(Policy(), Script()) as centre:
        made = Bench(centre)
        yield made
        for upstream in made.opened:
            await upstream.aclose()


def batch(first: int, last: int) -> Batch:
    return join_batch(lambda _seq: SOURCE, entries(first, last))


async def test_a_202_is_no_acknowledgement(bench: Bench) -> None:
    """The repository took the document and its job is still running: nothing is delivered yet."""
    bench.centre.capture_policy.polls = 5
    assert await bench.upstream(job_poll_s=0.5).send(batch(1, 3)) == [Accepted()] * 3
    assert bench.centre.epcis.questions == 6
    assert bench.waits == [0.5, 1.0, 2.0, 4.0, 8.0]


async def test_a_job_that_fails_by_a_fault_of_theirs_blames_no_event(bench: Bench) -> None:
    """A full disk over there must quarantine nothing here."""
    bench.centre.script.then(Act("job_fails"))
    upstream = bench.upstream()
    with pytest.raises(UpstreamUnavailable, match="the capture failed") as caught:
        await upstream.send(batch(1, 3))
    assert caught.value.code == "capture_job_failed"
    assert bench.ids() == []
    assert await upstream.send(batch(1, 3)) == [Accepted()] * 3


async def test_a_job_that_is_lost_is_captured_again_under_the_same_ids(bench: Bench) -> None:
    bench.centre.script.then(Act("job_lost"))
    upstream = bench.upstream()
    with pytest.raises(UpstreamUnavailable) as caught:
        await upstream.send(batch(1, 3))
    assert caught.value.code == "capture_job_lost"
    assert await upstream.send(batch(1, 3)) == [Accepted()] * 3
    assert len(bench.ids()) == 3
    assert bench.centre.ledger.conflicts == []


async def test_a_job_that_never_ends_is_given_up(bench: Bench) -> None:
    bench.centre.script.then(Act("job_runs"))
    upstream = bench.upstream(job_poll_s=1, job_timeout_s=60)
    with pytest.raises(UpstreamUnavailable) as caught:
        await upstream.send(batch(1, 1))
    assert caught.value.code == "capture_job_stuck"
    assert 60 <= sum(bench.waits) < 60 + 25
    assert await upstream.send(batch(1, 1)) == [Accepted()]


async def test_a_question_that_fails_is_asked_again_and_nothing_is_captured_twice(bench: Bench) -> None:
    bench.centre.script.then(Act("job_broken"))
    upstream = bench.upstream()
    with pytest.raises(UpstreamUnavailable):
        await upstream.send(batch(1, 3))
    assert await upstream.send(batch(1, 3)) == [Accepted()] * 3
    assert len(bench.centre.epcis.documents) == 1


async def test_a_job_that_does_not_answer_does_not_make_the_document_smaller(bench: Bench) -> None:
    """Cut in two, it would be another document and captured again; that the job is silent says nothing of its size."""

    def answer(request: Request) -> Answer:
        if request.method == "GET":
            raise BrokenConnection
        return said(202, headers={"location": "/capture/1"})

    settings = EpcisCaptureSettings(name="epcis", url="http://epcis.example/capture")
    upstream = EpcisCapture(
        settings,
        PlainEncoder(),
        wall=lambda: WALL_MS,
        monotonic=lambda: 0.0,
        sleep=bench.sleep,
        carrier=ScriptedCarrier(answer),
    )
    with pytest.raises(UpstreamUnavailable) as caught:
        await upstream.send(batch(1, 3))
    assert not isinstance(caught.value, Unanswered)


async def test_a_crash_between_capture_and_answer_is_a_redelivery(bench: Bench) -> None:
    """The job is known to the dead process alone; the next one captures again, and the ids are the same."""
    bench.centre.script.then(Act("job_broken"))
    with pytest.raises(UpstreamUnavailable):
        await bench.upstream().send(batch(1, 3))
    assert await bench.upstream().send(batch(1, 3)) == [Accepted()] * 3
    assert len(bench.centre.epcis.documents) == 2
    assert [bench.centre.ledger.by_id[f"id-{seq}"].deliveries for seq in (1, 2, 3)] == [2, 2, 2]
    assert bench.centre.ledger.conflicts == []


async def test_the_announced_limits_are_obeyed(bench: Bench) -> None:
    """Asked for before anything is sent: no request is wasted."""
    bench.centre.capture_policy.events_max = 4
    assert await bench.upstream().send(batch(1, 10)) == [Accepted()] * 10
    sizes = [len(document["epcisBody"]["eventList"]) for document in bench.centre.epcis.documents]
    assert sizes == [4, 4, 2]
    assert [attempt.status for attempt in bench.centre.attempts] == [202] * 3


async def test_the_announced_size_is_obeyed_to_the_byte(bench: Bench) -> None:
    encoder = PlainEncoder()
    encoded = [one for one in await encoder.encode(batch(1, 2)) if isinstance(one, bytes)]
    bench.centre.capture_policy.bytes_max = len(encoder.document(encoded))
    assert await bench.upstream().send(batch(1, 4)) == [Accepted()] * 4
    assert [attempt.status for attempt in bench.centre.attempts] == [202] * 2


async def test_an_event_larger_than_any_document_may_be_says_so(bench: Bench) -> None:
    bench.centre.capture_policy.bytes_max = 300
    with pytest.raises(BatchTooLarge):
        await bench.upstream().send(batch(1, 1))
    assert bench.centre.attempts == []


async def test_what_is_behind_a_trouble_stays_open(bench: Bench) -> None:
    bench.centre.capture_policy.events_max = 2
    bench.centre.script.then(None, Act("status", 503))
    upstream = bench.upstream()
    assert await upstream.send(batch(1, 5)) == [*[Accepted()] * 2, *[Released()] * 3]
    assert await upstream.send(batch(3, 5)) == [Accepted()] * 3


async def test_an_event_without_a_form_is_rejected_alone(bench: Bench) -> None:
    outcomes = await bench.upstream(PlainEncoder(refuses=["id-2"])).send(batch(1, 3))
    assert outcomes == [Accepted(), Rejected("no form"), Accepted()]
    assert bench.ids() == ["id-1", "id-3"]
    assert await bench.upstream(PlainEncoder(refuses=["id-2"])).send(batch(2, 2)) == [Rejected("no form")]


@pytest.mark.parametrize("behaviour", ["rollback", "proceed"])
async def test_a_poisoned_document_is_refused_whole_and_its_halves_settle_it(bench: Bench, behaviour: str) -> None:
    """With "proceed" the good events are stored already: capturing them again changes nothing."""
    bench.centre.policy.poison = ("id-2",)
    bench.centre.capture_policy.behaviour = "proceed" if behaviour == "proceed" else "rollback"
    upstream = bench.upstream()
    with pytest.raises(BatchRefused):
        await upstream.send(batch(1, 3))
    assert await upstream.send(batch(1, 1)) == [Accepted()]
    with pytest.raises(BatchRefused, match="not acceptable"):
        await upstream.send(batch(2, 2))
    assert await upstream.send(batch(3, 3)) == [Accepted()]
    assert sorted(bench.ids()) == ["id-1", "id-3"]


async def test_a_repository_that_knows_an_id_has_the_event(bench: Bench) -> None:
    """It refuses known ids, and an answer got lost: that must not end in quarantine."""
    bench.centre.capture_policy.refuses_known = True
    upstream = bench.upstream()
    await upstream.send(batch(1, 2))
    with pytest.raises(BatchRefused):
        await upstream.send(batch(1, 2))
    assert await upstream.send(batch(1, 1)) == [Accepted()]


async def test_an_error_declaration_refused_for_its_id_is_not_delivered(bench: Bench) -> None:
    """It has to repeat the id of the event it corrects; a repository that refuses it does not have the correction."""
    bench.centre.capture_policy.refuses_known = True
    upstream = bench.upstream()
    await upstream.send(batch(1, 1))
    payload = json.loads(entry(2).payload) | {"corrects": "id-1"}
    void = entry(2)._replace(payload=json.dumps(payload).encode())
    with pytest.raises(BatchRefused):
        await upstream.send(join_batch(lambda _seq: SOURCE, [void]))
    bench.centre.capture_policy.refuses_known = False
    assert await upstream.send(join_batch(lambda _seq: SOURCE, [void])) == [Accepted()]
    assert bench.ids() == ["id-1", "id-1#error"]


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        ("/capture/j1", "http://epcis.example/capture/j1"),
        ("http://epcis.example/v2/jobs/j1", "http://epcis.example/v2/jobs/j1"),
        ("http://inner:8080/capture/j1", "http://epcis.example/capture/j1"),
        ("https://evil.example/j1?x=1", "http://epcis.example/capture/j1"),
    ],
)
async def test_the_token_goes_to_no_other_host(location: str, asked: str) -> None:
    seen: list[str] = []

    def answer(request: Request) -> Answer:
        seen.append(request.url)
        if request.method == "POST":
            return said(202, headers={"location": location})
        return said(200, {"running": False, "success": True})

    upstream = EpcisCapture(
        EpcisCaptureSettings(name="epcis", url="http://epcis.example/capture"),
        PlainEncoder(),
        wall=lambda: WALL_MS,
        monotonic=lambda: 0.0,
        sleep=asyncio.sleep,
        carrier=ScriptedCarrier(answer),
    )
    assert await upstream.send(batch(1, 1)) == [Accepted()]
    assert seen[-1] == asked


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (said(202), NotAnAnswer),
        (said(202, headers={"location": "http://[capture/1"}), NotAnAnswer),
        (said(200, {"accepted_through": 9}), NotAnAnswer),
        (said(415), UpstreamHolds),
        (said(409), BatchRefused),
        (said(401), UpstreamHolds),
    ],
)
async def test_what_is_no_capture_job_delivers_nothing(answer: Answer, error: type[Exception]) -> None:
    def respond(request: Request) -> Answer:
        return answer if request.method == "POST" else said(405)

    upstream = EpcisCapture(
        EpcisCaptureSettings(name="epcis", url="http://epcis.example/capture"),
        PlainEncoder(),
        wall=lambda: WALL_MS,
        monotonic=lambda: 0.0,
        sleep=asyncio.sleep,
        carrier=ScriptedCarrier(respond),
    )
    with pytest.raises(error):
        await upstream.send(batch(1, 2))


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"running":"no","success":true}', b'{"success":true}', b"<html>", b'{"running":' + b"[" * 10_000],
)
def test_what_says_nothing_about_a_job_is_no_answer(body: bytes) -> None:
    with pytest.raises(NotAnAnswer):
        read_job(Answer(200, {}, body, 100_000))


def test_success_means_nothing_while_a_job_runs() -> None:
    running = b'{"running":true,"success":true}'
    rolling_back = b'{"running":true,"success":false,"errors":[]}'
    assert {read_job(Answer(200, {}, body, 1000)).state for body in (running, rolling_back)} == {JobState.RUNNING}
    failed = read_job(Answer(200, {}, b'{"running":false,"success":false}', 1000))
    assert (failed.state, failed.reason) == (JobState.FAILED, "it does not say why")


async def test_it_says_who_it_is_and_what_it_speaks(bench: Bench) -> None:
    await bench.upstream().send(batch(1, 1))
    headers = bench.centre.attempts[0].headers
    assert headers["gs1-epcis-version"] == "2.0.0"
    assert headers["gs1-capture-error-behaviour"] == "rollback"
    assert headers["content-type"] == "application/ld+json"


async def test_a_probe_asks_for_options_and_captures_nothing(bench: Bench) -> None:
    told = await bench.upstream().probe("//dc07/dock-pc-1")
    assert told.startswith("the repository lets us in")
    assert bench.centre.attempts == []
    bench.centre.policy.token = "another"
    with pytest.raises(UpstreamHolds, match="401"):
        await bench.upstream().probe("//dc07/dock-pc-1")
