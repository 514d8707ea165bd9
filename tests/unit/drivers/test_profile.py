"""Profiles: product files that preset a device's keys."""

from pathlib import Path

import pytest

from drivers.profile import ProfileError, load_profile, profile_names
from drivers.registry import load_driver

SHIPPED = Path(__file__).parents[3] / "config" / "profiles"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def test_a_profile_has_a_driver_and_its_keys(tmp_path: Path) -> None:
    write(
        tmp_path,
        "acme-1",
        'product = "Acme 1"\ndriver = "serial-scanner"\n[device]\nterminator = "\\n"\n[tags]\nepc = "x"',
    )
    profile = load_profile(tmp_path, "acme-1")
    assert (profile.name, profile.driver, profile.product) == ("acme-1", "serial-scanner", "Acme 1")
    assert profile.keys == {"terminator": "\n"}
    assert profile.tables == {"tags": {"epc": "x"}}


def test_the_devices_own_keys_win(tmp_path: Path) -> None:
    write(tmp_path, "acme-1", 'driver = "serial-scanner"\n[device]\nterminator = "\\n"\nstart = "any"')
    profile = load_profile(tmp_path, "acme-1")
    assert profile.overlaid({"start": "aim", "url": "u"}) == {"terminator": "\n", "start": "aim", "url": "u"}


def test_a_profile_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, "zebra-ds3608", 'driver = "serial-scanner"')
    with pytest.raises(ProfileError, match='no profile is called "zebra-ds3680"') as caught:
        load_profile(tmp_path, "zebra-ds3680")
    assert caught.value.hint == 'did you mean "zebra-ds3608"?'
    with pytest.raises(ProfileError) as caught:
        load_profile(tmp_path, "qqq")
    assert "zebra-ds3608" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["../secret", "a/b", "", ".hidden", "Big", "x" * 64])
def test_a_name_never_leaves_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "inside").mkdir()
    write(tmp_path, "secret", 'driver = "serial-scanner"')
    with pytest.raises(ProfileError, match="is not a profile name"):
        load_profile(tmp_path / "inside", name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("driver = ", r"bad\.toml: Invalid value"),
        ('product = "x"', "driver is missing"),
        ("driver = 3", "driver is missing"),
        ('driver = "serial-scanner"\nnotes = 3', "notes is text"),
        ('driver = "serial-scanner"\nterminator = "\\r"', 'unknown key "terminator"'),
    ],
)
def test_a_broken_profile_says_where_it_is_broken(tmp_path: Path, text: str, words: str) -> None:
    write(tmp_path, "bad", text)
    with pytest.raises(ProfileError, match=words):
        load_profile(tmp_path, "bad")


def test_a_file_that_is_no_text_is_an_error_too(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ProfileError, match="cannot be read"):
        load_profile(tmp_path, "bad")


def scanner_profiles() -> list[str]:
    profiles = (load_profile(SHIPPED, name) for name in profile_names(SHIPPED))
    return [profile.name for profile in profiles if profile.driver in ("serial-scanner", "tcp-scanner")]


@pytest.mark.parametrize("name", scanner_profiles())
def test_a_shipped_scanner_profile_is_understood_by_its_driver(name: str) -> None:
    profile = load_profile(SHIPPED, name)
    model = load_driver(profile.driver).settings_model
    model(**profile.overlaid({"url": "serial:///dev/ttyUSB0"}))
    assert profile.product
    assert profile.notes


def test_scanner_profiles_are_shipped() -> None:
    assert {"zebra-ds3608", "scanner-generic-aim", "scanner-generic-ack-nak"} <= set(scanner_profiles())
