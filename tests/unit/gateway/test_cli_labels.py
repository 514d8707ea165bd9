"""`dockline labels`: what is printed is what this very configuration obeys."""

from pathlib import Path

import pytest
from picture import scans

from gateway.capture.command import COMMANDS, obey
from gateway.capture.label import parse_label
from gateway.capture.station import Session
from gateway.cli.errors import run_command
from gateway.settings import load_settings
from gateway.wiring import site_map

FILE = """
[site]
id = "dc07"
gateway = "dock-pc-1"
[storage]
path = "/tmp/dockline-nowhere"
[[upstream]]
name = "centre"
url = "https://wms.test/v1/events"
[[station]]
id = "dock-3"
[labels]
{labels}
[[labels.patterns]]
kind = "location"
expression = "[A-Z]-[0-9]{{2}}"
[[labels.patterns]]
kind = "operator"
expression = "OP(?P<id>[0-9]{{4}})"
"""
PREFIX = 'command_prefix = "DKL:"'


def configuration(folder: Path, labels: str) -> Path:
    path = folder / "gateway.toml"
    path.write_text(FILE.format(labels=labels))
    return path


def test_every_printed_label_is_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configuration(tmp_path, f'{PREFIX}\nprinted = ["OP0007", "A-01"]')
    sheet = tmp_path / "labels.pdf"
    assert run_command(["labels", str(sheet), "--config", str(config), "-q", "2.5", "-q", "144"]) == 0
    read = scans(sheet.read_bytes())
    assert f"{len(read)} labels in {sheet}" in capsys.readouterr().out
    site = site_map(load_settings(config, must_run=False))
    known = [parse_label(text, symbology, site.label_patterns, command_prefix="DKL:") for symbology, text in read]
    commands = [label.text for label in known if label.kind == "command"]
    assert {*commands} == {word for words in COMMANDS.values() for word in words} | {"quantity 2.5", "quantity 144"}
    assert [(label.kind, label.text) for label in known if label.kind != "command"] == [
        ("location", "A-01"),
        ("operator", "0007"),
    ]
    for words in commands:
        busy = Session(activity="return", document="RMA-1")
        assert words == "undo" or obey(busy, words, "s-1", "return").session != busy or words == "cancel"


@pytest.mark.parametrize(
    ("labels", "arguments", "said", "code"),
    [
        ("", [], "command_prefix", 78),
        (f'{PREFIX}\nprinted = ["SKU-1"]', [], '"SKU-1" is no document, location, badge or quantity here', 78),
        (PREFIX, ["--paper", "a3"], '"a3" is no paper size', 64),
        (PREFIX, ["-q", "two"], '"two" is not a quantity', 64),
        ('command_prefix = "Ä:"', [], "cannot be printed as a bar code", 78),
        ('command_prefix = " X"', [], "cannot be printed as a bar code", 78),
    ],
)
def test_what_cannot_be_printed_is_said(
    labels: str, arguments: list[str], said: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configuration(tmp_path, labels)
    sheet = tmp_path / "labels.pdf"
    assert run_command(["labels", str(sheet), "--config", str(config), *arguments]) == code
    assert said in capsys.readouterr().err
    assert not sheet.exists()
