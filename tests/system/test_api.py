"""The local API of a real daemon: what it answers, what it refuses, and what bounds it."""

import contextlib
import gzip
import hashlib
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from daemon_process import CONFIG, Answer, GatewayProcess, gateway, until

from gateway.web.ingest import UNDER_WAY_MAX

ROOT = Path(__file__).parents[2]
CODE = "]C10109521234543213"
READER = '\n[[device]]\nid = "portal-1"\nstation = "floor"\ndriver = "rfid-reader"\nprofile = "zebra-iot-connector"\n'
TOKENS = {
    "hh-7": ("token-of-hh-7", "device", "hh-7"),
    "hh-8": ("token-of-hh-8", "device", "hh-8"),
    "portal": ("token-of-portal", "device", "portal-1"),
    "vera": ("token-of-vera", "viewer", None),
    "otto": ("token-of-otto", "operator", None),
    "tina": ("token-of-tina", "technician", None),
}
NUMBERS = iter(range(1, 100_000))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """Without tokens, on loopback."""
    with gateway(tmp_path_factory.mktemp("lab"), CONFIG + "body_bytes_max = 4096\n") as daemon:
        yield daemon.start()


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """As in service: nothing without a token but looking."""
    folder = tmp_path_factory.mktemp("locked")
    file = folder / "tokens.toml"
    lines = []
    for name, (token, role, device) in TOKENS.items():
        digest = hashlib.sha256(token.encode()).hexdigest()
        lines.append(f'[[token]]\nname = "{name}"\nsha256 = "{digest}"\nrole = "{role}"')
        if device:
            lines.append(f'device = "{device}"')
    file.write_text("\n".join(lines) + "\n")
    file.chmod(0o600)
    api = f'[api]\nbind = "127.0.0.1:0"\ntokens_file = "{file}"\nconnections_max = 60\n'
    config = CONFIG[: CONFIG.index("[api]")] + api + READER
    with gateway(folder, config) as daemon:
        yield daemon.start()


def scan(**more: object) -> dict[str, object]:
    return {"id": f"n-{next(NUMBERS)}", "code": CODE, **more}


# -- looking


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/v1/status", "/v1/events", "/v1/quarantine"])
def test_looking_is_free_on_loopback_and_every_answer_is_guarded(path: str, locked: GatewayProcess) -> None:
    answer = locked.ask("GET", path)
    assert answer.status == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "server" not in answer.headers


def test_status_tells_everything_a_technician_asks(locked: GatewayProcess) -> None:
    locked.ask("POST", "/v1/scans", scan(), token="token-of-hh-7")
    found = locked.ask("GET", "/v1/status").json
    assert found["ready"] is True
    assert {one["id"]: one["state"] for one in found["devices"]}["hh-7"] == "heard"
    (upstream,) = found["upstreams"]
    terms = ("delivered", "pending", "quarantined", "discarded", "skipped", "lost")
    assert upstream["accepted"] == sum(upstream[term] for term in terms) > 0
    assert upstream["imbalance"] == 0
    assert found["storage"]["bytes_used"] > 0


def test_every_metric_is_documented_and_every_documented_one_exists(locked: GatewayProcess) -> None:
    body = locked.ask("GET", "/metrics").body.decode()
    told = dict(re.findall(r"^# TYPE (\S+) (\S+)$", body, re.MULTILINE))
    told["dockline_autonomy_seconds"] = "gauge"  # absent while nothing comes in
    page = (ROOT / "docs" / "metrics.md").read_text()
    documented = dict(re.findall(r"^\| `(dockline_\w+)` \| (\w+) \|", page, re.MULTILINE))
    assert {name: kind for name, kind in told.items() if not name.endswith("_created")} == documented
    assert CODE[3:] not in body


@pytest.mark.parametrize("digits", [19, 20, 5000])
def test_a_number_that_can_be_no_sequence_is_answered_in_words(digits: int, lab: GatewayProcess) -> None:
    """SQLite holds 63 bits and Python reads 4300 digits; neither is the business of whoever asks."""
    number = "9" * digits
    assert lab.ask("GET", f"/v1/events/{number}").status == 404
    assert lab.ask("GET", f"/v1/quarantine/centre/{number}").status == 422
    assert "trace=" not in lab.log()


def test_events_are_listed_and_found(lab: GatewayProcess) -> None:
    (event,) = lab.ask("POST", "/v1/scans", scan(device="hh-1")).json["events"]
    found = lab.ask("GET", f"/v1/events/{event}").json
    assert found["event"]["id"] == event
    assert found["event"]["sequence"] == f"{found['seq']:020d}"
    assert lab.ask("GET", f"/v1/events/{found['seq']}").json == found
    listed = lab.ask("GET", "/v1/events?type=pick&device=hh-1&limit=1").json["events"]
    assert [one["event"]["id"] for one in listed] == [event]
    assert lab.ask("GET", "/v1/events/nowhere").status == 404


@pytest.mark.parametrize("query", ["limit=x", "limit=-1", "limit=1001", "from=yesterday", "from=2026-01-01", "after=x"])
def test_a_query_that_makes_no_sense_is_refused(query: str, lab: GatewayProcess) -> None:
    answer = lab.ask("GET", f"/v1/events?{query}")
    assert (answer.status, answer.json["error"]["code"]) == (422, "wrong_value")


def test_a_tail_hears_the_next_event(lab: GatewayProcess) -> None:
    connection = lab.connect()
    connection.request("GET", "/v1/events/tail")
    answer = connection.getresponse()
    assert answer.getheader("content-type", "").startswith("text/event-stream")
    (event,) = lab.ask("POST", "/v1/scans", scan(device="hh-2")).json["events"]
    while not (line := answer.readline()).startswith(b"data:"):
        assert line
    assert json.loads(line[5:])["event"]["id"] == event
    connection.close()


# -- scans


def test_a_scan_is_answered_after_it_is_on_disk(lab: GatewayProcess) -> None:
    answer = lab.ask("POST", "/v1/scans", scan(device="hh-1"))
    assert (answer.status, answer.json["result"]) == (200, "stored")
    assert lab.ask("GET", f"/v1/events/{answer.json['events'][0]}").status == 200


def test_a_recorded_request_played_again_makes_no_new_event(lab: GatewayProcess) -> None:
    body = scan(device="hh-1")
    first = lab.ask("POST", "/v1/scans", body).json
    head = lab.ask("GET", "/v1/status").json["storage"]["head_seq"]
    for _ in range(3):
        again = lab.ask("POST", "/v1/scans", body).json
        assert (again["events"], again["redelivered"]) == (first["events"], True)
    assert lab.ask("GET", "/v1/status").json["storage"]["head_seq"] == head


def test_an_array_is_answered_with_an_array(lab: GatewayProcess) -> None:
    answer = lab.ask("POST", "/v1/scans", [scan(device="hh-1"), scan(device="hh-1")])
    assert [one["result"] for one in answer.json] == ["stored", "stored"]


def test_what_is_not_understood_is_stored_and_says_so(locked: GatewayProcess) -> None:
    answer = locked.ask("POST", "/v1/scans", b'{"code": 5', token="token-of-hh-7")
    assert (answer.status, answer.json["result"]) == (200, "stored_with_exception")
    event = locked.ask("GET", f"/v1/events/{answer.json['events'][0]}").json["event"]
    assert event["type"] == "dockline.unrecognised.v1"


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [(None, 401, "token_required"), ("wrong", 401, "token_unknown"), ("token-of-tina", 403, "role_too_low")],
)
def test_a_scan_needs_the_token_of_a_device(token: str | None, status: int, code: str, locked: GatewayProcess) -> None:
    answer = locked.ask("POST", "/v1/scans", scan(), token=token)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)


def test_the_device_is_the_one_of_the_token_whatever_the_body_says(locked: GatewayProcess) -> None:
    (event,) = locked.ask("POST", "/v1/scans", scan(device="hh-8"), token="token-of-hh-7").json["events"]
    found = locked.ask("GET", f"/v1/events/{event}").json
    assert found["event"]["data"]["device"]["id"] == "hh-7"


def test_a_device_that_is_not_configured_is_refused(lab: GatewayProcess) -> None:
    answer = lab.ask("POST", "/v1/scans", scan(device="stranger"))
    assert (answer.status, answer.json["result"]) == (403, "refused")


@pytest.mark.parametrize("body", [b"[]", b"5", b"{", b'{"device": "A B"}', b'{"device": 5}', b"[5]"])
def test_in_the_lab_a_body_names_its_device(body: bytes, lab: GatewayProcess) -> None:
    answer = lab.ask("POST", "/v1/scans", body)
    assert (answer.status, answer.json["error"]["code"]) == (400, "device_missing")


# -- readers


TAG = {"data": {"idHex": "3034257BF7194E4000001A85"}, "timestamp": "2026-11-21T08:00:00.000+0000", "type": "CUSTOM"}


def test_a_reader_posts_its_own_json(locked: GatewayProcess) -> None:
    answer = locked.ask("POST", "/v1/readers/portal-1/tags", [TAG, TAG], token="token-of-portal")
    assert (answer.status, answer.json) == (200, {"readings": 2, "refused": 0})
    listed = locked.ask("GET", "/v1/events?device=portal-1").json["events"]
    assert len([one for one in listed if "epc" in json.dumps(one)]) == 1, "the second read is a repeat read"


def test_a_reader_speaks_for_itself_only(locked: GatewayProcess) -> None:
    answer = locked.ask("POST", "/v1/readers/portal-1/tags", TAG, token="token-of-hh-7")
    assert (answer.status, answer.json["error"]["code"]) == (403, "other_device")
    answer = locked.ask("POST", "/v1/readers/hh-7/tags", TAG, token="token-of-hh-7")
    assert (answer.status, answer.json["error"]["code"]) == (403, "not_a_reader")


# -- hostile requests


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8470", "127.0.0.1.evil.example", "evil.example@127.0.0.1", "127.0.0.1/x", ""],
)
def test_a_name_that_is_not_ours_is_refused(host: str, lab: GatewayProcess) -> None:
    """DNS rebinding: a page's own name leads to loopback."""
    assert lab.ask("GET", "/v1/status", Host=host).status == 421


def test_our_own_names_are_taken(lab: GatewayProcess) -> None:
    port = lab.addresses()["api"].rpartition(":")[2]
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", "LOCALHOST"):
        assert lab.ask("GET", "/healthz", Host=host).status == 200


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}],
    ids=lambda headers: next(iter(headers.values())),
)
def test_a_page_of_somebody_else_can_do_nothing(headers: dict[str, str], lab: GatewayProcess) -> None:
    answer = lab.ask("POST", "/v1/scans", scan(device="hh-1"), **headers)
    assert (answer.status, answer.json["error"]["code"]) == (403, "foreign_origin")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_form_is_no_scan(kind: str, lab: GatewayProcess) -> None:
    answer = lab.ask("POST", "/v1/scans", scan(device="hh-1"), Content_Type=kind)
    assert (answer.status, answer.json["error"]["code"]) == (415, "content_type")


def test_a_packed_body_is_not_unpacked(lab: GatewayProcess) -> None:
    """A zip bomb stays in its box."""
    bomb = gzip.compress(b"0" * 1_000_000)
    answer = lab.ask("POST", "/v1/scans", bomb, Content_Encoding="gzip", Content_Type="application/json")
    assert answer.status == 415


@pytest.mark.parametrize(("size", "status"), [(4095, 200), (4096, 200), (4097, 413)])
def test_a_body_is_bounded(size: int, status: int, lab: GatewayProcess) -> None:
    body = json.dumps(scan(device="hh-1")).encode()
    assert lab.ask("POST", "/v1/scans", body + b" " * (size - len(body))).status == status


def test_a_body_in_chunks_is_bounded_too(lab: GatewayProcess) -> None:
    connection = lab.connect()
    connection.putrequest("POST", "/v1/scans")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    with contextlib.suppress(OSError):
        for _ in range(100):
            connection.send(b"400\r\n" + b" " * 1024 + b"\r\n")
    assert connection.getresponse().status == 413
    connection.close()


def test_headers_are_bounded(lab: GatewayProcess) -> None:
    answer = lab.ask("GET", "/healthz", X_Long="x" * 15_000)
    assert answer.status == 200
    assert lab.ask("GET", "/healthz", X_Long="x" * 70_000).status in (400, 431)


@pytest.mark.parametrize("body", [b"[" * 2000, b'{"id":' * 600, b'{"id": "\xff", "code": "x"}', b"\x00" * 100, b""])
def test_bodies_made_to_break_parsers_break_nothing(body: bytes, locked: GatewayProcess) -> None:
    answer = locked.ask("POST", "/v1/scans", body, token="token-of-hh-8")
    assert answer.status == 200
    assert answer.json["result"] == "stored_with_exception"


@pytest.mark.fault(43)
def test_silent_connections_do_not_lock_a_handheld_out(locked: GatewayProcess) -> None:
    """Twice as many sockets as there are places, and none of them says a word."""
    host, _, port = locked.addresses()["api"].rpartition(":")
    crowd = [socket.create_connection((host, int(port))) for _ in range(120)]
    try:
        began = time.monotonic()
        for _ in range(5):
            assert locked.ask("POST", "/v1/scans", scan(), token="token-of-hh-7").status == 200
        assert time.monotonic() - began < 10
    finally:
        for one in crowd:
            one.close()


def test_slow_heads_do_not_lock_a_handheld_out(locked: GatewayProcess) -> None:
    """Slow loris: each socket sends half a request and waits."""
    host, _, port = locked.addresses()["api"].rpartition(":")
    crowd = [socket.create_connection((host, int(port))) for _ in range(80)]
    try:
        for one in crowd:
            with contextlib.suppress(OSError):
                one.sendall(b"POST /v1/scans HTTP/1.1\r\nHost: localhost\r\nX-")
        assert locked.ask("POST", "/v1/scans", scan(), token="token-of-hh-7").status == 200
    finally:
        for one in crowd:
            one.close()


def test_slow_sign_ins_do_not_lock_a_handheld_out(locked: GatewayProcess) -> None:
    """Whoever signs in shows a token in the body: until it is whole, the request is one of a stranger."""
    host, _, port = locked.addresses()["api"].rpartition(":")
    more = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n{"
    crowd = [socket.create_connection((host, int(port))) for _ in range(80)]
    try:
        for one in crowd:
            with contextlib.suppress(OSError):
                one.sendall(f"POST /v1/session HTTP/1.1\r\n{more}".encode())
        for _ in range(5):
            assert locked.ask("POST", "/v1/scans", scan(), token="token-of-hh-7").status == 200
        assert locked.ask("POST", "/v1/session", {"token": "token-of-otto"}).status == 200
    finally:
        for one in crowd:
            one.close()


SLOW_BODY = "\r\n".join(
    ["POST /v1/scans HTTP/1.1", "Host: localhost", "Authorization: Bearer token-of-hh-8",
     "Content-Type: application/json", "Content-Length: 6000", "", "{"]
).encode()  # fmt: skip


def test_slow_bodies_of_one_device_do_not_lock_the_others_out(locked: GatewayProcess) -> None:
    """It has a token, so its bodies may take their time; but not in all places at once."""
    host, _, port = locked.addresses()["api"].rpartition(":")
    crowd = [socket.create_connection((host, int(port)), timeout=60) for _ in range(80)]
    try:
        for one in crowd:
            with contextlib.suppress(OSError):
                one.sendall(SLOW_BODY)
        for _ in range(5):
            assert locked.ask("POST", "/v1/scans", scan(), token="token-of-hh-7").status == 200
    finally:
        for one in crowd:
            one.close()


def test_a_device_with_many_requests_under_way_is_told_to_wait(locked: GatewayProcess) -> None:
    host, _, port = locked.addresses()["api"].rpartition(":")

    def ask() -> Answer:
        return locked.ask("POST", "/v1/scans", scan(), token="token-of-hh-8")

    until(lambda: ask().status == 200, "whatever was before is over")
    crowd = [socket.create_connection((host, int(port)), timeout=60) for _ in range(UNDER_WAY_MAX)]
    try:
        for one in crowd:
            one.sendall(SLOW_BODY)
        until(lambda: ask().status == 429, "all of them are under way")
        answer = ask()
        assert (answer.json["error"]["code"], answer.headers["retry-after"]) == ("too_many_at_once", "5")
        assert locked.ask("POST", "/v1/scans", scan(), token="token-of-hh-7").status == 200
    finally:
        for one in crowd:
            one.close()
    until(lambda: ask().status == 200, "they are gone")


def raw(daemon: GatewayProcess, *lines: str) -> bytes:
    """Send lines as they are, and return all that comes until the gateway hangs up."""
    host, _, port = daemon.addresses()["api"].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as wire, wire.makefile("rb") as answers:
        wire.sendall("\r\n".join(lines).encode())
        return answers.read()


@pytest.mark.parametrize(
    "header",
    ["Authorization: Bearer token-of-vera", "Origin: http://127.0.0.1", "Content-Type: text/plain",
     "Sec-Fetch-Site: same-origin", "Transfer-Encoding: chunked"],
)  # fmt: skip
def test_a_request_that_two_readers_may_read_as_two_is_refused_and_ends_the_connection(
    header: str, locked: GatewayProcess
) -> None:
    name = header.partition(":")[0]
    first = {"Authorization": "Bearer token-of-hh-7", "Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    lines = [header] if name == "Transfer-Encoding" else [f"{name}: {first.get(name, 'application/json')}", header]
    hidden = "GET /v1/status HTTP/1.1\r\nHost: localhost\r\n"
    answer = raw(locked, "POST /v1/scans HTTP/1.1", "Host: localhost", *lines, "Content-Length: 5", "", "0", "", hidden)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 400 ") and b'"ambiguous"' in answer


@pytest.mark.parametrize("origin", ["http://[::1", "http://[", "//[x", "\\\\"])
def test_an_origin_that_is_none_is_a_foreign_one(origin: str, lab: GatewayProcess) -> None:
    answer = lab.ask("POST", "/v1/scans", scan(), Origin=origin)
    assert (answer.status, answer.json["error"]["code"]) == (403, "foreign_origin")


@pytest.mark.parametrize("path", ["/v1/../etc/passwd", "/%2e%2e/x", "/v1/events/..%2f..", "//evil", "/v1/scans/", "/x"])
def test_paths_lead_nowhere_else(path: str, lab: GatewayProcess) -> None:
    answer = lab.ask("GET", path)
    assert answer.status in (404, 405)
    assert b"Traceback" not in answer.body


def test_a_code_with_markup_stays_text(lab: GatewayProcess) -> None:
    code = "<script>alert(1)</script>\u202e\x1b[31m"
    (event,) = lab.ask("POST", "/v1/scans", scan(device="hh-1", code=code)).json["events"]
    answer = lab.ask("GET", f"/v1/events/{event}")
    assert answer.headers["content-type"] == "application/json"
    assert lab.log().count("\x1b") == 0
    assert b"\x1b" not in answer.body


# -- actions


@pytest.mark.parametrize(
    ("action", "token", "status"),
    [
        ("retry", None, 401),
        ("retry", "token-of-hh-7", 403),
        ("retry", "token-of-vera", 403),
        ("retry", "token-of-otto", 409),
        ("discard", "token-of-otto", 403),
        ("discard", "token-of-tina", 409),
    ],
)
def test_an_action_needs_its_role(action: str, token: str | None, status: int, locked: GatewayProcess) -> None:
    """409: whoever may act is told that this event is not in quarantine."""
    locked.ask("POST", "/v1/scans", scan(), token="token-of-hh-7")
    answer = locked.ask("POST", f"/v1/quarantine/centre/{action}", {"seqs": [1], "reason": "test"}, token=token)
    assert answer.status == status, answer.body


@pytest.mark.parametrize(
    "body",
    [{}, {"seqs": [1]}, {"seqs": [], "reason": "x"}, {"seqs": [1], "reason": " "}, {"seqs": [True], "reason": "x"},
     {"seqs": ["1"], "reason": "x"}, {"seqs": [1], "reason": "x", "more": 1}, [1], {"seqs": [-1], "reason": "x"}],
)  # fmt: skip
def test_an_action_without_a_reason_is_refused(body: Any, locked: GatewayProcess) -> None:
    answer = locked.ask("POST", "/v1/quarantine/centre/discard", body, token="token-of-tina")
    assert answer.status == 422


@pytest.mark.parametrize(
    ("path", "more"),
    [("/v1/backup", {}), ("/v1/replay", {"upstream": "centre"}), ("/v1/replay", {"dry_run": True, "type": "\ud800"}),
     ("/v1/upstreams/centre/rewind", {"to": 0}), ("/v1/session", None)],
)  # fmt: skip
def test_half_a_character_is_no_text(path: str, more: dict[str, Any] | None, lab: GatewayProcess) -> None:
    """JSON can say it (a lone surrogate), and nothing behind the API can hold it."""
    body = {"token": "\ud800"} if more is None else {"reason": "as \ud800 said", **more}
    answer = lab.ask("POST", path, body)
    assert (answer.status, answer.json["error"]["code"]) == (422, "wrong_value")


def test_no_answer_ever_held_a_traceback(lab: GatewayProcess, locked: GatewayProcess) -> None:
    assert "Traceback" not in lab.log()
    assert "Traceback" not in locked.log()
    assert "trace=" not in lab.log() + locked.log()
