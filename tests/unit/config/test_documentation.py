"""The examples in the documentation are read by the code that they describe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dbgate.config.reading import read_settings
from dbgate.gate.policy.read import read_policy

DOCS = Path(__file__).parents[3] / "docs"


def blocks(name: str) -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", (DOCS / name).read_text(encoding="utf-8"), re.DOTALL)


def test_the_configuration_example_is_read() -> None:
    (example,) = blocks("configuration.md")
    settings = read_settings(example, Path("/etc/dbgate/config.yaml"), Path("/state"))
    assert settings.targets["prod-payroll"].policy == "/etc/dbgate/policies/payroll.yaml"


@pytest.mark.parametrize("number", range(7))
def test_the_policy_examples_are_read(number: int) -> None:
    found = blocks("policy.md")
    assert len(found) == 7
    known = (
        "version: 1\nclassify: [{columns: [a.b.c], tag: finance.x}, {columns: [a.b.d], tag: pii.x}]\n"
        "rules: [{id: no-destruction, effect: deny, when: {verbs: drop}}, {id: office-hours, effect: deny, when: {verbs: drop}}]\n"
    )
    assert read_policy([("base", known), ("example", f"version: 1\n{found[number]}")]).files == ("base", "example")
