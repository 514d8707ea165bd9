"""Who may do what: over the local socket as the kernel says, in a browser by a session; and what another page gets."""

import json
import pwd
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_process import CONFIG, Answer, GatewayProcess, gateway

from gateway.web.auth import new_token

STRICT = CONFIG.replace('[api]\nbind = "127.0.0.1:0"\nunauthenticated = "accept-in-lab"', '[api]\nbind = "127.0.0.1:0"')
STRICT = STRICT.replace('[mqtt.listener]\nbind = "127.0.0.1:0"\nunauthenticated = "accept-in-lab"\n', "")
ASK = """
import http.client, json, os, socket, sys
path, uid, gid, groups, method, target, body = json.loads(sys.argv[1])
os.setgroups(groups); os.setgid(gid); os.setuid(uid)
connection = http.client.HTTPConnection("localhost", timeout=30)
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect(path)
connection.request(method, target, body, {"Content-Type": "application/json", "Dockline-User": "somebody-else"})
print(connection.getresponse().status)
"""
"""A request over the local socket as another user."""


@pytest.fixture(scope="module")
def tokens() -> dict[str, tuple[str, str]]:
    return {role: new_token() for role in ("viewer", "operator", "technician", "admin")}


@pytest.fixture(scope="module")
def strict(tokens: dict[str, tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with a token for each role, and a local socket that every user of this computer may come to."""
    folder = tmp_path_factory.mktemp("roles")
    file = folder / "tokens.toml"
    file.write_text("".join(f'[[token]]\nname = "{role}"\nsha256 = "{digest}"\nrole = "{role}"\n'
                            for role, (_, digest) in tokens.items()))  # fmt: skip
    file.chmod(0o600)
    config = STRICT + f'tokens_file = "{file}"\noperators_group = "games"\n'
    with tempfile.TemporaryDirectory(prefix="dockline-") as runtime, gateway(folder, config) as daemon:
        Path(runtime).chmod(0o755)  # as systemd makes it; pytest's own folders let nobody in
        daemon.start(RUNTIME_DIRECTORY=runtime)
        yield daemon


def as_user(daemon: GatewayProcess, uid: int, groups: list[int], method: str, target: str, body: str = "") -> int:
    """Return the status a user of this computer gets over the local socket."""
    words = [str(daemon.addresses()["socket"]), uid, 65534, groups, method, target, body]
    done = subprocess.run([sys.executable, "-c", ASK, json.dumps(words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_any_user_may_look_and_none_may_act_without_a_group(strict: GatewayProcess) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    assert as_user(strict, nobody, [], "GET", "/v1/status") == 200
    assert as_user(strict, nobody, [], "POST", "/v1/backup", '{"reason": "curious"}') == 403
    assert as_user(strict, 0, [], "POST", "/v1/backup", '{"reason": "mine"}') == 200


def test_a_group_gives_its_role_by_what_the_system_says_and_not_by_what_the_process_claims(
    strict: GatewayProcess,
) -> None:
    """User games is in group games; a process that merely has the group's number in its list is not."""
    games = pwd.getpwnam("games")
    retry = ("POST", "/v1/quarantine/centre/retry", '{"seqs": [1], "reason": "try"}')
    assert as_user(strict, games.pw_uid, [], *retry) == 409, "allowed, and nothing is in quarantine"
    assert as_user(strict, games.pw_uid, [], "POST", "/v1/quarantine/centre/discard", retry[2]) == 403
    nobody = pwd.getpwnam("nobody").pw_uid
    assert as_user(strict, nobody, [games.pw_gid], *retry) == 403


def test_what_root_does_behind_sudo_is_audited_with_the_person(
    strict: GatewayProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "anna")
    assert strict.command("backup", str(tmp_path / "one")).returncode == 0
    records = json.loads(strict.command("audit", "list", "--json").stdout)
    assert [one["actor"] for one in records if one["action"] == "backup_taken"][-1] == "cli:anna"


def test_a_token_acts_under_its_own_name_whatever_it_is_called_and_says(tmp_path: Path) -> None:
    """Only root, and the command line with the daemon's own token, say for whom they act."""
    token, digest = new_token()
    file = tmp_path / "tokens.toml"
    file.write_text(f'[[token]]\nname = "cli"\nsha256 = "{digest}"\nrole = "admin"\n')
    file.chmod(0o600)
    with gateway(tmp_path / "one", STRICT + f'tokens_file = "{file}"\n') as daemon:
        daemon.start()
        for mine in (token, daemon.cli_token()):
            assert daemon.ask("POST", "/v1/backup", {"reason": "x"}, token=mine, Dockline_User="anna").status == 200
        records = json.loads(daemon.command("audit", "list", "--json").stdout)
    assert [one["actor"] for one in records if one["action"] == "backup_taken"] == ["cli", "cli:anna"]


def test_over_the_address_the_socket_is_no_way_in(strict: GatewayProcess) -> None:
    """A header cannot say who the peer is."""
    answer = strict.ask("POST", "/v1/backup", {"reason": "x"}, peer_uid="0", Dockline_User="root")
    assert answer.status == 401


@pytest.mark.parametrize(
    ("role", "retry", "discard", "backup"),
    [("viewer", 403, 403, 403), ("operator", 409, 403, 403), ("technician", 409, 409, 403), ("admin", 409, 409, 200)],
)
def test_the_ladder_of_roles(
    strict: GatewayProcess, tokens: dict[str, tuple[str, str]], role: str, retry: int, discard: int, backup: int
) -> None:
    token, act = tokens[role][0], {"seqs": [1], "reason": "try"}
    assert strict.ask("GET", "/v1/status", token=token).status == 200
    assert strict.ask("POST", "/v1/quarantine/centre/retry", act, token=token).status == retry
    assert strict.ask("POST", "/v1/quarantine/centre/discard", act, token=token).status == discard
    assert strict.ask("POST", "/v1/backup", {"reason": "try"}, token=token).status == backup


def sign_in(daemon: GatewayProcess, token: str) -> tuple[str, str, str]:
    """Return the cookie, the word, and all of the Set-Cookie header."""
    answer = daemon.ask("POST", "/v1/session", {"token": token})
    assert answer.status == 200, answer.body
    header = answer.headers["set-cookie"]
    return header.partition(";")[0], answer.json["csrf"], header


def act(daemon: GatewayProcess, **headers: str) -> Answer:
    return daemon.ask("POST", "/v1/quarantine/centre/retry", {"seqs": [1], "reason": "try"}, **headers)


def test_a_session_acts_with_its_word_and_not_without(
    strict: GatewayProcess, tokens: dict[str, tuple[str, str]]
) -> None:
    """What another page makes the browser send bears the cookie, and cannot bear the word."""
    cookie, word, header = sign_in(strict, tokens["operator"][0])
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip().lower() for part in header.split(";")}
    told = strict.ask("GET", "/v1/session", Cookie=cookie)
    assert told.json == {"name": "operator", "role": "operator", "csrf": word}
    assert act(strict, Cookie=cookie, Dockline_CSRF=word).status == 409
    for forged in ({}, {"Dockline_CSRF": "guess"}, {"Dockline_CSRF": word[:-1]}):
        answer = act(strict, Cookie=cookie, **forged)
        assert (answer.status, answer.json["error"]["code"]) == (403, "word_missing")


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"},
     {"Sec_Fetch_Site": "same-site"}],
)  # fmt: skip
def test_even_with_the_word_another_page_is_refused(
    strict: GatewayProcess, tokens: dict[str, tuple[str, str]], headers: dict[str, str]
) -> None:
    cookie, word, _ = sign_in(strict, tokens["operator"][0])
    answer = act(strict, Cookie=cookie, Dockline_CSRF=word, **headers)
    assert (answer.status, answer.json["error"]["code"]) == (403, "foreign_origin")


def test_a_page_of_somebody_else_cannot_sign_a_browser_in(
    strict: GatewayProcess, tokens: dict[str, tuple[str, str]]
) -> None:
    """Signed in as the attacker, a victim would act under another's name."""
    body = {"token": tokens["operator"][0]}
    assert strict.ask("POST", "/v1/session", body, Origin="http://evil.example").status == 403
    form = strict.ask("POST", "/v1/session", json.dumps(body).encode(), Content_Type="text/plain")
    assert form.status == 415


def test_a_session_ends_when_it_is_signed_out(strict: GatewayProcess, tokens: dict[str, tuple[str, str]]) -> None:
    cookie, word, _ = sign_in(strict, tokens["operator"][0])
    assert strict.ask("DELETE", "/v1/session", Cookie=cookie, Dockline_CSRF=word).status == 204
    assert act(strict, Cookie=cookie, Dockline_CSRF=word).status == 401


def test_a_wrong_token_opens_nothing_and_is_not_repeated(strict: GatewayProcess) -> None:
    answer = strict.ask("POST", "/v1/session", {"token": "dkl_guess-guess-guess"})
    assert answer.status == 401 and "set-cookie" not in answer.headers
    assert b"guess-guess" not in answer.body and "guess-guess" not in strict.log()


def test_the_socket_is_gone_with_the_daemon_and_a_left_over_one_is_no_obstacle(tmp_path: Path) -> None:
    with gateway(tmp_path / "one", STRICT) as daemon:
        daemon.start()
        path = Path(str(daemon.addresses()["socket"]))
        daemon.signal(signal.SIGKILL)
        daemon.wait()
        assert path.is_socket()
        daemon.start()
        assert daemon.command("status").returncode in {0, 1}
        assert daemon.stop() == 0
        assert not path.exists()
