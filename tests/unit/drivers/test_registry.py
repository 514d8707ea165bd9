"""The drivers by name."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from drivers.registry import DRIVERS, UnknownDriver, driver_names, load_driver
from drivers.serial_scanner import SerialScanner, SerialScannerSettings

ROOT = Path(__file__).parents[3]


def test_importing_the_registry_imports_no_driver() -> None:
    """`dockline --help` on a small PC: no serial library, no Modbus library."""
    code = (
        "import sys, drivers.registry as r;"
        "modules = {place.partition(':')[0] for place in r.DRIVERS.values()} | {'serialx', 'pymodbus', 'mqtt5'};"
        "print(sorted(modules & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_driver_is_loaded_by_name() -> None:
    kind = load_driver("serial-scanner")
    assert kind.settings_model is SerialScannerSettings
    assert kind.factory is SerialScanner
    driver = kind.factory("dock-3-scanner", SerialScannerSettings(url="serial:///dev/null-modem"))
    assert callable(driver.run)


@pytest.mark.parametrize("name", sorted(DRIVERS))
def test_every_name_has_a_driver_with_settings(name: str) -> None:
    kind = load_driver(name)
    assert kind.settings_model.model_config.get("extra") == "forbid"
    assert kind.settings_model.model_config.get("frozen") is True
    undocumented = [key for key, field in kind.settings_model.model_fields.items() if not field.description]
    assert undocumented == []


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(UnknownDriver, match='no driver is called "serial-scaner"') as caught:
        load_driver("serial-scaner")
    assert caught.value.hint == 'did you mean "serial-scanner"?'
    with pytest.raises(UnknownDriver) as caught:
        load_driver("qqq")
    assert "serial-scanner" in (caught.value.hint or "")


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    points = importlib.metadata.EntryPoints(
        [
            importlib.metadata.EntryPoint("acme-scale", "drivers.serial_scanner:SerialScanner", "dockline.drivers"),
            importlib.metadata.EntryPoint("acme-gone", "acme_gone:Scale", "dockline.drivers"),
            importlib.metadata.EntryPoint("acme-odd", "drivers.framing:Framer", "dockline.drivers"),
            importlib.metadata.EntryPoint("serial-scanner", "acme_gone:Scale", "dockline.drivers"),
        ]
    )
    monkeypatch.setattr(importlib.metadata, "entry_points", points.select)


@pytest.mark.usefixtures("foreign")
def test_other_distributions_add_drivers() -> None:
    assert "acme-scale" in driver_names()
    assert load_driver("acme-scale").factory is SerialScanner


@pytest.mark.usefixtures("foreign")
def test_nobody_takes_one_of_our_names() -> None:
    assert load_driver("serial-scanner").factory is SerialScanner
    assert driver_names().count("serial-scanner") == 1


@pytest.mark.usefixtures("foreign")
@pytest.mark.parametrize("name", ["acme-gone", "acme-odd"])
def test_a_driver_that_cannot_be_loaded_is_an_error_with_a_name(name: str) -> None:
    with pytest.raises(UnknownDriver, match=f'driver "{name}" cannot be loaded'):
        load_driver(name)
