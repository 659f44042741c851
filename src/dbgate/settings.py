"""The configuration as frozen values. `dbgate.config` reads them from YAML and the environment."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from dbgate.model import Target


class IdentitySettings(msgspec.Struct, frozen=True):
    """How people and services sign in.

    `provider` is `oidc` or `local`. `token_store` is `keyring` or `file` (0600 under the state directory).
    `client_secret_env` names the variable that holds a service's secret; with it the identity is a
    service. `groups`, `email` and `user` (another name than the operating
    system's, as unproven as the rest: for demos and tests) serve `provider: local` only. `ca_file` is a PEM bundle for the issuer.
    `groups_claim` names the claim with the groups, `actor_claim` the one that marks agents.
    `redirect_uri` is where the browser comes back to: loopback only, any free port unless it names one.
    `prompt` is sent with a browser sign-in: `consent` for issuers that give refresh tokens only then.
    `resource` (RFC 8707) is sent when a service asks for a token; `workload_token_file` holds a service's
    signed assertion (RFC 7523) instead of a secret, `private_key_file` the key with which it signs one itself: named by
    `private_key_id` or by the thumbprint of `certificate_file`, for `assertion_audience`. `account` names the account that acts, by e-mail or subject,
    where several are signed in.

    Where a configuration has several issuers, `name` is the one by which it calls this issuer, empty for the main one;
    every group of a named issuer begins with `NAME/`. `others` are the names of the other issuers: no group of the main
    one may begin with one of them.
    """

    provider: str = "local"
    issuer: str = ""
    client_id: str = ""
    scopes: tuple[str, ...] = ()
    audience: str = ""
    token_store: str = "keyring"
    client_secret_env: str = ""
    groups_claim: str = "groups"
    ca_file: str = ""
    groups: tuple[str, ...] = ()
    email: str = ""
    user: str = ""
    actor: str = "human"
    actor_claim: str = ""
    redirect_uri: str = "http://127.0.0.1"
    prompt: str = ""
    resource: str = ""
    workload_token_file: str = ""
    account: str = ""
    private_key_file: str = ""
    private_key_id: str = ""
    certificate_file: str = ""
    assertion_audience: str = ""
    name: str = ""
    others: tuple[str, ...] = ()


MAIN = "main"
"""What the issuer is called that a configuration names first."""


class ApprovalsSettings(msgspec.Struct, frozen=True):
    """Where the approvals service is, and the key that signs its grants (a pinned public key file or empty)."""

    url: str = ""
    ca_file: str = ""
    public_key: str = ""


class AuditSettings(msgspec.Struct, frozen=True):
    """Where transcripts go. `key_store` is `keyring` or `file`; empty picks the keyring when there is one.

    `auditors` are the groups whose people may watch recordings in the web console.
    """

    bucket: str = ""
    key_store: str = ""
    output_limit_bytes: int = 1024 * 1024
    auditors: tuple[str, ...] = ()


class Settings(msgspec.Struct, frozen=True):
    """The whole configuration. `file` is where it was read from, or None for built-in defaults.

    `identity` is the issuer that sign-ins are of, unless a target or somebody says otherwise; `issuers` are all of them
    by name (`MAIN` for the first), and empty where there is only one.
    """

    file: Path | None
    state_dir: Path
    identity: IdentitySettings = msgspec.field(default_factory=IdentitySettings)
    approvals: ApprovalsSettings = msgspec.field(default_factory=ApprovalsSettings)
    audit: AuditSettings = msgspec.field(default_factory=AuditSettings)
    targets: Mapping[str, Target] = msgspec.field(default_factory=dict)
    issuers: Mapping[str, IdentitySettings] = msgspec.field(default_factory=dict)
