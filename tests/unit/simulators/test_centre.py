"""The centre must be a strict judge and an exact saboteur; here it is judged itself, by a client that is not ours."""

import asyncio
import base64
import contextlib
import gzip
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from simulators.centre import Centre, Policy
from simulators.centre_main import summary
from simulators.centre_script import Act

SOURCE = "//dc07/dock-pc-1/e1"
TYPE = {"content-type": "application/cloudevents-batch+json"}


def event(
    seq: int, *, id: str = "", note: str = "", source: str = SOURCE, type: str = "dockline.pick.v1"
) -> dict[str, object]:
    return {
        "sequence": f"{seq:020d}",
        "specversion": "1.0",
        "id": id or f"id-{seq}",
        "source": source,
        "type": type,
        "data": {"note": note},
    }


def gap(last: int, first: int | None = None) -> dict[str, object]:
    data: dict[str, object] = {"sequence": f"{last:020d}", "digest": "", "reason": "damaged"}
    if first is not None:
        data["first_sequence"] = f"{first:020d}"
    return {**event(last, id=f"gap-{last}", type="dockline.gap.v1"), "data": data}


@contextlib.asynccontextmanager
async def client(centre: Centre) -> AsyncIterator[httpx2.AsyncClient]:
    async with centre, httpx2.AsyncClient(trust_env=False, timeout=5) as made:
        yield made


async def post(http: httpx2.AsyncClient, centre: Centre, *events: dict[str, object], **headers: str) -> httpx2.Response:
    return await http.post(centre.url, content=json.dumps(events), headers={**TYPE, **headers})


async def test_it_names_what_it_took_and_keeps_it() -> None:
    centre = Centre()
    async with client(centre) as http:
        answer = await post(http, centre, event(1), event(2))
        assert answer.json() == {"accepted_through": 2, "accepted": ["id-1", "id-2"]}
        assert [taken.sequence for taken in centre.ledger.events] == [1, 2]
        where = await http.get(centre.position_url, params={"source": SOURCE})
        assert where.json() == {"accepted_through": 2, "centre_instance": "centre-1"}


async def test_it_counts_redeliveries_and_sees_contradictions() -> None:
    centre = Centre()
    async with client(centre) as http:
        await post(http, centre, event(1), event(2))
        await post(http, centre, event(1))
        assert (centre.ledger.redeliveries, centre.ledger.conflicts) == (1, [])
        await post(http, centre, event(1, note="other"))
        await post(http, centre, event(2, id="another"))
        assert len(centre.ledger.conflicts) == 2


async def test_it_sees_what_is_late_and_what_never_came() -> None:
    centre = Centre()
    async with client(centre) as http:
        await post(http, centre, event(1), event(2), event(6))
        assert centre.ledger.missing == [3, 4, 5]
        await post(http, centre, event(4))
        assert (centre.ledger.late, centre.ledger.missing, centre.ledger.through(SOURCE)) == ([4], [3, 5], 2)
        await post(http, centre, event(9, source="//other/g/e"))
        assert centre.ledger.missing == [3, 5]


async def test_gap_records_account_for_a_sequence_or_a_run_and_a_later_retry_is_not_late() -> None:
    centre = Centre()
    async with client(centre) as http:
        await post(http, centre, event(1), gap(2), gap(5, 3), event(6))
        assert (centre.ledger.missing, centre.ledger.through(SOURCE)) == ([], 6)
        await post(http, centre, event(2))
        assert (centre.ledger.late, centre.ledger.conflicts) == ([], [])


async def test_a_journal_that_was_rewritten_is_seen() -> None:
    centre = Centre()
    async with client(centre) as http:
        for chain in ("aa", "aa", "bb"):
            await post(http, centre, event(1), **{"dockline-chain": f'"{SOURCE}:1:{chain}"'})
        assert len(centre.ledger.conflicts) == 1


@pytest.mark.parametrize(
    ("policy", "request_headers", "status"),
    [
        (Policy(token="t"), {}, 401),
        (Policy(token="t"), {"authorization": "Bearer x"}, 401),
        (Policy(token="t"), {"authorization": "Bearer t"}, 200),
        (Policy(body_bytes_max=20), {}, 413),
        (Policy(), {"content-type": "application/json"}, 415),
        (Policy(), {"content-type": "application/cloudevents-batch+json; charset=utf-8"}, 200),
        (Policy(poison=("bad",), poison_answer="422"), {}, 422),
        (Policy(secret="whsec_" + base64.b64encode(b"s" * 24).decode()), {}, 401),
    ],
)
async def test_what_it_insists_on(policy: Policy, request_headers: dict[str, str], status: int) -> None:
    centre = Centre(policy)
    async with client(centre) as http:
        answer = await post(http, centre, event(1, note="bad"), **request_headers)
        assert answer.status_code == status
        assert len(centre.ledger.events) == (1 if status == 200 else 0)


async def test_other_paths_methods_and_bodies_are_refused() -> None:
    centre = Centre()
    async with client(centre) as http:
        assert (await http.post(centre.url + "x")).status_code == 404
        assert (await http.get(centre.url)).status_code == 405
        for body in (b"{", b"[1]", b'[{"id":"x"}]', b'[{"id":1,"source":"s","sequence":"1","type":"t"}]'):
            assert (await http.post(centre.url, content=body, headers=TYPE)).status_code == 400
        assert centre.ledger.events == []
        assert (await post(http, centre)).status_code == 200


async def test_signatures_are_verified_with_their_age() -> None:
    key = b"s" * 24
    now = 1_795_248_000
    centre = Centre(Policy(secret="whsec_" + base64.b64encode(key).decode()), wall=lambda: now)
    body = json.dumps([event(1)])

    def headers(timestamp: int, signed: str) -> dict[str, str]:
        mac = hmac.new(key, f"m.{timestamp}.{signed}".encode(), hashlib.sha256).digest()
        return {
            **TYPE,
            "webhook-id": "m",
            "webhook-timestamp": str(timestamp),
            "webhook-signature": "v1,AAAA v1," + base64.b64encode(mac).decode(),
        }

    async with client(centre) as http:
        for timestamp, signed, status in [(now, body, 200), (now - 301, body, 401), (now, body + " ", 401)]:
            answer = await http.post(centre.url, content=body, headers=headers(timestamp, signed))
            assert answer.status_code == status


async def test_gzip_is_taken_off_or_refused() -> None:
    centre = Centre()
    async with client(centre) as http:
        packed = gzip.compress(json.dumps([event(1)]).encode())
        headers = {**TYPE, "content-encoding": "gzip"}
        assert (await http.post(centre.url, content=packed, headers=headers)).status_code == 200
        centre.policy.takes_gzip = False
        assert (await http.post(centre.url, content=packed, headers=headers)).status_code == 415


@pytest.mark.parametrize(
    ("act", "status", "taken"),
    [
        (Act("status", 500), 500, 0),
        (Act("applied_status", 503), 503, 2),
        (Act("portal"), 200, 0),
        (Act("empty"), 200, 0),
        (Act("nonsense"), 200, 0),
        (Act("wrong_ids"), 200, 0),
        (Act("huge"), 200, 0),
        (Act("deep"), 200, 0),
        (Act("redirect", location="http://x.example/"), 307, 0),
        (Act("partial", share=0.5), 200, 1),
        (Act("through_beyond"), 200, 2),
        (Act("reject_all"), 200, 0),
        (Act("reject_first"), 200, 1),
        (Act("duplicate_409"), 409, 0),
    ],
)
async def test_each_act_does_what_its_name_says(act: Act, status: int, taken: int) -> None:
    centre = Centre()
    async with client(centre) as http:
        centre.script.then(act)
        answer = await post(http, centre, event(1), event(2))
        assert (answer.status_code, len(centre.ledger.events)) == (status, taken)
        assert (await post(http, centre, event(1), event(2))).json()["accepted"] == ["id-1", "id-2"]


@pytest.mark.parametrize(("act", "taken"), [(Act("answer_lost"), 1), (Act("request_lost"), 0), (Act("half_answer"), 1)])
async def test_an_answer_can_fail_to_come(act: Act, taken: int) -> None:
    centre = Centre()
    async with client(centre) as http:
        centre.script.then(act)
        with pytest.raises(httpx2.TransportError):
            await post(http, centre, event(1))
        assert len(centre.ledger.events) == taken


@pytest.mark.parametrize(("act", "taken"), [(Act("hang"), 0), (Act("applied_hang"), 1)])
async def test_silence_lasts_until_the_client_leaves_or_the_centre_stops(act: Act, taken: int) -> None:
    centre = Centre()
    async with client(centre) as http:
        centre.script.then(act)
        asking = asyncio.ensure_future(post(http, centre, event(1)))
        await centre.attempted(1)
        await asyncio.sleep(0)
        assert not asking.done()
        assert len(centre.ledger.events) == taken
        async with asyncio.timeout(60):
            await centre.stop()
        with pytest.raises(httpx2.TransportError):
            await asking


async def test_retry_after_is_given_as_seconds_or_date() -> None:
    centre = Centre(wall=lambda: 1_795_248_000)
    async with client(centre) as http:
        centre.script.then(Act("status", 429, retry_after="7"), Act("status", 503, retry_after="date+30"))
        assert (await post(http, centre, event(1))).headers["retry-after"] == "7"
        assert (await post(http, centre, event(1))).headers["retry-after"] == "Sat, 21 Nov 2026 08:00:30 GMT"


@pytest.mark.parametrize(
    ("answers", "body"),
    [("through", {"accepted_through": 1}), ("ids", {"accepted": ["id-1"]}), ("plain", None)],
)
async def test_it_acknowledges_in_the_style_asked_for(answers: str, body: object) -> None:
    centre = Centre(Policy(answers=answers))  # type: ignore[arg-type]
    async with client(centre) as http:
        answer = await post(http, centre, event(1))
        assert answer.status_code == 200
        assert (answer.json() if answer.content else None) == body


async def test_stopped_and_started_it_listens_where_it_was_and_remembers() -> None:
    centre = Centre()
    async with client(centre) as http:
        await post(http, centre, event(1))
        port = centre.port
        await centre.stop()
        with pytest.raises(httpx2.TransportError):
            await post(http, centre, event(2))
        await centre.start()
        assert centre.port == port
        await post(http, centre, event(2))
        assert centre.ledger.through(SOURCE) == 2


async def test_the_fast_mode_counts_what_passed_and_what_is_wrong_with_it() -> None:
    centre = Centre(fast=True)
    async with client(centre) as http:
        assert (await post(http, centre, event(1), event(2))).status_code == 400
    # As the gateway writes it: the sequence is the first member and there are no blanks.
    compact = [json.dumps(event(seq), separators=(",", ":")) for seq in range(1, 9)]
    centre = Centre(fast=True)
    async with client(centre) as http:
        for part in (compact[0:3], compact[2:4], compact[6:8]):
            answer = await http.post(centre.url, content="[" + ",".join(part) + "]", headers=TYPE)
        assert answer.json() == {"accepted_through": 8}
        tally = centre.tally
        assert (tally.events, tally.requests, tally.through, tally.gaps, tally.repeats) == (7, 3, 8, 2, 1)
        await centre.holds(8)


async def test_waiting_ends_when_it_is_so() -> None:
    centre = Centre()
    async with client(centre) as http:
        waiting = asyncio.ensure_future(centre.holds(2))
        await post(http, centre, event(1))
        assert not waiting.done()
        await post(http, centre, event(2))
        async with asyncio.timeout(60):
            await waiting
        answer = await http.get(centre.position_url, params={"source": SOURCE, "wait_for": "2"})
        assert answer.json()["accepted_through"] == 2


async def test_the_ledger_file_outlives_the_centre(tmp_path: Path) -> None:
    path = tmp_path / "centre.ndjson"
    centre = Centre(ledger_file=path)
    async with client(centre) as http:
        await post(http, centre, event(1), gap(2))
        centre.script.then(Act("status", 503))
        await post(http, centre, event(3))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["kind"] for row in rows] == ["event", "event", "attempt", "attempt"]
    assert rows[3] == {"kind": "attempt", "n": 2, "act": "status", "status": 503, "events": 1}
    with path.open("a") as file:
        file.write('{"kind":"event","id":"torn')
    again = Centre(ledger_file=path)
    async with client(again) as http:
        assert again.ledger.through(SOURCE) == 2
        await post(http, again, event(1), event(3))
        assert (again.ledger.redeliveries, again.ledger.conflicts) == (1, [])
        found = summary(again)
        assert (found["events"], found["gap_records"]) == (2, 1), "a gap record is no event: the gateway delivered two"
    third = Centre(ledger_file=path)  # what was written behind the torn line is not glued to it
    async with client(third):
        assert third.ledger.through(SOURCE) == 3
    path.write_text("rubbish\n")
    with pytest.raises(ValueError, match="is no ledger of a centre"):
        Centre(ledger_file=path)
