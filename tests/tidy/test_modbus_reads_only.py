"""Promise 10: the gateway never writes to a PLC. There is no code path that could."""

import ast
import re
from pathlib import Path

import pytest

from drivers.modbus_answer import READ_FUNCTIONS

ROOT = Path(__file__).parents[2]
PROGRAM = ("gateway", "drivers", "buffer", "sync")
"""Simulators are not part of it: a simulated PLC may know what a write is."""
ALLOWED = {
    "pymodbus.client": {"AsyncModbusTcpClient", "AsyncModbusSerialClient"},
    "pymodbus.exceptions": {"ConnectionException", "ModbusIOException"},
    "pymodbus.pdu": {"ModbusPDU"},
}
"""Everything the program may take from the library. ModbusPDU is a name in annotations."""
READS = {"read_coils", "read_discrete_inputs", "read_holding_registers", "read_input_registers"}
SUSPECT = re.compile(r"^(write_|mask_write|readwrite|read_|diag_|report_|execute$|ctx$|send$|register$|transport$)")
"""Names of the library's client that do anything but connect and close, and the ways around it."""
PRESENT = re.compile(r"modbus", re.IGNORECASE)


def offences(source: str, *, is_modbus: bool) -> list[str]:
    """Every way in which this source could send something to a PLC that is not a read."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found += [f"import {n.name}" for n in names if n.name.split(".")[0] == "pymodbus"]
            case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0] == "pymodbus":
                found += [f"{module}.{n.name}" for n in names if n.name not in ALLOWED.get(module, set())]
            case ast.Attribute(attr=attr) if is_modbus and SUSPECT.match(attr) and attr not in READS:
                found.append(f".{attr}")
            case ast.Call(func=ast.Name(id="getattr" | "__import__" | "eval" | "exec" as name)) if is_modbus:
                found.append(name)
            case ast.Call(func=ast.Attribute(attr="import_module")) if is_modbus:
                found.append("import_module")
    return found


SOURCES = sorted(path for package in PROGRAM for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_in_the_program_can_write_to_a_plc(path: Path) -> None:
    assert offences(path.read_text(), is_modbus=bool(PRESENT.search(path.name))) == []


def test_the_function_codes_of_the_program_are_the_four_that_read() -> None:
    assert {1, 2, 3, 4} == READ_FUNCTIONS


@pytest.mark.parametrize(
    "planted",
    [
        "async def f(client):\n    await client.write_register(0, 1)",
        "async def f(client):\n    await client.readwrite_registers(read_address=0)",
        "async def f(client, pdu):\n    await client.execute(False, pdu)",
        "from pymodbus.pdu.register_message import WriteSingleRegisterRequest",
        "import pymodbus",
        "from pymodbus.client import ModbusTcpClient",
        "async def f(client, name):\n    await getattr(client, name)(0, 1)",
        "def f(client):\n    client.ctx.send(b'')",
    ],
)
def test_the_check_finds_what_it_looks_for(planted: str) -> None:
    assert offences(planted, is_modbus=True) != []


def test_the_check_looks_where_the_client_is() -> None:
    """Should the link be renamed, the check of attributes must not be looking elsewhere."""
    users = [path for path in SOURCES if "pymodbus" in path.read_text()]
    assert users
    assert all(PRESENT.search(path.name) for path in users if path.parent.name == "drivers")
