"""What every store keeps: migrations, a history that stays, and order among many writers."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace
from tests.approvals.kit import ALICE, BOB, now, person, request_of

from dbgate.approvals import schema
from dbgate.approvals.databases import holds_password, open_store
from dbgate.approvals.filing import new_request
from dbgate.approvals.grants import GrantSigner
from dbgate.approvals.service import ApprovalService
from dbgate.approvals.store import Query, Store
from dbgate.binding import binding_of
from dbgate.errors import Unreachable, UsageError

KEY = Ed25519PrivateKey.generate()


@contextlib.contextmanager
def opened(backend: str) -> Iterator[Store]:
    store = open_store(backend, Path())
    try:
        yield store
    finally:
        store.close()


def run(backend: str, statement: str) -> list[tuple[object, ...]]:
    """Run a statement past the store, in its schema."""
    if backend.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(backend.removeprefix("sqlite:///"))) as file, file:
            return file.execute(statement).fetchall()
    with psycopg.connect(backend, options="-c search_path=dbgate") as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def approved(store: Store) -> str:
    service = ApprovalService(store, GrantSigner(KEY), now)
    name = service.file(ALICE, request_of(ALICE))[0].id
    service.approve(BOB, name, "fine")
    return name


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET note = 'x'",
        "DELETE FROM events",
        "UPDATE approvals SET note = 'x'",
        "DELETE FROM approvals",
        "UPDATE requests SET uses_left = 5",
    ],
)
def test_the_history_cannot_be_changed(backend: str, statement: str) -> None:
    with opened(backend) as store:
        name = approved(store)
        before = store.get(name), store.events()
        with pytest.raises((sqlite3.IntegrityError, psycopg.errors.RaiseException, psycopg.errors.CheckViolation)):
            run(backend, statement)
        assert (store.get(name), store.events()) == before


def test_what_is_added_last_and_fails_undoes_everything(backend: str) -> None:
    """Additions may go to the server with the next statement: without one they still have to be made before the commit."""
    with opened(backend) as store:
        new = new_request(ALICE, request_of(ALICE), now())

        def file(name: str) -> None:
            with store.begin() as unit:
                unit.insert(new)
                unit.append(name, "requested", now(), ALICE)

        with pytest.raises((sqlite3.IntegrityError, psycopg.errors.ForeignKeyViolation)):
            file("nobody-asked")
        assert store.get(new.id) is None
        file(new.id)
        found = store.get(new.id)
        assert found is not None
        assert (found.asked, found.approvals, [e.kind for e in store.events()]) == (new.asked, (), ["requested"])


def test_requests_come_with_their_own_approvals_and_last_events(backend: str) -> None:
    with opened(backend) as store:
        service = ApprovalService(store, GrantSigner(KEY), now)
        asked = [replace(request_of(ALICE), statement=f"DELETE FROM t WHERE id = {n}") for n in range(3)]
        names = [service.file(ALICE, replace(a, binding=binding_of(ALICE.key, a)))[0].id for a in asked]
        service.approve(BOB, names[1], "fine")
        found = store.find(Query(ALICE))
        assert [request.id for request in found] == names[::-1]
        assert [len(request.approvals) for request in found] == [0, 1, 0]
        assert [request.last.kind if request.last else "" for request in found] == [
            "requested",
            "approved",
            "requested",
        ]
        assert [request.id for request in store.find(Query(ALICE, limit=2))] == names[:0:-1]
        assert found == [store.get(name) for name in names[::-1]]


def test_everything_is_still_there_after_a_restart(backend: str) -> None:
    with opened(backend) as store:
        name = approved(store)
        before = store.get(name)
    with opened(backend) as store:
        assert store.get(name) == before
        assert before is not None
        assert store.last_event() == before.version == 3


def test_a_database_of_a_newer_dbgate_is_left_alone(backend: str) -> None:
    with opened(backend) as store:
        approved(store)
    run(backend, "INSERT INTO schema_version VALUES (99, 0)")
    with pytest.raises(UsageError, match="newer dbgate \\(schema 99") as caught:
        open_store(backend, Path())
    assert "upgrade dbgate" in caught.value.hint
    assert run(backend, "SELECT max(version), count(*) FROM requests, schema_version GROUP BY id")[0][0] == 99


def test_a_file_from_before_versions_were_a_table(tmp_path: Path) -> None:
    file = tmp_path / "old.db"
    with contextlib.closing(sqlite3.connect(file)) as old, old:
        old.executescript(schema.SQLITE[0])
        old.execute("PRAGMA user_version = 1")
    with opened(f"sqlite:///{file}") as store:
        name = approved(store)
        assert store.get(name) is not None
    found = run(f"sqlite:///{file}", "SELECT version FROM schema_version ORDER BY version")
    assert found == [(number,) for number in range(1, len(schema.SQLITE) + 1)]
    with contextlib.closing(sqlite3.connect(file)) as newer, newer:
        newer.execute("PRAGMA user_version = 99")
    with pytest.raises(UsageError, match="newer dbgate"):
        open_store(f"sqlite:///{file}", Path())


def test_both_back_ends_have_the_same_migrations() -> None:
    assert len(schema.SQLITE) == len(schema.POSTGRES)


def test_who_reads_waits_for_no_writer(backend: str) -> None:
    with opened(backend) as store, ThreadPoolExecutor(1) as pool:
        service = ApprovalService(store, GrantSigner(KEY), now)
        name = service.file(ALICE, request_of(ALICE))[0].id
        with store.begin() as unit:
            unit.append(name, "approval", now(), BOB)
            found = pool.submit(store.get, name).result(5)
            assert found
            assert found.last
            assert found.last.kind == "requested", "and sees nothing that is not committed"
            assert pool.submit(store.last_event).result(5) == 1
        assert store.last_event() == 2


def test_many_instances_start_at_once(backend: str) -> None:
    together = threading.Barrier(8)

    def start(_: int) -> int:
        together.wait(20)
        with opened(backend) as store:
            return store.last_event()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(start, range(8))) == [0] * 8
    found = run(backend, "SELECT version FROM schema_version ORDER BY version")
    assert found == [(number,) for number in range(1, len(schema.SQLITE) + 1)]


def test_who_has_seen_an_event_has_missed_none_before_it(backend: str) -> None:
    """Numbers become visible in order, whoever writes: a reader that goes on from the last one loses nothing."""
    seen: list[int] = []
    done = threading.Event()

    def write(number: int) -> None:
        with opened(backend) as store:
            service = ApprovalService(store, GrantSigner(KEY), now)
            for turn in range(10):
                who = person(f"p{number}", "engineering")
                service.file(who, request_of(who, parameters=(str(turn),)))

    def read() -> None:
        with opened(backend) as store:
            while True:
                is_last = done.is_set()
                seen.extend(event.number for event in store.events(after=seen[-1] if seen else 0, limit=3))
                if is_last and len(seen) >= store.last_event():
                    return
                if is_last and not store.events(after=seen[-1]):
                    return

    with ThreadPoolExecutor(5) as pool:
        reader = pool.submit(read)
        for writer in [pool.submit(write, number) for number in range(4)]:
            writer.result(60)
        done.set()
        reader.result(60)
    with opened(backend) as store:
        assert seen == [event.number for event in store.events()]
        assert len(seen) == 40


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "approvals.db").write_bytes(b"this is no database, it is a text that is long enough" * 20)
    with pytest.raises(UsageError, match="cannot use") as caught:
        open_store("", tmp_path / "approvals.db")
    assert "--database" in caught.value.hint


def test_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path / 'new' / 'approvals.db'}"):
        assert (tmp_path / "new" / "approvals.db").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("database", "error"),
    [
        ("postgresql://u:geheim%zz@127.0.0.1/x", UsageError),
        ("postgresql://u:geheim@127.0.0.1/x?no_such=geheim", UsageError),
        ("postgresql://u:geheim@127.0.0.1:1/x?connect_timeout=2", Unreachable),
        ("mysql://u:geheim@127.0.0.1/x", UsageError),
        ("sqlite:///", UsageError),
    ],
)
def test_a_database_that_cannot_be_used(
    database: str, error: type[Exception], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(error) as caught:
        open_store(database, tmp_path)
    assert "geheim" not in f"{caught.value}{getattr(caught.value, 'hint', '')}{caplog.text}"


@pytest.mark.parametrize(
    ("database", "holds"),
    [
        ("", False),
        ("sqlite:///a:b@c", False),
        ("postgresql://u@127.0.0.1/x", False),
        ("postgresql:///x?user=u&passfile=/etc/pg", False),
        ("postgresql://u:geheim@127.0.0.1/x", True),
        ("postgres:///x?user=u&password=geheim", True),
        ("postgresql://u:geheim%zz@127.0.0.1/x", True),
    ],
)
def test_passwords_among_arguments_are_noticed(database: str, holds: bool) -> None:
    assert holds_password(database) is holds
