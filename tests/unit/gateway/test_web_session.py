"""A session lasts as long as somebody uses it and its token is valid, and no longer."""

import hashlib
from pathlib import Path

import pytest

from gateway import log
from gateway.web.auth import Caller, Tokens
from gateway.web.session import AGE_S, IDLE_S, SESSIONS_MAX, Sessions, cookie_of, repeats_word


def entry(name: str, role: str, device: str | None = None) -> str:
    digest = hashlib.sha256(f"token-of-{name}".encode()).hexdigest()
    lines = f'[[token]]\nname = "{name}"\nsha256 = "{digest}"\nrole = "{role}"\n'
    return lines + (f'device = "{device}"\n' if device else "")


class Rig:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "tokens.toml"
        self.write(entry("ann", "operator") + entry("bob", "viewer") + entry("hh-7", "device", "hh-7"))
        self.now = 1000.0
        self.sessions = Sessions(Tokens(self.file), lambda: self.now)

    def write(self, text: str) -> None:
        self.file.write_text(text)
        self.file.chmod(0o600)

    def begin(self, name: str = "ann") -> str:
        begun = self.sessions.begin(f"token-of-{name}")
        assert begun is not None
        return begun[0]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_a_cookie_says_who_asks(rig: Rig) -> None:
    cookies = {name: rig.begin(name) for name in ("ann", "bob")}
    found = rig.sessions.find(cookies["ann"])
    assert found is not None and found[1] == Caller("ann", "operator")
    assert rig.sessions.find(cookies["ann"] + "x") is None
    assert rig.sessions.find("") is None


@pytest.mark.parametrize("token", ["", "token-of-nobody", "token-of-hh-7"])
def test_nobody_and_no_device_gets_a_session(rig: Rig, token: str) -> None:
    assert rig.sessions.begin(token) is None


def test_an_idle_session_ends_and_one_in_use_does_not(rig: Rig) -> None:
    idle, used = rig.begin(), rig.begin()
    rig.now += IDLE_S
    assert rig.sessions.find(used) is not None
    rig.now += 1
    assert rig.sessions.find(idle) is None
    assert rig.sessions.find(used) is not None


def test_no_session_lasts_for_ever(rig: Rig) -> None:
    cookie = rig.begin()
    began = rig.now
    while rig.now - began <= AGE_S:
        assert rig.sessions.find(cookie) is not None
        rig.now += IDLE_S
    assert rig.sessions.find(cookie) is None


def test_a_token_that_is_withdrawn_ends_its_sessions_at_once(rig: Rig) -> None:
    cookie = rig.begin()
    rig.write(entry("bob", "viewer"))
    assert rig.sessions.find(cookie) is None


def test_a_role_that_changes_changes_in_the_session(rig: Rig) -> None:
    cookie = rig.begin()
    rig.write(entry("ann", "technician"))
    found = rig.sessions.find(cookie)
    assert found is not None and found[1].role == "technician"


def test_a_session_that_was_ended_is_over(rig: Rig) -> None:
    cookie = rig.begin()
    rig.sessions.end(cookie)
    rig.sessions.end("never was")
    assert rig.sessions.find(cookie) is None


def test_at_the_limit_the_one_that_was_idle_for_longest_ends(rig: Rig) -> None:
    cookies = []
    for _ in range(SESSIONS_MAX):
        rig.now += 1
        cookies.append(rig.begin())
    assert rig.sessions.find(cookies[0]) is not None
    rig.now += 1
    rig.sessions.find(cookies[0])
    newest = rig.begin()
    assert rig.sessions.find(cookies[1]) is None
    assert rig.sessions.find(cookies[0]) is not None and rig.sessions.find(newest) is not None


def test_the_log_looks_for_cookies_that_open_something_and_no_others(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever signs in again and again must not make every line of the log dear for good."""
    monkeypatch.setattr(log, "_secrets", set())
    cookie = rig.begin()
    assert cookie in log._secrets
    rig.sessions.end(cookie)
    assert not log._secrets
    for _ in range(3 * SESSIONS_MAX):
        rig.begin("bob")
    assert len(log._secrets) == SESSIONS_MAX
    rig.now += AGE_S + 1
    assert rig.sessions.find(rig.begin()) is not None
    assert len(log._secrets) == 1


def test_another_page_does_not_know_the_word(rig: Rig) -> None:
    found = rig.sessions.find(rig.begin())
    assert found is not None
    assert repeats_word(found[0], found[0].csrf)
    for wrong in (None, "", found[0].csrf[:-1], found[0].csrf + "x", "\u00e4"):
        assert not repeats_word(found[0], wrong)


@pytest.mark.parametrize("header", [None, "", "other=1", "dockline_session", ";;;=", "a" * 5000])
def test_a_cookie_header_without_ours_is_none(header: str | None) -> None:
    assert cookie_of(header) is None
    assert cookie_of("other=1; dockline_session=abc") == "abc"
