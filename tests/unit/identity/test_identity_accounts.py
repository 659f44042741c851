"""Which account acts: by name, by what was active, and never another one's by accident."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from dbgate.errors import SignInRequired, UsageError
from dbgate.identity.accounts import LIST, Account, Accounts, account_of, enter, find, place_of, read_accounts, strike
from dbgate.identity.client import Client
from dbgate.identity.file_store import FileStore
from dbgate.model import Identity

PEOPLE = Client("https://login.example.com/t", "dbgate", "dbgate")
SERVICE = Client("https://login.example.com/t", "dbgate", "urn:a", secret_env="SECRET")


def who(subject: str, email: str = "") -> Identity:
    return Identity(issuer=PEOPLE.issuer, subject=subject, email=email)


def listed(client: Client, *people: Identity) -> Accounts:
    made = Accounts()
    for one in people:
        made = made.with_acting(client, account_of(client, one))
    return made


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "identity")


def test_people_and_services_of_one_client_are_apart() -> None:
    both = listed(PEOPLE, who("ann")).with_acting(SERVICE, account_of(SERVICE, who("dbgate")))
    assert [one.subject for one in both.of(PEOPLE)] == ["ann"]
    assert [one.subject for one in both.of(SERVICE)] == ["dbgate"]
    assert place_of(PEOPLE, "ann") != place_of(PEOPLE, "bob")
    assert place_of(SERVICE, "ann") == place_of(SERVICE, "bob")


@pytest.mark.parametrize(
    ("name", "subject"),
    [("Ann@Example.com", "u-1"), ("u-1", "u-1"), ("U-1", ""), ("u-2", "u-2"), ("", ""), ("ann", "")],
)
def test_an_email_is_one_in_either_case_and_a_subject_exactly(name: str, subject: str) -> None:
    found = listed(PEOPLE, who("u-1", "ann@example.com"), who("u-2")).called(PEOPLE, name)
    assert (found.subject if found else "") == subject


def test_an_email_of_several_names_none_of_them() -> None:
    both = listed(PEOPLE, who("u-1", "ann@example.com"), who("u-2", "ann@example.com"))
    with pytest.raises(UsageError, match="is the e-mail of several accounts") as caught:
        both.called(PEOPLE, "ann@example.com")
    assert caught.value.hint == "name one by its subject: u-1, u-2"
    assert both.called(PEOPLE, "u-1") is not None


def test_only_the_one_that_is_left_takes_over() -> None:
    three = listed(PEOPLE, who("a"), who("b"), who("c"))
    two = three.without(account_of(PEOPLE, who("c")))
    assert two.acting(PEOPLE) is None
    assert (one := three.without(account_of(PEOPLE, who("a"))).acting(PEOPLE)) is not None
    assert one.subject == "c"
    last = listed(PEOPLE, who("a"), who("b")).without(account_of(PEOPLE, who("b"))).acting(PEOPLE)
    assert last is not None
    assert last.subject == "a"


def test_a_name_that_is_not_signed_in_is_nobody_else(store: FileStore, tmp_path: Path) -> None:
    assert find(store, PEOPLE, "") is None
    enter(store, tmp_path, PEOPLE, who("ann"))
    acting = find(store, PEOPLE, "")
    assert acting is not None
    assert acting.subject == "ann"
    with pytest.raises(SignInRequired, match="bob is not signed in to") as caught:
        find(store, PEOPLE, "bob")
    assert caught.value.hint == "run: dbgate login --account bob\nsigned in are: ann"


def test_of_several_without_an_active_one_nobody_acts(store: FileStore, tmp_path: Path) -> None:
    for subject in ("ann", "bob", "cy"):
        enter(store, tmp_path, PEOPLE, who(subject))
    strike(store, tmp_path, account_of(PEOPLE, who("cy")))
    with pytest.raises(SignInRequired, match="no account is active at") as caught:
        find(store, PEOPLE, "")
    assert caught.value.hint == "signed in are: ann, bob\nrun: dbgate login --account NAME"


def test_a_list_of_another_version_is_not_guessed_at(store: FileStore) -> None:
    one = Account(key="k", issuer=PEOPLE.issuer, client_id="dbgate", service=False, subject="ann")
    store.write(LIST, msgspec.json.encode(Accounts(version=2, accounts=(one,))))
    with pytest.raises(SignInRequired, match="the list of accounts is damaged"):
        read_accounts(store)
