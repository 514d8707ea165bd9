"""Tokens: who is asking, compared whole and in constant time, from a file that is read again when it changes."""

import hashlib
import hmac
from pathlib import Path

import pytest

from gateway.credentials import CredentialError
from gateway.web import auth
from gateway.web.auth import ANYBODY, LOCAL_READER, ROLES, Caller, Tokens, new_token, read_tokens


def entry(name: str, token: str, role: str = "operator", device: str | None = None) -> str:
    digest = hashlib.sha256(token.encode()).hexdigest()
    lines = f'[[token]]\nname = "{name}"\nsha256 = "{digest}"\nrole = "{role}"\n'
    return lines + (f'device = "{device}"\n' if device else "")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.toml"
    path.write_text(entry("ann", "token-of-ann") + entry("hh-7", "token-of-7", "device", "hh-7"))
    path.chmod(0o600)
    return path


def test_a_token_says_who_asks(file: Path) -> None:
    tokens = Tokens(file)
    assert tokens.find("token-of-ann") == Caller("ann", "operator")
    assert tokens.find("token-of-7") == Caller("hh-7", "device", "hh-7")
    assert tokens.find("token-of-nobody") is None
    assert tokens.find("") is None


def test_every_entry_is_compared_and_each_in_constant_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a refusal tells neither how much of a token was right nor where in the file it stands."""
    compared = []
    real = hmac.compare_digest

    def digest(first: str, second: str) -> bool:
        compared.append(first)
        return real(first, second)

    monkeypatch.setattr(auth.hmac, "compare_digest", digest)
    Tokens(file).find("token-of-ann")
    Tokens(file).find("nobody")
    assert len(compared) == 4


def test_a_changed_file_counts_at_once_and_half_a_file_locks_nobody_out(file: Path) -> None:
    tokens = Tokens(file)
    file.write_text(entry("bob", "token-of-bob"))
    assert tokens.find("token-of-bob") is not None
    assert tokens.find("token-of-ann") is None
    file.write_text("[[token]\n")
    assert tokens.find("token-of-bob") is not None


def test_a_file_that_is_given_to_the_service_afterwards_counts_then(file: Path) -> None:
    """Whoever replaces it as root has to chown and chmod it: its content does not change by that."""
    tokens = Tokens(file)
    fresh = file.with_name("fresh")
    fresh.write_text(entry("bob", "token-of-bob"))
    fresh.chmod(0o644)
    fresh.replace(file)
    assert tokens.find("token-of-bob") is None
    assert "read by others" in str(tokens.refused)
    file.chmod(0o600)
    assert tokens.find("token-of-bob") is not None
    assert tokens.refused is None


def test_a_file_that_others_may_read_is_refused(file: Path) -> None:
    file.chmod(0o644)
    with pytest.raises(CredentialError, match="read by others"):
        Tokens(file)


@pytest.mark.parametrize(
    "text",
    [
        '[[token]]\nname = "a"\nsha256 = "abc"\nrole = "viewer"\n',
        entry("a", "t", "boss"),
        entry("a", "t", "device"),
        entry("a", "t", "viewer", "hh-7"),
        entry("a", "t", "device", "hh-*"),
        entry("a", "t") + 'secret = "x"\n',
        "token = 5\n",
        "[[token]\n",
    ],
)
def test_a_file_that_makes_no_sense_is_refused(text: str, file: Path) -> None:
    file.write_text(text)
    with pytest.raises(CredentialError):
        read_tokens(file)


def test_a_new_token_is_long_random_and_known_by_its_hash_only() -> None:
    first, digest = new_token()
    second, _ = new_token()
    assert first != second
    assert len(first) >= 43
    assert digest == hashlib.sha256(first.encode()).hexdigest()


def test_the_process_has_a_token_of_its_own(file: Path) -> None:
    tokens = Tokens(file)
    own = tokens.admit("cli", "admin")
    tokens.follow(None)
    assert tokens.find(own) == Caller("cli", "admin", may_name=True)
    assert tokens.find("token-of-ann") is None


def test_a_missing_file_keeps_the_old_tokens(file: Path) -> None:
    tokens = Tokens(file)
    file.unlink()
    assert tokens.find("token-of-ann") is not None


LADDER = ["viewer", "operator", "technician", "admin"]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("needed", ROLES)
def test_the_roles_are_a_ladder_and_a_device_stands_beside_it(role: auth.Role, needed: auth.Role) -> None:
    is_beside = "device" in (role, needed)
    expected = role == needed if is_beside else LADDER.index(role) >= LADDER.index(needed)
    assert Caller("x", role).may(needed) is expected


def test_who_is_nobody_in_particular() -> None:
    assert LOCAL_READER.role == "viewer"
    assert ANYBODY.role == "admin"
