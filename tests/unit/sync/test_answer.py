"""What an answer means, row by row: who is at fault, and what is delivered."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upstream_events import SOURCE, entries

import sync.answer
from buffer.entry import Accepted, Rejected, Released
from sync import (
    BatchRefused,
    BatchTooLarge,
    NotAnAnswer,
    SyncError,
    Unanswered,
    UpstreamHolds,
    UpstreamUnavailable,
    join_batch,
)
from sync.answer import REASON_CHARS_MAX, Answer, read_answer

BATCH = join_batch(lambda _seq: SOURCE, entries(11, 14))
OLD = join_batch(lambda _seq: SOURCE, entries(11, 14), retry=True)
MEANT = join_batch(lambda _seq: SOURCE, entries(11, 14), instance="wms-1")
A, R = Accepted(), Released()


def answer(status: int, body: object = b"", *, limit: int = 100_000, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, content, limit)


def named(body: object, *, status: int = 200) -> list[object]:
    return list(read_answer(answer(status, body), BATCH, acknowledge="named", wall_ms=0))


@pytest.mark.parametrize(
    ("body", "outcomes"),
    [
        ({"accepted_through": 14}, [A, A, A, A]),
        ({"accepted_through": "00000000000000000012"}, [A, A, R, R]),
        ({"accepted_through": 12}, [A, A, R, R]),
        ({"accepted_through": 10**9}, [A, A, A, A]),
        ({"accepted": ["id-11", "id-13"]}, [A, R, A, R]),
        ({"accepted": ["id-11", "stranger"]}, [A, R, R, R]),
        ({"accepted_through": 14, "rejected": [{"id": "id-12", "reason": "x"}]}, [A, Rejected("x"), A, A]),
        ({"accepted": ["id-12"], "rejected": [{"id": "id-12", "reason": "x"}]}, [R, Rejected("x"), R, R]),
        ({"rejected": [{"id": "id-12"}]}, [R, Rejected("no reason given"), R, R]),
        ({"accepted_through": 0, "accepted": ["id-14"], "more": {"ignored": 1}}, [R, R, R, A]),
        ({"accepted_through": None, "accepted": ["id-14"], "rejected": None}, [R, R, R, A]),
    ],
)
def test_only_what_the_answer_names_is_settled(body: object, outcomes: list[object]) -> None:
    """Fault matrix 33: exact sets; `rejected` beats `accepted` and `accepted_through`."""
    assert named(body) == outcomes
    assert named(body, status=207) == outcomes


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Welcome</html>",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"accepted_through":',
        b'{"accepted":' + b"[" * 100_000,
        b'{"accepted_through":1' + b"0" * 5000 + b"}",
        b'{"accepted_through":NaN}',
        {},
        {"ok": True},
        {"accepted": True},
        {"accepted": "id-11"},
        {"accepted": [11]},
        {"accepted": ["stranger"]},
        {"accepted_through": True},
        {"accepted_through": 14.0},
        {"accepted_through": "14 "},
        {"accepted_through": -1},
        {"accepted_through": 10},
        {"accepted_through": "١٤"},
        {"accepted_through": 14, "accepted": [1]},
        {"accepted_through": 14, "rejected": {"id-11": "no"}},
        {"accepted_through": 14, "rejected": ["id-11"]},
        {"accepted_through": 14, "rejected": [{"id": 11}]},
        {"rejected": [{"id": "stranger"}]},
    ],
)
def test_what_names_nothing_of_ours_is_no_answer(body: object) -> None:
    """Fault matrix 34: a portal, an empty body, a wrong service, a broken answer."""
    with pytest.raises(NotAnAnswer) as caught:
        named(body)
    assert caught.value.hint


def test_an_answer_over_the_limit_is_no_answer() -> None:
    body = {"accepted_through": 14}
    size = len(json.dumps(body))
    assert read_answer(answer(200, body, limit=size), BATCH, acknowledge="named", wall_ms=0) == [A] * 4
    with pytest.raises(NotAnAnswer):
        read_answer(answer(200, body, limit=size - 1), BATCH, acknowledge="named", wall_ms=0)


def test_a_high_water_mark_above_an_old_event_says_nothing_about_it() -> None:
    with pytest.raises(NotAnAnswer):
        read_answer(answer(200, {"accepted_through": 99}), OLD, acknowledge="named", wall_ms=0)
    exact = read_answer(answer(200, {"accepted_through": 14}), OLD, acknowledge="named", wall_ms=0)
    assert exact == [A] * 4


def test_409_delivers_only_the_ids_it_names() -> None:
    """Fault matrix 32: in both ways of acknowledging."""
    for acknowledge in ("named", "status"):
        found = read_answer(answer(409, {"accepted": ["id-12"]}), BATCH, acknowledge=acknowledge, wall_ms=0)  # type: ignore[arg-type]
        assert found == [R, A, R, R]
        with pytest.raises(UpstreamUnavailable):
            read_answer(answer(409, {"accepted": []}), BATCH, acknowledge=acknowledge, wall_ms=0)  # type: ignore[arg-type]
        with pytest.raises(UpstreamUnavailable):
            read_answer(answer(409), BATCH, acknowledge=acknowledge, wall_ms=0)  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_by_status_any_2xx_takes_the_batch(status: int) -> None:
    assert read_answer(answer(status, b"thanks"), BATCH, acknowledge="status", wall_ms=0) == [A] * 4


@pytest.mark.parametrize("acknowledge", ["named", "status"])
@pytest.mark.parametrize(
    ("status", "error"),
    [
        *((status, UpstreamHolds) for status in (300, 301, 302, 303, 304, 307, 308)),
        *((status, UpstreamHolds) for status in (401, 402, 403, 404, 405, 406, 407, 410, 411, 415, 421, 431, 451)),
        *((status, UpstreamUnavailable) for status in (425, 429, 500, 501, 502, 503, 599)),
        *((status, Unanswered) for status in (408, 504)),
        (400, BatchRefused),
        (422, BatchRefused),
        (413, BatchTooLarge),
    ],
)
def test_who_is_at_fault(status: int, error: type[SyncError], acknowledge: str) -> None:
    """Fault matrix 25, 27-31, 35."""
    with pytest.raises(error) as caught:
        read_answer(answer(status), BATCH, acknowledge=acknowledge, wall_ms=0)  # type: ignore[arg-type]
    assert type(caught.value) is error
    assert str(status) in str(caught.value) or error is BatchTooLarge


@pytest.mark.parametrize(
    ("headers", "body", "said"),
    [
        ({"content-encoding": "gzip", "content-type": "application/json"}, b"", "is compressed (gzip)"),
        ({"content-type": "application/json"}, b"x" * 11, "larger than the 10 bytes"),
        ({"content-type": "text/html"}, b"x" * 11, "something between us and the centre"),
    ],
)
def test_an_acknowledgement_that_was_not_read_is_not_blamed_on_a_stranger(
    headers: dict[str, str], body: bytes, said: str
) -> None:
    with pytest.raises(NotAnAnswer, match=re.escape(said)):
        read_answer(Answer(200, headers, body, 10), BATCH, acknowledge="named", wall_ms=0)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("<html><title>400 No required SSL certificate was sent</title>", "upstream_credential"),
        ("<html><title>400 The SSL certificate error</title>", "upstream_credential"),
        ("<html><title>400 The plain HTTP request was sent to HTTPS port</title>", "upstream_address"),
        ("Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />", "upstream_address"),
        ("Client sent an HTTP request to an HTTPS server.\n", "upstream_address"),
    ],
)
def test_a_web_server_that_refuses_how_we_come_blames_no_event(words: str, code: str) -> None:
    """Our certificate ended over night: the events of the morning wait, and are not set aside one by one."""
    with pytest.raises(UpstreamHolds) as caught:
        named(words.encode(), status=400)
    assert caught.value.code == code
    assert caught.value.hint
    with pytest.raises(BatchRefused):
        named(words.encode(), status=422)


@pytest.mark.parametrize("status", [400, 422])
def test_a_refusal_that_names_events_convicts_only_those(status: int) -> None:
    body = {"accepted": ["id-11"], "rejected": [{"id": "id-13", "reason": "GTIN"}]}
    assert named(body, status=status) == [A, R, Rejected("GTIN"), R]
    with pytest.raises(BatchRefused):
        named({"accepted_through": 14}, status=status)


def test_a_refusal_carries_what_the_centre_said_on_one_clean_line() -> None:
    with pytest.raises(BatchRefused) as caught:
        named(b"bad\r\n\x1b[31mdata\x00" + b"x" * 5000, status=400)
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) < REASON_CHARS_MAX + 60


def test_only_reasons_of_our_events_are_made_printable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte of reasons of others would hold the loop that takes scans for half a second."""
    made: list[str] = []
    printable = sync.answer._printable
    monkeypatch.setattr(sync.answer, "_printable", lambda text, most: made.append(text) or printable(text, most))
    rows = [{"id": f"stranger-{number}", "reason": "x"} for number in range(1000)]
    assert named({"rejected": [*rows, {"id": "id-11", "reason": "ours"}]}) == [Rejected("ours"), R, R, R]
    assert made == ["ours"]


def test_a_reason_from_outside_is_one_clean_bounded_line() -> None:
    """It ends up in logs and terminals: no escape sequences, no line breaks, no end."""
    hostile = "\x1b[2J\nGTIN\r\n\u202e" + "y" * 10_000
    outcome = named({"rejected": [{"id": "id-11", "reason": hostile}]})[0]
    assert isinstance(outcome, Rejected)
    assert outcome.reason.isprintable()
    assert len(outcome.reason) <= REASON_CHARS_MAX
    assert "GTIN" in outcome.reason


def test_retry_after_is_handed_on() -> None:
    with pytest.raises(UpstreamUnavailable) as caught:
        read_answer(answer(429, retry_after="17"), BATCH, acknowledge="named", wall_ms=0)
    assert caught.value.retry_after_s == 17
    assert caught.value.code == "upstream_throttles"


def test_a_redirect_is_told_with_its_host_and_nothing_else() -> None:
    with pytest.raises(UpstreamHolds, match=r"portal\.example \(302\)"):
        read_answer(
            answer(302, location="http://user:pw@portal.example/login?x=1"), BATCH, acknowledge="named", wall_ms=0
        )
    with pytest.raises(UpstreamHolds, match="elsewhere"):
        read_answer(answer(302, location="http://[broken"), BATCH, acknowledge="named", wall_ms=0)


@given(
    status=st.integers(100, 599),
    body=st.binary(max_size=200) | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["accepted", "accepted_through", "rejected", "id", "reason"]), inner),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
)  # fmt: skip
def test_no_answer_whatsoever_accepts_what_it_does_not_name(status: int, body: bytes) -> None:
    try:
        outcomes = read_answer(answer(status, body), BATCH, acknowledge="named", wall_ms=0)
    except SyncError:
        return
    assert len(outcomes) == len(BATCH)
    content = json.loads(body)
    for seq, id, outcome in zip(BATCH.sequences, BATCH.ids, outcomes, strict=True):
        if outcome == A:
            through = content.get("accepted_through")
            assert id in (content.get("accepted") or []) or (through is not None and int(through) >= seq)


def test_a_centre_that_is_another_one_by_now_is_asked_where_it_is() -> None:
    """It was restored between two requests. No event is at fault and nobody has to come: the question is asked anew."""
    with pytest.raises(UpstreamUnavailable, match="wms-1") as caught:
        read_answer(answer(412), MEANT, acknowledge="named", wall_ms=0)
    assert caught.value.code == "centre_changed"
    with pytest.raises(UpstreamHolds):
        read_answer(answer(412), BATCH, acknowledge="named", wall_ms=0)


def test_a_2xx_that_came_before_the_request_was_through_takes_nothing() -> None:
    """With "status" it would be all there is to say; what names events has read them."""
    early = replace(answer(200), came_early=True)
    with pytest.raises(BatchTooLarge):
        read_answer(early, BATCH, acknowledge="status", wall_ms=0)
    alone = join_batch(lambda _seq: SOURCE, entries(11, 11))
    with pytest.raises(NotAnAnswer) as caught:
        read_answer(early, alone, acknowledge="status", wall_ms=0)
    assert caught.value.hint
    naming = replace(answer(200, {"accepted_through": 14}), came_early=True)
    assert read_answer(naming, BATCH, acknowledge="named", wall_ms=0) == [A] * 4
