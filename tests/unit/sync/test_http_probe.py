"""A probe tells whether a centre lets us in, and leaves nothing behind there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from upstream_events import SOURCE

from simulators.centre import Centre, Policy
from simulators.centre_script import Act
from sync import HttpEventsSettings, NotAnAnswer, UpstreamHolds, UpstreamUnavailable
from sync.http_events import HttpEvents

SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA=="


class Prober:
    def __init__(self) -> None:
        self.opened: list[HttpEvents] = []

    async def __call__(self, url: str, **settings: object) -> str:
        made = HttpEventsSettings.model_validate({"name": "centre", "url": url, "timeout_s": 5, **settings})
        self.opened.append(HttpEvents(made, wall=lambda: 1_795_248_000_000))
        return await self.opened[-1].probe(SOURCE)


@pytest.fixture
async def probe() -> AsyncIterator[Prober]:
    prober = Prober()
    yield prober
    for one in prober.opened:
        await one.aclose()


def secret_file(folder: Path, text: str) -> Path:
    path = folder / f"secret-{len(list(folder.iterdir()))}"
    path.write_text(text)
    path.chmod(0o600)
    return path


async def test_a_centre_that_lets_us_in_says_so_and_has_nothing_afterwards(probe: Prober, tmp_path: Path) -> None:
    async with Centre(Policy(token="t0ken", secret=SECRET), wall=lambda: 1_795_248_000) as centre:
        files = {
            "token_file": secret_file(tmp_path, "t0ken"),
            "signing_secret_file": secret_file(tmp_path, SECRET),
            "position_url": centre.position_url,
        }
        told = await probe(centre.url, **files)
        assert "lets us in (200); it holds our events through 0" in told
        assert centre.ledger.events == []


async def test_a_wrong_token_and_a_wrong_signature_are_told(probe: Prober, tmp_path: Path) -> None:
    """The position alone would not show that the signing secret is another one."""
    async with Centre(Policy(token="t0ken", secret=SECRET), wall=lambda: 1_795_248_000) as centre:
        with pytest.raises(UpstreamHolds, match="401"):
            await probe(centre.url, token_file=secret_file(tmp_path, "other"))
        with pytest.raises(UpstreamHolds, match="401"):
            await probe(
                centre.url,
                token_file=secret_file(tmp_path, "t0ken"),
                signing_secret_file=secret_file(tmp_path, "whsec_" + "b3RoZXIt" * 5),
                position_url=centre.position_url,
            )


async def test_a_portal_is_no_centre(probe: Prober) -> None:
    async with Centre() as centre:
        centre.script.then(Act("portal"))
        with pytest.raises(NotAnAnswer, match="not as a centre does"):
            await probe(centre.url)


async def test_a_wrong_path_is_told(probe: Prober) -> None:
    async with Centre() as centre:
        with pytest.raises(UpstreamHolds, match="404"):
            await probe(centre.url + "/elsewhere")


async def test_a_plain_webhook_is_sent_nothing_it_could_act_on(probe: Prober) -> None:
    async with Centre() as centre:
        assert "answers" in await probe(centre.url, acknowledge="status")
        assert centre.attempts == []


async def test_a_centre_that_is_not_there_is_told(probe: Prober) -> None:
    with pytest.raises(UpstreamUnavailable, match="no connection"):
        await probe("http://127.0.0.1:9/v1/events")


async def test_an_empty_batch_that_is_refused_as_such_is_a_welcome(probe: Prober) -> None:
    async with Centre() as centre:
        centre.script.then(Act("status", status=422))
        assert "finds no event" in await probe(centre.url)
