"""A PLC counter: from values seen now and then to parts made.

Theory of operation. Parts are the difference to the last value that is *on disk*. The first value ever seen is a
baseline. A rise is that many parts, however large. A fall is a rollover only when the implied number of parts is
at most `delta_max`; else the counter was reset, nobody knows how many parts were lost with it, and a new baseline
begins. The last value moves when, and only when, the event that carries the difference is committed: it travels
with the event. So an event that could not be stored is simply part of the next difference.

A counter of several registers may be read while the PLC is between writing the one and the other, for as long as it
pleases, and shows a number that never was: 0x00000000 or 0x0001FFFF between 0x0000FFFF and 0x00010000. Such a number is
off by a multiple of 65,536. If it is too small it is a fall, or the missing parts come later. If it is too large it is
a rise of 65,536 or more. So of a counter of more than one register only a plain rise is believed at once: less than
65,536 and not beyond `delta_max`. Anything else (a fall, a leap) has to stand for `STANDS_S`, at two polls at least,
without falling and without leaping on. Nothing is settled meanwhile, so a plain rise from the last value on disk ends
the doubt and brings all parts. What is believed in the end is the value that has stood, the first one: the parts that
came on top are a plain rise from there.

    Observed
    |- Baseline       commit the value, no event
    |- Increment      so many parts
    |- Reset          fell without a rollover; a person should know
    None              nothing moved, or not believed yet
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from drivers.modbus_map import Point

STANDS_S = 5.0
"""How long a fall or a leap must stand. A PLC writes both words within its cycle, well below a second; a converter that
copies register by register from a slow bus needs a second or two. A reset or a leap is told so much later."""
WORD = 2**16
"""A number torn between two registers is off by a multiple of this."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """The first value ever seen."""

    now: int


@dataclass(frozen=True, slots=True)
class Increment:
    """The counter moved by `delta` parts."""

    now: int
    last: int
    delta: int
    rolled_over: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """The counter fell, and no rollover explains it."""

    now: int
    last: int


Observed = Baseline | Increment | Reset


def observe(last: int | None, now: int, *, span: int, delta_max: int) -> Observed | None:
    """Compare a value with the last one on disk. `span` is the number of values before the counter starts again."""
    if last is None:
        return Baseline(now)
    if now == last:
        return None
    if now > last:
        return Increment(now, last, now - last)
    implied = now - last + span
    if 0 < implied <= delta_max:
        return Increment(now, last, implied, rolled_over=True)
    return Reset(now, last)


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A value that waits to be believed, and what was seen of it since."""

    first: Observed
    since_s: float
    latest: int
    leapt: bool
    """It began with a leap from another doubtful value."""

    def goes_on(self, observed: Observed) -> bool:
        """Whether this is the same counter a poll later. One that leaps at every poll is fast, and not torn."""
        is_same = type(observed) is type(self.first) and observed.now >= self.latest
        return is_same and (self.leapt or not self.is_leap(observed))

    def is_leap(self, observed: Observed) -> bool:
        """Whether it rose by more than a word since the last poll."""
        return observed.now - self.latest >= WORD


class Counter:
    """One counter between polls: its last committed value, and a fall or a leap that waits to be believed."""

    def __init__(self, point: Point, last: int | None) -> None:
        self._span = point.range
        self._delta_max = point.delta_limit
        self._can_tear = point.size > 1
        self._doubt: _Doubt | None = None
        self.last = last

    @property
    def is_still(self) -> bool:
        """Whether the same value, seen again, would say nothing again."""
        return self._doubt is None

    def see(self, now: int, now_s: float) -> Observed | None:
        """What this value means; `now_s` is monotonic. Changes nothing that `settle` would have to undo.

        What had to stand is told with the value that stood, which may be less than `now`.
        """
        observed = observe(self.last, now, span=self._span, delta_max=self._delta_max)
        if observed is None or not (self._can_tear and self._is_doubtful(observed)):
            self._doubt = None
            return observed
        doubt = self._doubt
        if doubt is None or not doubt.goes_on(observed):
            self._doubt = _Doubt(observed, now_s, now, leapt=doubt is not None and doubt.is_leap(observed))
            return None
        self._doubt = replace(doubt, latest=now)
        return doubt.first if now_s - doubt.since_s >= STANDS_S else None

    def settle(self, now: int) -> None:
        """The value is on disk: what comes next is compared with it."""
        self.last = now
        self._doubt = None

    def _is_doubtful(self, observed: Observed) -> bool:
        match observed:
            case Baseline():
                return False
            case Increment(delta=delta, rolled_over=rolled_over):
                # At an end that is no whole number of words a torn number may be off by less than a word.
                is_odd_rollover = rolled_over and self._span % WORD != 0
                return is_odd_rollover or delta > self._delta_max or delta >= WORD
            case Reset():
                return True
