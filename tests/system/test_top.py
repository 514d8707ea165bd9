"""`dockline top` at a terminal, without one, and when the gateway ends under it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from daemon_process import CONFIG, command, gateway
from terminal import Terminal

from gateway.cli.errors import EXIT_NO_DAEMON

CODE = "]C10109521234543213"


async def test_one_screen_live_until_a_key_and_once_without_a_terminal(tmp_path: Path) -> None:
    with gateway(tmp_path, CONFIG) as daemon:
        await asyncio.to_thread(daemon.start)
        config = str(daemon.config)
        once = await asyncio.to_thread(command, "top", "--config", config)
        assert once.returncode == 0
        for word in ("dock-pc-1 at dc07: taking scans", "queue", "centre", "floor", "hh-*", "this hour"):
            assert word in once.stdout
        assert "\x1b" not in once.stdout
        async with (
            Terminal("top", "--every", "0.2", "--config", config, columns=80, lines=24) as quits,
            Terminal("top", "--every", "0.2", "--config", config, columns=80, lines=24) as interrupted,
            Terminal("top", "--every", "0.2", "--config", config, columns=80, lines=24) as stays,
        ):
            for terminal in (quits, interrupted, stays):
                await terminal.sees("dock-pc-1 at dc07")
            assert daemon.ask("POST", "/v1/scans", {"device": "hh-1", "id": "n-1", "code": CODE}).status == 200
            await quits.sees("hh-1")
            quits.press("q")
            interrupted.press("\x03")
            assert [await quits.ended(), await interrupted.ended()] == [0, 0]
            assert await asyncio.to_thread(daemon.stop) == 0
            await stays.sees("No daemon answers")
            stays.press("q")
            assert await stays.ended() == 0
        nobody = await asyncio.to_thread(command, "top", "--config", config)
        assert (nobody.returncode, "No daemon answers" in nobody.stderr) == (EXIT_NO_DAEMON, True)
