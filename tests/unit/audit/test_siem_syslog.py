"""Events as syslog messages over UDP, TCP and TLS, to a real receiver."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
from tests.audit.receiver import Receiver
from tests.audit.samples import intent, outcome
from tests.unit.audit.test_siem_events import statement

from dbgate.audit.siem import syslog
from dbgate.audit.siem.syslog import Syslog, message
from dbgate.errors import Unreachable, UsageError

EVENT = statement(intent(1), outcome(1))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def context(authority: trustme.CA, *, asks: bool = False) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(made)
    if asks:
        authority.configure_trust(made)
        made.verify_mode = ssl.CERT_REQUIRED
    return made


@pytest.fixture
def pem(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


def sent(sink: Syslog, *texts: str) -> None:
    """Send messages and see them arrive."""
    for text in texts:
        sink.send(EVENT, text)
    sink.settle()


def test_a_message() -> None:
    assert message(EVENT, "hello") == b"<110>1 2026-11-30T12:00:01.000000Z laptop dbgate - statement - hello"
    assert message(statement(intent(1, decision="deny"), None), "x").startswith(b"<108>1 ")
    assert b" - dbgate " in message(statement(intent(1), outcome(1), host="\x1b \n"), "x")


def test_tcp_and_its_frames() -> None:
    texts = ["one", "zwei äöü", "3 4 <110>1 - - - - - forged", ""]
    with Receiver("tcp") as receiver:
        with Syslog(receiver.address) as sink:
            for text in texts[:2]:
                sink.send(EVENT, text)
            sink.settle()
            assert len(receiver.streams) == 1, "settled: all was read"
            for text in texts[2:]:
                sink.send(EVENT, text)
            sink.settle()
        assert receiver.messages == [message(EVENT, text) for text in texts]


def test_udp() -> None:
    with Receiver("udp") as receiver:
        with Syslog(receiver.address) as sink:
            assert not sink.is_sure
            sink.send(EVENT, "one")
            sink.send(EVENT, "two")
            sink.settle()
        for _ in range(50):
            if len(receiver.messages) == 2:
                break
            receiver._left.wait(0.1)
        assert receiver.messages == [message(EVENT, "one"), message(EVENT, "two")]


def test_tls(authority: trustme.CA, pem: Path) -> None:
    with Receiver("tls", context=context(authority)) as receiver:
        with Syslog(receiver.address, authority=pem) as sink:
            sink.send(EVENT, "one")
            sink.send(EVENT, "two")
            sink.settle()
        assert receiver.messages == [message(EVENT, "one"), message(EVENT, "two")]


def test_tls_with_a_client_certificate(authority: trustme.CA, pem: Path, tmp_path: Path) -> None:
    own = authority.issue_cert("dbgate.example.com")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    own.cert_chain_pems[0].write_to_path(cert)
    own.private_key_pem.write_to_path(key)
    with Receiver("tls", context=context(authority, asks=True)) as receiver:
        with Syslog(receiver.address, authority=pem, client=(cert, key)) as sink:
            sink.send(EVENT, "one")
            sink.settle()
        assert receiver.messages == [message(EVENT, "one")]
        with Syslog(receiver.address, authority=pem) as sink, pytest.raises(Unreachable):
            sent(sink, "two")


def test_a_stranger_is_sent_nothing(authority: trustme.CA, pem: Path) -> None:
    with Receiver("tls", context=context(trustme.CA())) as receiver:
        for sink in (Syslog(receiver.address, authority=pem), Syslog(receiver.address)):
            with sink, pytest.raises(Unreachable, match=r"unable to get local issuer|self-signed"):
                sink.send(EVENT, "one")
        assert receiver.messages == []
    with Receiver("tls", context=context(authority)) as receiver:
        elsewhere = receiver.address.replace("localhost", "127.0.0.1")
        with (
            Syslog(elsewhere, authority=pem) as sink,
            pytest.raises(Unreachable, match=r"IP address mismatch|doesn't match"),
        ):
            sink.send(EVENT, "one")


def test_a_receiver_that_breaks_off_has_not_read_it() -> None:
    with Receiver("tcp", breaks_after=100_000) as receiver:
        with Syslog(receiver.address) as sink, pytest.raises(Unreachable, match="cannot be reached"):
            sent(sink, *["x" * 1000] * 400)
        assert receiver.messages == []


def test_a_receiver_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syslog, "TIMEOUT_S", 0.3)
    with (
        Receiver("tcp", never_ends=True) as receiver,
        Syslog(receiver.address) as sink,
        pytest.raises(Unreachable, match="did not close the connection in time"),
    ):
        sent(sink, "one")


def test_a_receiver_that_talks_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syslog, "TIMEOUT_S", 0.5)
    with (
        Receiver("tcp", talks=True) as receiver,
        Syslog(receiver.address) as sink,
        pytest.raises(Unreachable, match="did not close the connection in time"),
    ):
        sent(sink, "one")


def test_nobody_listens() -> None:
    with Receiver("tcp") as gone:
        address = gone.address
    with Syslog(address) as sink, pytest.raises(Unreachable, match="refused"):
        sink.send(EVENT, "one")


@pytest.mark.parametrize(
    "address",
    ["", "://x", "ftp://h:1", "tls://", "tcp://h:x", "tcp://h:99999", "h:1/x", "u@h:1", "h:", "[::1", "h:1?x"],
)
def test_wrong_addresses(address: str) -> None:
    with pytest.raises(UsageError, match="not a syslog receiver"):
        Syslog(address)


def test_wrong_options(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="certificates are for TLS only"):
        Syslog("tcp://h:1", authority=tmp_path)
    with pytest.raises(UsageError, match="cannot read the certificates"):
        Syslog("h:1", authority=tmp_path / "none.pem")
    with pytest.raises(UsageError, match="65507 bytes at most"):
        Syslog("udp://h:1", limit=70000)
