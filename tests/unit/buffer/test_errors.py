"""Errors speak to operators."""

from __future__ import annotations

import pytest

from buffer import errors


@pytest.mark.parametrize(
    "kind", [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.OutboxError)]
)
def test_every_error_has_a_message_of_its_own_and_room_for_a_hint(kind: type[errors.OutboxError]) -> None:
    assert str(kind()) == (kind.__doc__ or "").splitlines()[0]
    error = kind("what", hint="do")
    assert (str(error), error.hint) == ("what", "do")
