"""What goes wrong, and when."""

import json
import re
from pathlib import Path
from random import Random

import pytest

from simulators.centre_script import Act, Rule, Script, load_script


def test_queued_acts_come_first_then_rules_then_the_standing_act() -> None:
    script = Script([Rule(Act("portal"), first=2, last=3)])
    script.then(Act("hang"), None)
    script.always = Act("empty")
    acts = [script.act_for(number) for number in range(1, 6)]
    assert [act.act if act else None for act in acts] == ["hang", None, "portal", "empty", "empty"]


def test_chance_comes_from_the_seed() -> None:
    def roll(seed: int) -> list[bool]:
        script = Script([Rule(Act("portal"), probability=0.3)], rng=Random(seed))
        return [script.act_for(number) is not None for number in range(200)]

    assert roll(1) == roll(1)
    assert roll(1) != roll(2)
    assert 30 <= sum(roll(1)) <= 90


def test_a_plan_file_is_read(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(
        json.dumps({"seed": 7, "rules": [{"act": "status", "status": 429, "retry_after": "2", "from": 3, "to": 3}]})
    )
    script = load_script(plan)
    assert script.act_for(2) is None
    assert script.act_for(3) == Act("status", 429, "2")
    assert script.act_for(4) is None


@pytest.mark.parametrize(
    "text",
    [
        *("[]", "{", '{"rule": []}', '{"rules": null}', '{"rules": 5}', '{"rules": [5]}', '{"seed": []}'),
        *('{"rules": [{"act": "sing"}]}', '{"rules": [{"act": ["a"]}]}', '{"rules": [{}]}'),
        *('{"rules": [{"act": "hang", "loud": 1}]}', '{"rules": [{"act": "status", "status": "abc"}]}'),
        *('{"rules": [{"act": "hang", "from": "x"}]}', '{"rules": [{"act": "hang", "probability": "x"}]}'),
    ],
)
def test_a_plan_that_is_none_says_why(tmp_path: Path, text: str) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(text)
    with pytest.raises(ValueError, match=re.escape(str(plan))):
        load_script(plan)
