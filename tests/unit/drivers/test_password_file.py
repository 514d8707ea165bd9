"""The users file: the format of mosquitto_passwd, read again when it changes, hostile input refused by line."""

import os
import subprocess
from pathlib import Path

import pytest

from drivers import password_file
from drivers.password_file import (
    ITERATIONS,
    PasswordFile,
    PasswordFileError,
    StoredPassword,
    parse_password_file,
    password_line,
)


def mosquitto_passwd(file: Path, user: str, password: str, *options: str) -> None:
    """Write a user as a technician would."""
    if not file.exists():
        file.touch(0o640)
    subprocess.run(["mosquitto_passwd", *options, "-b", str(file), user, password], check=True, capture_output=True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "devices.passwd"


def test_what_mosquitto_passwd_writes_is_understood(file: Path) -> None:
    """Both kinds of hash, in one file, by the real program."""
    mosquitto_passwd(file, "hh-7", "right")
    mosquitto_passwd(file, "hh-8", "also right", "-H", "sha512")
    mosquitto_passwd(file, "hh-9", "slow", "-I", "5000")
    assert [line.split("$")[1] for line in file.read_text().splitlines()] == ["7", "6", "7"]
    passwords = PasswordFile(file)
    assert passwords.verify("hh-7", b"right")
    assert passwords.verify("hh-8", b"also right")
    assert passwords.verify("hh-9", b"slow")
    for user, password in (
        ("hh-7", b"wrong"),
        ("hh-7", b""),
        ("hh-7", b"also right"),
        ("hh-8", b"right"),
        ("x", b"right"),
    ):
        assert not passwords.verify(user, password)


def test_a_changed_file_counts_at_once(file: Path) -> None:
    """A handheld is stolen: its line goes, and its password with it, without a restart."""
    mosquitto_passwd(file, "hh-7", "old")
    passwords = PasswordFile(file)
    assert passwords.verify("hh-7", b"old")
    mosquitto_passwd(file, "hh-7", "new")
    assert not passwords.verify("hh-7", b"old")
    assert passwords.verify("hh-7", b"new")
    subprocess.run(["mosquitto_passwd", "-D", str(file), "hh-7"], check=True, capture_output=True)
    assert not passwords.verify("hh-7", b"new")
    assert passwords.users() == {}


def test_a_password_is_derived_once_and_a_wrong_one_every_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand handhelds come back after a power cut; guessing stays dear."""
    mosquitto_passwd(file, "hh-7", "right")
    derived: list[bytes] = []
    matches = StoredPassword.matches

    def counting(stored: StoredPassword, password: bytes) -> bool:
        derived.append(password)
        return matches(stored, password)

    monkeypatch.setattr(StoredPassword, "matches", counting)
    passwords = PasswordFile(file)
    for password in (b"right", b"right", b"wrong", b"wrong", b"right"):
        assert passwords.verify("hh-7", password) is (password == b"right")
    assert derived == [b"right", b"wrong", b"wrong"]


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Iterations of each derivation; every one of them matches."""
    found: list[int] = []
    monkeypatch.setattr(StoredPassword, "matches", lambda stored, _: found.append(stored.iterations) or True)
    return found


def test_an_unknown_user_costs_a_derivation_too(file: Path, costs: list[int]) -> None:
    """Or the time of the answer says which devices exist."""
    mosquitto_passwd(file, "hh-7", "right")
    passwords = PasswordFile(file)
    assert not passwords.verify("hh-8", b"guess")
    assert passwords.verify("hh-7", b"guess")
    assert costs[0] == costs[1] > 0


def test_an_unknown_user_costs_what_the_lines_we_write_cost(file: Path, costs: list[int]) -> None:
    file.write_text(password_line("hh-7", b"right"))
    assert not PasswordFile(file).verify("hh-8", b"guess")
    assert costs == [ITERATIONS]


def test_among_users_of_several_costs_an_unknown_one_is_like_any_of_them_and_stays_so(
    file: Path, costs: list[int]
) -> None:
    file.write_text(password_line("hh-7", b"right"))
    mosquitto_passwd(file, "hh-8", "right", "-I", "101")
    passwords = PasswordFile(file)
    names = [f"guess-{number}" for number in range(100)]
    for _ in range(2):
        assert not any(passwords.verify(name, b"guess") for name in names)
    assert costs[:100] == costs[100:]
    assert set(costs) == {101, ITERATIONS}


def test_what_was_proven_is_bounded(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(password_file, "PROVEN_MAX", 2)
    passwords = PasswordFile(file)
    for number in range(5):
        mosquitto_passwd(file, f"hh-{number}", "right")
        assert passwords.verify(f"hh-{number}", b"right")
        assert len(passwords._proven) <= 2


def test_a_password_of_a_megabyte_is_not_even_hashed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mosquitto_passwd(file, "hh-7", "right")
    monkeypatch.setattr(StoredPassword, "matches", lambda *_: pytest.fail("derived"))
    assert not PasswordFile(file).verify("hh-7", b"x" * 1_000_000)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("hh-7\n", "line 1: not `user:hash`"),
        ("# fine\n\nhh-7:plain\n", "line 3: a kind of hash this gateway does not know"),
        ("hh-7:$8$x$y\n", "line 1: a kind of hash"),
        ("hh-7:$argon2id$v=19$m=47104,t=1,p=1$c2FsdA$aGFzaA\n", "line 1: a kind of hash"),
        ("hh-7:$7$0$c2FsdA==$aGFzaA==\n", "line 1: iterations"),
        ("hh-7:$7$-5$c2FsdA==$aGFzaA==\n", "line 1: iterations"),
        ("hh-7:$7$99999999999$c2FsdA==$aGFzaA==\n", "line 1: iterations"),
        ("hh-7:$7$101$not base64$aGFzaA==\n", "line 1: not base64"),
        ("hh-7:$6$c2FsdA==$\n", "line 1: not base64"),
        ("hh-7:$6$c2FsdA==$aGFzaA==\nhh-7:$6$c2FsdA==$aGFzaA==\n", 'line 2: user "hh-7" stands here twice'),
    ],
)
def test_a_line_that_is_wrong_is_named(text: str, complaint: str) -> None:
    with pytest.raises(PasswordFileError) as caught:
        parse_password_file(text)
    assert complaint in str(caught.value)


def test_a_file_that_cannot_be_used_says_which_and_what_to_do(file: Path) -> None:
    with pytest.raises(PasswordFileError, match=r"devices\.passwd"):
        PasswordFile(file).users()
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(PasswordFileError, match=r"devices\.passwd"):
        PasswordFile(file).users()


def test_a_file_that_everybody_may_write_is_refused(file: Path) -> None:
    """Anyone with a shell could add a device."""
    mosquitto_passwd(file, "hh-7", "right")
    file.chmod(0o646)
    with pytest.raises(PasswordFileError) as caught:
        PasswordFile(file).users()
    assert caught.value.hint == f"chmod o-w {file}"


def test_a_broken_change_refuses_and_a_repaired_one_works_again(file: Path) -> None:
    mosquitto_passwd(file, "hh-7", "right")
    passwords = PasswordFile(file)
    assert passwords.verify("hh-7", b"right")
    good = file.read_bytes()
    file.write_text("oops\n")
    with pytest.raises(PasswordFileError):
        passwords.verify("hh-7", b"right")
    file.write_bytes(good)
    os.utime(file)
    assert passwords.verify("hh-7", b"right")
