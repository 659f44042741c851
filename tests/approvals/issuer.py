"""A real HTTP issuer on a loopback port that publishes what each test wants, and signs whatever a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.approvals.kit import START, HandClock

from dbgate.approvals.oidc import OidcVerifier

ED = Ed25519PrivateKey.generate()
AUDIENCE = "dbgate-cli"
NOW = int(START.timestamp())


def jwk(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    """The public JWK of a private key."""
    kinds: list[tuple[type, Any]] = [
        (rsa.RSAPrivateKey, jwt.algorithms.RSAAlgorithm),
        (ec.EllipticCurvePrivateKey, jwt.algorithms.ECAlgorithm),
        (Ed25519PrivateKey, jwt.algorithms.OKPAlgorithm),
    ]
    algorithm = next(algorithm for kind, algorithm in kinds if isinstance(key, kind))
    return dict(algorithm.to_jwk(key.public_key(), as_dict=True)) | {"kid": kid, "use": "sig"} | more


@dataclass
class Issuer:
    """What the provider publishes, and how often each path was asked for."""

    url: str = ""
    keys: list[Any] = field(default_factory=list)
    discovery: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    raw_keys: bytes = b""
    asked: list[str] = field(default_factory=list)
    clock: HandClock = field(default_factory=HandClock)
    answers: threading.Event = field(default_factory=threading.Event)
    """While it is not set, the issuer takes connections and says nothing."""

    tokens: Any = field(default_factory=dict)
    """What it answers to a code, with the status `tokens_status`."""
    tokens_status: int = 200
    redeemed: list[tuple[dict[str, str], str]] = field(default_factory=list)
    """The forms that brought codes, each with its `Authorization`."""

    def __post_init__(self) -> None:
        self.answers.set()

    def verifier(self, **options: Any) -> OidcVerifier:
        return OidcVerifier(self.url, [AUDIENCE], clock=self.clock, **options)

    def token(self, key: Any = ED, algorithm: str = "EdDSA", kid: str | None = "ed", **changes: Any) -> str:
        claims = {
            "iss": self.url,
            "sub": "u-1",
            "aud": AUDIENCE,
            "iat": NOW,
            "exp": NOW + 300,
            "email": "ann@example.com",
            "name": "Ann",
            "groups": ["dba", "engineering"],
        } | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid} if kid else {})


@contextmanager
def serving(issuer: Issuer) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            issuer.answers.wait(60)
            document: Any = {"keys": issuer.keys}
            if self.path.endswith("openid-configuration"):
                document = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/jwks"} | issuer.discovery
            body = json.dumps(document).encode()
            if issuer.raw_keys and self.path.endswith("/jwks"):
                body = issuer.raw_keys
            moved = issuer.status == 302 and not self.path.startswith("/moved")
            self.send_response(issuer.status if moved or issuer.status != 302 else 200)
            if moved:
                self.send_header("Location", f"/moved{self.path}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            issuer.redeemed.append((dict(parse_qsl(form)), self.headers.get("Authorization", "")))
            body = json.dumps(issuer.tokens).encode()
            self.send_response(issuer.tokens_status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer.url = f"http://127.0.0.1:{server.server_port}/tenant"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield
        finally:
            issuer.answers.set()
            server.shutdown()
            thread.join(10)
