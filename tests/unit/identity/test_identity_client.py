"""A configuration that cannot work is refused before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from dbgate.errors import SignInRequired, UsageError
from dbgate.identity.application import asked_scopes, authority
from dbgate.identity.client import naming, read_client
from dbgate.settings import IdentitySettings

GOOD: dict[str, Any] = {"provider": "oidc", "issuer": "https://login.example.com/tenant/v2", "client_id": "dbgate"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"provider": "ldap"}, "identity.provider is 'ldap'"),
        ({"issuer": ""}, "identity.issuer is missing"),
        ({"client_id": ""}, "identity.client_id is missing"),
        ({"issuer": "http://login.example.com/tenant"}, "not an https URL"),
        ({"issuer": "login.example.com/tenant"}, "not an https URL"),
        ({"issuer": "https://"}, "not an https URL"),
        ({"issuer": "https://login.example.com:port/"}, "not a URL"),
        ({"issuer": "https://login.example.com/t?x=1"}, "has a query"),
        ({"issuer": "https://login.example.com/t#x"}, "has a query"),
        ({"issuer": "https://login.example.com@evil.example/t"}, "has a query, a fragment or a user"),
        ({"redirect_uri": "https://127.0.0.1"}, "not a loopback address"),
        ({"redirect_uri": "http://app.example.com/callback"}, "not a loopback address"),
        ({"redirect_uri": "http://127.0.0.1.evil.example"}, "not a loopback address"),
        ({"redirect_uri": "http://127.0.0.1@evil.example"}, "not a loopback address"),
        ({"redirect_uri": "http://0.0.0.0:8400"}, "not a loopback address"),
        ({"redirect_uri": "http://127.0.0.1:none"}, "not a URL"),
        ({"redirect_uri": "http://me@127.0.0.1"}, "not a loopback address"),
        ({"redirect_uri": "http://127.0.0.1/?next=x"}, "not a loopback address"),
        ({"redirect_uri": "http://127.0.0.1/#x"}, "not a loopback address"),
        ({"issuer": "https://me@login.example.com/t"}, "has a query, a fragment or a user"),
        ({"client_secret_env": "SECRET", "workload_token_file": "/run/token"}, "signs in one way"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError) as error:
        read_client(IdentitySettings(**(GOOD | changes)))
    assert reason in f"{error.value.message} {error.value.hint}"


def test_every_issuer_client_and_kind_has_a_place_of_its_own() -> None:
    variants: list[dict[str, Any]] = [
        {},
        {"issuer": "https://login.example.com/tenant/v3"},
        {"issuer": "https://login.example.com/tenant/v2/"},
        {"issuer": "https://login.example.com:8443/tenant/v2"},
        {"issuer": "https://LOGIN.example.com/tenant/v2"},
        {"client_id": "another"},
        {"client_secret_env": "SECRET"},
    ]
    keys = {read_client(IdentitySettings(**(GOOD | changes))).key for changes in variants}
    assert len(keys) == len(variants)


@pytest.mark.parametrize(
    ("issuer", "name"),
    [
        ("https://login.example.com/tenant/v2", "https://login.example.com/tenant/v2"),
        ("https://login.example.com/tenant/", "https://login.example.com/tenant"),
        ("https://login.example.com", "https://login.example.com/."),
        ("https://login.example.com/", "https://login.example.com/."),
        ("https://login.example.com:8443", "https://login.example.com:8443/."),
    ],
)
def test_an_issuer_at_the_root_gets_an_empty_path_for_msal(issuer: str, name: str) -> None:
    assert authority(issuer) == name


def test_scopes_are_what_the_issuer_offers_unless_configured() -> None:
    client = read_client(IdentitySettings(**GOOD))
    assert asked_scopes(client, None) == ("email", "groups")
    assert asked_scopes(client, frozenset({"openid", "email"})) == ("email",)
    chosen = read_client(IdentitySettings(**(GOOD | {"scopes": ("openid", "profile", "roles")})))
    assert asked_scopes(chosen, frozenset({"openid"})) == ("roles",)
    service = read_client(IdentitySettings(**(GOOD | {"client_secret_env": "SECRET"})))
    assert asked_scopes(service, None) == ()


def test_hints_name_the_issuer_where_it_is_not_the_main_one() -> None:
    for name, hint in (("partner", "run: dbgate login --issuer partner"), ("", "run: dbgate login")):
        with pytest.raises(SignInRequired) as caught, naming(IdentitySettings(**GOOD, name=name)):
            raise SignInRequired("nobody", hint="run: dbgate login")
        assert caught.value.hint == hint
