"""The stream that tells open pages what happened: who gets which events, from where on, and for how long."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.approvals.kit import ALICE, BOB, EVE, HandClock, now, request_of
from tests.console.kit import RunningConsole, Surfer, running_console

from dbgate.console.visits import IDLE_S
from dbgate.model import Identity

Message = dict[str, str]


@pytest.fixture
def clock() -> HandClock:
    return HandClock(now())


@pytest.fixture
def console(tmp_path: Path, clock: HandClock) -> Iterator[RunningConsole]:
    with running_console(tmp_path, clock=clock) as made:
        yield made


@contextmanager
def streamed(surfer: Surfer, last: str = "") -> Iterator[Iterator[Message]]:
    """The messages of a stream that goes on behind the event `last`; the first, a greeting, is read already."""
    with surfer.get("/events", stream=True, headers={"Last-Event-ID": last} if last else {}) as answer:
        assert answer.status_code == 200
        messages = messages_of(answer.iter_lines(chunk_size=1, decode_unicode=True))
        assert next(messages)["event"] == "hello"
        yield messages


def messages_of(lines: Iterator[Any]) -> Iterator[Message]:
    """Messages by the names of their fields."""
    message: Message = {}
    for line in lines:
        assert not line.startswith(":"), "nothing happened for so long that the stream only says that it is still there"
        name, _, value = line.partition(": ")
        if name:
            message[name] = value
        elif "event" in message:
            yield message
            message = {}


def ask(console: RunningConsole, who: Identity, note: str = "") -> str:
    return console.running.client(who).ask(request_of(who, statement=f"DELETE FROM t -- {note}")).id


def test_a_page_is_told_what_its_reader_may_see_and_no_more(console: RunningConsole) -> None:
    with streamed(console.surfer(EVE)) as eve, streamed(console.surfer(BOB)) as bob:
        theirs, own = ask(console, ALICE), ask(console, EVE)
        told = [json.loads(next(bob)["data"]) for _ in range(2)]
        assert told == [{"kind": "requested", "request": theirs}, {"kind": "requested", "request": own}]
        assert json.loads(next(eve)["data"])["request"] == own


def test_a_stream_goes_on_where_it_ended(console: RunningConsole) -> None:
    bob = console.surfer(BOB)
    with streamed(bob) as messages:
        ask(console, ALICE)
        first = next(messages)["id"]
    missed = ask(console, ALICE, "again")
    with streamed(bob, first) as messages:
        assert json.loads(next(messages)["data"])["request"] == missed


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "\u00b2", "9" * 16])
def test_what_is_no_number_of_an_event(console: RunningConsole, last: str) -> None:
    refused = console.surfer(BOB).get("/events", stream=True, headers={"Last-Event-ID": last.encode("latin-1")})
    assert refused.status_code == 422


def test_who_is_not_signed_in_gets_no_stream(console: RunningConsole) -> None:
    stranger = console.surfer()
    assert stranger.get("/events", stream=True).status_code == 401
    stranger.session.cookies.set(console.setup.address.cookie, "x" * 43)
    assert stranger.get("/events", stream=True).status_code == 401


def test_a_stream_ends_with_its_sign_in(console: RunningConsole) -> None:
    bob = console.surfer(BOB)
    with streamed(bob) as messages:
        assert bob.submit("/", "/sign-out").status_code == 303
        ask(console, ALICE)
        assert next(messages)["event"] == "over"
        assert not list(messages)


def test_a_stream_keeps_nobody_signed_in(console: RunningConsole, clock: HandClock) -> None:
    bob = console.surfer(BOB)
    clock.advance(120)
    with streamed(bob) as messages:
        clock.advance(IDLE_S - 240)
        ask(console, ALICE)
        assert next(messages)["event"] == "news"
        clock.advance(120)
        ask(console, ALICE, "again")
        assert next(messages)["event"] == "over"


def test_only_so_many_streams_for_one_person(console: RunningConsole, wait_until: Callable[..., None]) -> None:
    bob = console.surfer(BOB)
    with ExitStack() as held:
        for _ in range(20):
            held.enter_context(streamed(bob))
        assert bob.get("/events", stream=True).status_code == 429
        with streamed(console.surfer(EVE)):
            pass

    def opens_again() -> bool:
        with bob.get("/events", stream=True) as answer:
            return answer.status_code == 200

    wait_until(opens_again)
