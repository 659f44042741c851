"""What `policy test` prints of a policy's tests, and JUnit XML for the servers that run them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dbgate.errors import UsageError
from dbgate.text import printable

if TYPE_CHECKING:
    from dbgate.gate.policy.model import PolicyTest
    from dbgate.gate.policy.trial import Failure

Trials = tuple[str, Sequence["PolicyTest"], Sequence["Failure"]]
"""A file, its tests, and those that failed."""

_COLOURS = {"failed": "1;31", "ok": "32"}


def print_trials(file: str, tests: Sequence[PolicyTest], failures: Sequence[Failure], *, verbose: bool) -> None:
    """Print the failures with what was expected and what came, and the count; with `verbose` those that passed, too."""
    failed = {id(failure.test): failure for failure in failures}
    for test in tests:
        failure = failed.get(id(test))
        if failure is None and not verbose:
            continue
        who = f" as {test.who}" if test.who else ""
        print(
            f"{_word('failed' if failure else 'ok')} {printable(file)}:{test.ref.line}: {printable(test.sql)}{printable(who)}"
        )
        for line in failure.reason.splitlines() if failure else ():
            print(f"       {printable(line)}")
    print(f"{len(tests) - len(failures)} of {len(tests)} tests passed in {printable(file)}")


def _word(word: str) -> str:
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return word
    return f"\x1b[{_COLOURS[word]}m{word}\x1b[0m"


def write_junit(place: Path, trials: Sequence[Trials]) -> None:
    """Write the results as JUnit XML: a suite for each file, a case for each test. Raises `UsageError`."""
    from xml.etree import ElementTree as Xml

    root = Xml.Element("testsuites")
    for file, tests, failures in trials:
        failed = {id(failure.test): failure for failure in failures}
        suite = Xml.SubElement(root, "testsuite", name=file, tests=str(len(tests)), failures=str(len(failures)))
        for test in tests:
            name = printable(f"{test.sql}{f' as {test.who}' if test.who else ''}")
            case = Xml.SubElement(suite, "testcase", classname=file, name=name, file=file, line=str(test.ref.line))
            if failure := failed.get(id(test)):
                Xml.SubElement(case, "failure", message=printable(failure.reason)).text = printable(
                    failure.reason, keep="\n"
                )
    try:
        Xml.ElementTree(root).write(place, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise UsageError(
            f"{place} cannot be written: {error.strerror}", hint="check the path and its permissions"
        ) from None
