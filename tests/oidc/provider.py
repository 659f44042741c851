"""A certified OpenID provider (npm's `oidc-provider`) for the tests, over https with a test CA.

The fixture `oidc` (tests/conftest.py) gives one to the tests of a module; those that need another one make it with `oidc_provider`.

`provider.issuers["main"]` is an issuer under a path, `provider.ca_file` its CA; `provider.browse(url, "alice")` signs
alice in as her browser would. Packages are installed once per user from the lock file, outside the repository (`tests/node.py`).
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.node import find_node, install_packages
from tests.oidc.browser import browse

HERE = Path(__file__).parent
ISSUERS = (
    {"name": "main", "path": "/tenant/v2", "port": "first"},
    {"name": "same-port", "path": "/tenant/v3", "port": "first"},
    {"name": "same-path", "path": "/tenant/v2", "port": "second"},
    {"name": "root", "path": "", "port": "third"},
)
USERS: dict[str, dict[str, Any]] = {
    "alice": {"email": "alice@example.com", "name": "Alice Adams", "groups": ["engineering", "dba"]},
    "bob": {"email": "bob@example.com", "name": "Bob Brown", "groups": ["data-owners"]},
    "hana": {"email": "hana@example.com", "name": "Hana Hart", "groups": ["dba", "auditors"]},
    "erin": {"email": "erin@example.com", "_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {}}},
    "frank": {"email": "frank@example.com", "groups": "engineering"},
    "grace": {
        "email": "grace@example.com",
        "name": "Grace Green",
        "groups": ["engineering"],
        "act": {"sub": "report-bot"},
    },
}


@dataclass(frozen=True)
class OidcProvider:
    """A running provider. `secret` is the secret of its client `dbgate-service`; `workload_key` a PEM key of `dbgate-workload`."""

    issuers: Mapping[str, str]
    ca_file: Path
    secret: str
    workload_key: str
    users: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: USERS)

    def browse(self, url: str, login: str) -> str:
        """Open `url` as the browser of `login`, fill the forms in, and return the last page's text."""
        return browse(url, login, str(self.ca_file)).text

    def browser_environment(self, login: str) -> dict[str, str]:
        """What makes `dbgate login` open the browser of `login`: add it to the environment."""
        command = f"{sys.executable} {HERE / 'browser.py'} %s"
        return {"BROWSER": command, "TEST_BROWSER_LOGIN": login, "TEST_BROWSER_CA": str(self.ca_file)}


@contextmanager
def oidc_provider(folder: Path, *, id_token_s: int = 2, redirects: Sequence[str] = ()) -> Iterator[OidcProvider]:
    """Run the provider with its files in `folder`. ID tokens of the client `dbgate-short` live `id_token_s` seconds.

    `redirects` are those of the client `dbgate-web`, which exists when there are some.
    """
    import trustme

    ca = trustme.CA()
    server = ca.issue_cert("127.0.0.1", "localhost")
    ca_file = folder / "ca.pem"
    ca.cert_pem.write_to_path(str(ca_file))
    workload_key, workload_jwk = new_workload_key()
    secret = secrets.token_urlsafe(32)
    setup = {
        "key": server.private_key_pem.bytes().decode(),
        "cert": b"".join(blob.bytes() for blob in server.cert_chain_pems).decode(),
        "issuers": ISSUERS,
        "users": USERS,
        "secret": secret,
        "workload": workload_jwk,
        "ttl": id_token_s,
        "redirects": list(redirects),
    }
    node = find_node()
    home = install_packages("oidc", HERE, ("package.json", "package-lock.json", "server.mjs"))
    with (folder / "provider.log").open("wb") as log:
        process = subprocess.Popen(
            [node, str(home / "server.mjs")], cwd=home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        )
        try:
            if process.stdin is None or process.stdout is None:
                raise RuntimeError("the provider has no pipes")
            process.stdin.write(json.dumps(setup).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the provider did not start:\n{(folder / 'provider.log').read_text()}")
            yield OidcProvider(json.loads(line), ca_file, secret, workload_key)
        finally:
            process.kill()
            process.communicate()


def new_workload_key() -> tuple[str, dict[str, Any]]:
    """A fresh EC key as PEM, and its public half as JWK."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from jwt.algorithms import ECAlgorithm

    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    jwk = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return pem, {**jwk, "kid": "workload-1", "use": "sig", "alg": "ES256"}
