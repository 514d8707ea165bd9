"""What goes wrong in a voyage, and when. Drawn from the seed before the voyage begins; nothing here asks the gateway.

Every fault is an instant at which something breaks and, where it lasts, how long. After the last one the world heals:
a promise is about what is true when the devices have been answered and the line is up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from simulators.centre_script import Act

if TYPE_CHECKING:
    from voyage import Voyage

DAY_MS = 86_400_000
WALL_STEPS = {"back 400 days": -400 * DAY_MS, "forward 30 days": 30 * DAY_MS, "1970": None, "right again": 0}
ACTS = (
    Act("answer_lost"), Act("answer_lost"), Act("answer_lost"), Act("request_lost"), Act("hang"), Act("applied_hang"),
    Act("half_answer"), Act("portal"), Act("portal"), Act("empty"), Act("nonsense"), Act("wrong_ids"), Act("huge"),
    Act("redirect", location="http://elsewhere.example/"), Act("partial", share=0.3), Act("partial", share=0.7),
    Act("through_beyond"), Act("reject_first", count=1), Act("reject_all"), Act("duplicate_409"),
    Act("status", status=500), Act("status", status=503, retry_after="3"), Act("status", status=429, retry_after="5"),
    Act("status", status=429, retry_after="date+4"), Act("status", status=413), Act("status", status=400),
    Act("status", status=401), Act("status", status=403), Act("status", status=404),
    Act("applied_status", status=500), Act("applied_status", status=503), Act("applied_status", status=504),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault."""

    at_s: float
    """After the beginning of the voyage."""
    name: str
    strike: Callable[[Voyage], None]


Maker = Callable[[Random], tuple[str, Callable[["Voyage"], None]]]


def draw_faults(rng: Random, *, count: int, within_s: float) -> list[Fault]:
    """Return so many faults in order of time."""
    faults = []
    for _ in range(count):
        at_s = rng.uniform(1.0, within_s)
        name, strike = rng.choice(MAKERS)(rng)
        faults.append(Fault(at_s, name, strike))
    return sorted(faults, key=lambda fault: fault.at_s)


def kill_soon(rng: Random) -> tuple[str, Callable[[Voyage], None]]:
    moment = rng.choice(("turn", "turn", "committed", "committed", "applied", "answered"))
    count = rng.randint(1, 150) if moment == "turn" else rng.randint(1, 3)
    return f"kill at {moment} {count}", lambda voyage: voyage.world.arm_kill(moment, count)


def wrong_answers(rng: Random) -> tuple[str, Callable[[Voyage], None]]:
    acts = [rng.choice(ACTS) for _ in range(rng.randint(1, 4))]

    def strike(voyage: Voyage) -> None:
        voyage.centre.script.then(*acts)

    return "answers " + ",".join(f"{act.act}{act.status if 'status' in act.act else ''}" for act in acts), strike


def standing_trouble(rng: Random) -> tuple[str, Callable[[Voyage], None]]:
    act, lasts_s = rng.choice(ACTS), rng.uniform(2, 20)

    def strike(voyage: Voyage) -> None:
        voyage.centre.script.always = act
        voyage.later(lasts_s, lambda: setattr(voyage.centre.script, "always", None))

    return f"centre {act.act}{act.status if 'status' in act.act else ''} for {lasts_s:.0f} s", strike


def uplink_down(rng: Random) -> tuple[str, Callable[[Voyage], None]]:
    lasts_s, is_hole = rng.uniform(1, 30), rng.random() < 0.4

    def strike(voyage: Voyage) -> None:
        until = voyage.world.loop.time() + lasts_s
        if is_hole:
            voyage.uplink.black_hole_until = until
        else:
            voyage.uplink.refused_until = until

    return f"uplink {'black hole' if is_hole else 'down'} {lasts_s:.0f} s", strike


def cut_links(rng: Random) -> tuple[str, Callable[[Voyage], None]]:
    index, after = rng.random(), rng.choice((None, 0, 1, 7, 40, 90, 200, 500))

    def strike(voyage: Voyage) -> None:
        port = voyage.ports[int(index * len(voyage.ports))]
        if after is None:
            voyage.world.net.cut(port)
        else:
            voyage.world.net.road(port).cut_after_bytes = after

    return "cut" if after is None else f"cut after {after} bytes", strike


def stall_link(rng: Random) -> tuple[str, Callable[[Voyage], None]]:
    at_plc, lasts_s = rng.random() < 0.3, rng.uniform(0.5, 12)

    def strike(voyage: Voyage) -> None:
        # Not on the way to a scanner: one that hears the answer to an earlier scan takes it for the answer to its last,
        # and no gateway can help that (docs/testing.md).
        road = voyage.world.net.road(voyage.ports[-1] if at_plc else voyage.ports[0])
        road.stalled_until = voyage.world.loop.time() + lasts_s

    return f"standstill {lasts_s:.1f} s", strike


def full_disk(rng: Random) -> tuple[str, Callable[[Voyage], None]]:
    pages, lasts_s = rng.choice((0, 0, 1, 3, 8)), rng.uniform(1, 15)

    def strike(voyage: Voyage) -> None:
        voyage.world.fill_disk(pages)
        voyage.later(lasts_s, lambda: voyage.world.fill_disk(None))

    return f"disk full after {pages} pages for {lasts_s:.0f} s", strike


def full_disk_for_the_log(rng: Random) -> tuple[str, Callable[[Voyage], None]]:
    lasts_s, at_label = rng.uniform(0.5, 8), rng.random() < 0.6

    def strike(voyage: Voyage) -> None:
        if at_label:
            voyage.refuse_next_label_s = lasts_s
        else:
            voyage.refuse_commits(lasts_s)

    return f"disk refuses commits for {lasts_s:.1f} s{', from the next label on' if at_label else ''}", strike


def slow_disk(rng: Random) -> tuple[str, Callable[[Voyage], None]]:
    low, lasts_s = rng.choice((0.05, 0.5)), rng.uniform(2, 10)

    def strike(voyage: Voyage) -> None:
        before = voyage.world.disk_latency_s
        voyage.world.disk_latency_s = (low, low * 1.5)
        voyage.later(lasts_s, lambda: setattr(voyage.world, "disk_latency_s", before))

    return f"flushes of {low} s for {lasts_s:.0f} s", strike


def step_clock(rng: Random) -> tuple[str, Callable[[Voyage], None]]:
    name = rng.choice(list(WALL_STEPS))
    offset = WALL_STEPS[name]

    def strike(voyage: Voyage) -> None:
        world = voyage.world
        world.wall_offset_ms += (offset if offset is not None else 5_000 - world.wall()) if name != "right again" else 0
        if name == "right again":
            world.wall_offset_ms = 0
        world.is_synchronised = name == "right again"

    return f"clock {name}", strike


def reset_handheld(rng: Random) -> tuple[str, Callable[[Voyage], None]]:
    index = rng.random()
    return "handheld reset", lambda voyage: voyage.handhelds[int(index * len(voyage.handhelds))].reset()


def replug_scanner(rng: Random) -> tuple[str, Callable[[Voyage], None]]:
    index, lasts_s = rng.random(), rng.uniform(0.2, 8)
    return "scanner unplugged", lambda voyage: voyage.replug(int(index * len(voyage.scanners)), lasts_s)


def plc_trouble(rng: Random) -> tuple[str, Callable[[Voyage], None]]:
    name = rng.choice(("drop_next", "half_next", "wrong_unit_next", "wrong_transaction_next"))
    count = rng.randint(1, 4)
    return f"plc {name} {count}", lambda voyage: setattr(voyage.plc.faults, name, count)


def reload(rng: Random) -> tuple[str, Callable[[Voyage], None]]:
    which = rng.choice(("other linger", "broken", "scanner off", "same"))
    return f"reload {which}", lambda voyage: voyage.reload(which)


def gentle_stop(rng: Random) -> tuple[str, Callable[[Voyage], None]]:
    return "stop and start", lambda voyage: voyage.stop_gently()


def http_away(rng: Random) -> tuple[str, Callable[[Voyage], None]]:
    lasts_s = rng.uniform(1, 10)

    def strike(voyage: Voyage) -> None:
        voyage.http.down_until = voyage.world.loop.time() + lasts_s

    return f"http away for {lasts_s:.0f} s", strike


def new_epoch(rng: Random) -> tuple[str, Callable[[Voyage], None]]:
    def strike(voyage: Voyage) -> None:
        life = voyage.world.life
        if life is not None and life.daemon is not None and life.daemon.is_open:
            voyage.begin_epoch(life.daemon.outbox)

    return "new epoch", strike


def restored_centre(rng: Random) -> tuple[str, Callable[[Voyage], None]]:
    after_s, is_noticed = rng.uniform(2, 25), rng.random() < 0.5
    return f"centre restored to what it was {after_s:.0f} s before", lambda voyage: voyage.restore_centre(
        after_s, is_noticed=is_noticed
    )


def damaged_outbox(rng: Random) -> tuple[str, Callable[[Voyage], None]]:
    how = rng.choice(("first page lost", "head overwritten", "damage noted"))

    def damage(state: Path) -> None:
        path = state / "outbox.db"
        if how == "damage noted":
            (state / "outbox.damage").write_text("met by a query\n")
        elif path.exists() and path.stat().st_size >= 8192:
            with path.open("r+b") as file:
                file.write(bytes(4096) if how == "first page lost" else b"no database any more")

    return f"killed, and {how}", lambda voyage: voyage.world.kill(how, damage)


MAKERS: tuple[Maker, ...] = (
    kill_soon, kill_soon, kill_soon, kill_soon, wrong_answers, wrong_answers, wrong_answers, standing_trouble,
    standing_trouble, uplink_down, uplink_down, cut_links, cut_links, cut_links, stall_link, full_disk,
    full_disk_for_the_log, full_disk_for_the_log, slow_disk, step_clock, reset_handheld, replug_scanner, plc_trouble,
    reload, gentle_stop, http_away, new_epoch, restored_centre, damaged_outbox,
)  # fmt: skip
