"""What is installed is what was meant to be installed."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, ROOT],
        check=True,
    )
    (built,) = folder.glob("dockline-*.whl")
    return zipfile.ZipFile(built).namelist()


def test_the_wheel_has_our_five_packages_and_nothing_else_importable(wheel: list[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.startswith("dockline-")} == {
        "gateway",
        "drivers",
        "buffer",
        "sync",
        "simulators",
    }


def test_the_wheel_carries_what_the_code_reads(wheel: list[str]) -> None:
    names = set(wheel)
    for folder, pattern in (("buffer/sql", "*.sql"), ("gateway/events/schema", "*.json"), ("gateway/web/page", "*.*")):
        assert {f"{folder}/{path.name}" for path in (ROOT / folder).glob(pattern)} <= names


def test_the_wheel_carries_configuration_and_units_as_data(wheel: list[str]) -> None:
    data = {name.split(".data/data/share/dockline/", 1)[1] for name in wheel if ".data/data/share/dockline/" in name}
    wanted = {path.relative_to(ROOT).as_posix() for top in ("config", "systemd") for path in (ROOT / top).rglob("*.*")}
    assert wanted <= data
    assert "config/__init__.py" not in data
