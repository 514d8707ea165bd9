"""What the page asks of a real daemon: its files, its stream, and what a person types in the place of a scanner."""

import hashlib
import json
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from daemon_process import BOUND_S, CONFIG, GatewayProcess, gateway, until

from gateway.web.stream import STREAMS_MAX
from gateway.web.tail import TAILS_MAX

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "gateway" / "web" / "page"
CODE = "09521234543213"
TOKENS = {"vera": "viewer", "otto": "operator"}
STATIONS = """
[[station]]
id = "dock-1"
activity = "receipt"

[[device]]
id = "dock-1-scanner"
station = "dock-1"
driver = "tcp-scanner"
url = "tcp://127.0.0.1:9"

[[station]]
id = "empty"
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("page")
    tokens = folder / "tokens.toml"
    tokens.write_text(
        "".join(
            f'[[token]]\nname = "{name}"\nsha256 = "{hashlib.sha256(name.encode()).hexdigest()}"\nrole = "{role}"\n'
            for name, role in TOKENS.items()
        )
    )
    tokens.chmod(0o600)
    api = f'[api]\nbind = "127.0.0.1:0"\ntokens_file = "{tokens}"\n'
    with gateway(folder, CONFIG[: CONFIG.index("[api]")] + api + STATIONS) as made:
        yield made.start()


@pytest.mark.parametrize("path", ["/", *(f"/page/{path.name}" for path in sorted(FOLDER.iterdir()))])
def test_every_file_of_the_page_is_served_under_a_strict_policy(path: str, daemon: GatewayProcess) -> None:
    answer = daemon.ask("GET", path)
    assert answer.status == 200
    file = FOLDER / (path.rpartition("/")[2] or "index.html")
    assert answer.body == file.read_bytes()
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';")
    assert "unsafe" not in policy and "*" not in policy and "http" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = daemon.ask("GET", path, If_None_Match=answer.headers["etag"])
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("path", ["/page/nothing.js", "/page/../app.py", "/page/%2e%2e%2fapp.py", "/page/"])
def test_nothing_else_is_served(path: str, daemon: GatewayProcess) -> None:
    assert daemon.ask("GET", path).status == 404


def test_the_page_asks_nobody_else_and_writes_no_markup() -> None:
    text = "\n".join(path.read_text() for path in FOLDER.iterdir())
    assert [word for word in ("https://", "innerHTML", "outerHTML =", "insertAdjacentHTML", "eval(", "document.write",
                              "style=", "onclick=\"") if word in text] == []  # fmt: skip
    addresses = {part.partition('"')[0] for part in text.split("http://")[1:]}
    assert addresses == {"www.w3.org/2000/svg"}, "the name of a vocabulary, not an address that is asked"


def test_a_file_of_the_page_fits_on_a_few_screens() -> None:
    assert {path.name: len(path.read_text().splitlines()) for path in FOLDER.iterdir()}.items() <= {
        (path.name, lines) for path in FOLDER.iterdir() if (lines := len(path.read_text().splitlines())) <= 400
    }


def enter(daemon: GatewayProcess, body: object, *, who: str | None = "otto", place: str = "dock-1") -> Any:
    return daemon.ask("POST", f"/v1/stations/{place}/scans", body, token=who)


def test_what_is_typed_is_stored_once_with_the_person_and_the_symbology_of_a_keyboard(daemon: GatewayProcess) -> None:
    """The answer is lost on the way, and whoever typed it presses the button again."""
    body = {"id": "e-1", "code": CODE, "quantity": "3"}
    first, again = enter(daemon, body).json, enter(daemon, body).json
    assert first["result"] == "stored"
    assert again == {**first, "redelivered": True}
    data = daemon.ask("GET", f"/v1/events/{first['events'][0]}").json["event"]["data"]
    assert data["evidence"] == {"raw": CODE, "symbology": "]Z0"}
    assert (data["operator"], data["item"], data["quantity"]["value"]) == ("otto", {"gtin": CODE}, "3")
    assert data["device"] == {"id": "dock-1-scanner", "message_id": "keyed/e-1"}
    (device,) = [one for one in daemon.ask("GET", "/v1/status").json["devices"] if one["id"] == "dock-1-scanner"]
    assert (device["readings"], device["state"]) == (0, "down"), "a broken scanner must not look alive"


@pytest.mark.parametrize(
    ("who", "place", "body", "status", "code"),
    [
        (None, "dock-1", {"id": "x", "code": CODE}, 401, "token_required"),
        ("vera", "dock-1", {"id": "x", "code": CODE}, 403, "role_too_low"),
        ("otto", "nowhere", {"id": "x", "code": CODE}, 404, "station_unknown"),
        ("otto", "empty", {"id": "x", "code": CODE}, 409, "no_device"),
        ("otto", "dock-1?device=hh-1", {"id": "x", "code": CODE}, 422, "wrong_value"),
        ("otto", "dock-1", [{"id": "x", "code": CODE}], 422, "wrong_value"),
        ("otto", "dock-1", {"code": CODE}, 422, "wrong_value"),
    ],
)
def test_who_may_not_or_says_too_little_is_told_so(
    who: str | None, place: str, body: object, status: int, code: str, daemon: GatewayProcess
) -> None:
    name, _, query = place.partition("?")
    answer = daemon.ask("POST", f"/v1/stations/{name}/scans{'?' + query if query else ''}", body, token=who)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)


def test_a_slip_of_the_finger_is_noticed(daemon: GatewayProcess) -> None:
    told = enter(daemon, {"id": "e-2", "code": CODE[:-1] + "9"}).json
    assert told["exceptions"][0]["code"] == "barcode_mismatch"


def messages(daemon: GatewayProcess) -> Iterator[dict[str, Any]]:
    """Yield what a page hears."""
    host, _, port = str(daemon.addresses()["api"]).rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(f"GET /v1/stream HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        heard = connection.makefile("rb")
        assert b" 200 " in heard.readline()
        for line in heard:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])


def test_a_page_hears_a_scan_soon_after_its_answer(daemon: GatewayProcess) -> None:
    heard = messages(daemon)
    whole = next(heard)
    assert {station["id"] for station in whole["stations"]} == {"floor", "dock-1", "empty"}
    assert whole["status"]["site"] == "dc07"
    event = enter(daemon, {"id": "e-3", "code": CODE}).json["events"][0]
    news = next(message for message in heard if "scans" in message)
    assert news["scans"][0]["events"] == [event]
    assert news["stations"][0]["last"]["keyed"] is True
    heard.close()  # type: ignore[attr-defined]


def test_a_reload_or_a_stop_does_not_wait_for_pages(daemon: GatewayProcess) -> None:
    heard = messages(daemon)
    next(heard)
    assert daemon.stop() == 0
    assert list(heard) is not None, "the stream ended in order"
    daemon.start()


def test_searching_and_the_day_and_a_device(daemon: GatewayProcess) -> None:
    enter(daemon, {"id": "e-4", "code": "NEEDLE-1", "document": "ASN-77"})
    for query in ("text=NEEDLE-1", "document=ASN-77"):
        found = daemon.ask("GET", f"/v1/events?{query}").json
        assert [one["event"]["data"]["evidence"]["raw"] for one in found["events"]] == ["NEEDLE-1"]
        assert found["next_before"] is None
    assert daemon.ask("GET", "/v1/events?document=ASN-7").json["events"] == [], "a document is named whole"
    assert daemon.ask("GET", "/v1/events?document=a&text=b").status == 422
    first = daemon.ask("GET", "/v1/events?limit=1").json
    second = daemon.ask("GET", f"/v1/events?limit=1&before={first['next_before']}").json
    assert second["events"][0]["seq"] == first["events"][0]["seq"] - 1
    day = daemon.ask("GET", "/v1/history?minutes=2").json
    assert sum(count or 0 for count in day["series"]["scans"]) >= 1
    told = daemon.ask("GET", "/v1/devices/dock-1-scanner").json
    assert told["lines"].startswith('[[device]]\nid = "dock-1-scanner"\nstation = "dock-1"\n')
    assert daemon.ask("GET", "/v1/devices/nobody").status == 404


@pytest.mark.parametrize(("path", "most"), [("/v1/stream", STREAMS_MAX), ("/v1/events/tail", TAILS_MAX)])
def test_streams_that_are_asked_for_at_once_are_bounded_as_well(path: str, most: int, daemon: GatewayProcess) -> None:
    """Whoever may look could hold all places of the API: a stream makes no room for a handheld."""
    host, _, port = daemon.addresses()["api"].rpartition(":")
    crowd = [socket.create_connection((host, int(port)), timeout=BOUND_S) for _ in range(most + 20)]
    for one in crowd:
        one.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    statuses = Counter(one.recv(12)[-3:] for one in crowd)
    for one in crowd:
        one.close()
    assert sum(statuses[status] for status in (b"200", b"503")) == len(crowd)
    assert 0 < statuses[b"200"] <= most, "fewer while one of another test is not gone yet"

    def is_free() -> bool:
        with socket.create_connection((host, int(port)), timeout=BOUND_S) as again:
            again.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            return again.recv(12)[-3:] == b"200"

    until(is_free, "who leaves gives the place back")
