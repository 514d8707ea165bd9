"""The centre as a process of its own."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import httpx2
import pytest

from simulators.centre import Centre
from simulators.centre_main import CentreOptions, main, serve_centre, summary

EVENT = {"sequence": f"{1:020d}", "id": "a", "source": "//s/g/e", "type": "t", "data": {}}
TYPE = {"content-type": "application/cloudevents-batch+json"}


async def test_it_says_where_it_listens_and_in_the_end_what_it_has(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t\n")
    arguments = ["--token-file", str(token), "--ledger", str(tmp_path / "ledger"), "--poison", "bad"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulators.centre_main", *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            ready = json.loads(await process.stdout.readline())
            async with httpx2.AsyncClient(trust_env=False) as http:
                headers = {**TYPE, "authorization": "Bearer t"}
                answer = await http.post(ready["url"], content=json.dumps([EVENT]), headers=headers)
                assert answer.status_code == 200
            process.send_signal(signal.SIGTERM)
            said = json.loads(await process.stdout.readline())
            assert await process.wait() == 0
        assert (said["events"], said["requests"], said["conflicts"]) == (1, 1, [])
        assert (tmp_path / "ledger").read_text().count("\n") == 2
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_it_serves_inside_another_program_until_it_is_told_to_stop() -> None:
    stop = asyncio.Event()
    seen: list[Centre] = []
    serving = asyncio.ensure_future(serve_centre(CentreOptions(fast=True), stop, seen.append))
    while not seen:
        await asyncio.sleep(0)
    assert seen[0].port
    stop.set()
    assert summary(await serving) == {"events": 0, "requests": 0, "through": 0, "gaps": 0, "repeats": 0}


def test_what_cannot_run_says_so_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--plan", str(tmp_path / "nowhere.json")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
