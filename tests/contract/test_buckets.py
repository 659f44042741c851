"""One suite over every kind of bucket: a directory, and S3 as a real HTTP server speaks it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from tests.audit.samples import START, Installation, intent, outcome

from dbgate.audit import spool
from dbgate.audit.bucket import Bucket, open_bucket
from dbgate.audit.keys import own_keys
from dbgate.audit.recorder import open_session
from dbgate.audit.search import Engine
from dbgate.audit.shipping import ship
from dbgate.audit.verification import verify_bucket
from dbgate.errors import Unreachable

REGION = "eu-central-1"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


def new_s3(endpoint: str, prefix: str) -> str:
    name = f"audit-{secrets.token_hex(6)}"
    client = boto3.client("s3", endpoint_url=endpoint, region_name=REGION)
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return f"s3://{name}{prefix}?region={REGION}&endpoint={endpoint}"


@pytest.fixture(params=["file", "s3", "s3 with a prefix"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return (tmp_path / "bucket").as_uri()
    request.getfixturevalue("credentials")
    return new_s3(request.getfixturevalue("endpoint"), "/team/audit" if "prefix" in request.param else "")


@pytest.fixture
def bucket(url: str) -> Bucket:
    return open_bucket(url, create=True)


PATHS = [
    "plain",
    "keys/a.pub",
    "sessions/date=2026-01-31/target=a%2Fb%20c/01jd/00000.jsonl.zst",
    "log/dbgate/1/tile/0/x001/234.p/5",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 300])
def test_what_is_put_is_what_is_got(bucket: Bucket, path: str, content: bytes) -> None:
    assert bucket.put_new(path, content)
    assert bucket.get(path) == content


def test_an_object_is_put_once(bucket: Bucket) -> None:
    assert bucket.put_new("a/b", b"first")
    assert not bucket.put_new("a/b", b"second")
    assert not bucket.put_new("a/b", b"first")
    assert bucket.get("a/b") == b"first"


def test_a_checkpoint_is_replaced(bucket: Bucket) -> None:
    bucket.replace("log/x/checkpoint", b"one")
    bucket.replace("log/x/checkpoint", b"two")
    assert bucket.get("log/x/checkpoint") == b"two"


def test_what_is_not_there_is_none(bucket: Bucket) -> None:
    assert bucket.get("nothing/here") is None


def test_names_and_folders(bucket: Bucket) -> None:
    for path in ("sessions/d1/t1/a/0", "sessions/d1/t2/b/0", "sessions/d2/t1/c/0", "keys/k"):
        bucket.put_new(path, b"x")
    assert sorted(bucket.names("sessions")) == ["sessions/d1/t1/a/0", "sessions/d1/t2/b/0", "sessions/d2/t1/c/0"]
    assert sorted(bucket.names("sessions/d1")) == ["sessions/d1/t1/a/0", "sessions/d1/t2/b/0"]
    assert bucket.folders("sessions") == ["sessions/d1", "sessions/d2"]
    assert bucket.folders("sessions/d1") == ["sessions/d1/t1", "sessions/d1/t2"]
    assert list(bucket.names("nothing")) == []
    assert bucket.folders("nothing") == []


def test_more_names_than_a_page(bucket: Bucket) -> None:
    """S3 lists a thousand at a time."""
    wanted = 1005 if bucket.url.startswith("file") else 30
    for number in range(wanted):
        bucket.put_new(f"many/{number:05d}", b"")
    assert len(set(bucket.names("many"))) == wanted


def test_sessions_ship_and_verify(url: str, tmp_path: Path) -> None:
    here = Installation(tmp_path)
    sessions = [here.session(2), here.session(close=False), here.session(start={"target": "ü/x y"})]
    report = ship(here.state_dir, url, "file")
    assert report.shipped == sorted(sessions)
    assert report.refused == {}
    assert spool.spooled(here.state_dir) == []
    later = here.session()
    assert ship(here.state_dir, url, "file").shipped == [later]
    verdicts = verify_bucket(open_bucket(url), keys=own_keys(here.state_dir), seen=here.seen())
    assert verdicts.holds(), (verdicts.intact, verdicts.complete, verdicts.anchored)
    assert [item.session for item in verdicts.sessions] == sorted([*sessions, later])


def test_two_installations_share_a_bucket(url: str, tmp_path: Path) -> None:
    one, two = Installation(tmp_path / "one"), Installation(tmp_path / "two")
    for here in (one, two, one):
        here.session()
        ship(here.state_dir, url, "file")
    keys = [*own_keys(one.state_dir), *own_keys(two.state_dir)]
    verdicts = verify_bucket(open_bucket(url), keys=keys, seen=[*one.seen(), *two.seen()])
    assert verdicts.holds()
    assert (len(verdicts.sessions), len(verdicts.logs)) == (3, 2)
    mine = verify_bucket(open_bucket(url), keys=own_keys(one.state_dir))
    assert not mine.intact.holds
    assert "not among the trusted keys" in str(mine.intact)


@pytest.fixture(params=["no such bucket", "nobody listens"])
def away(request: pytest.FixtureRequest, endpoint: str, credentials: None) -> str:
    where = endpoint if request.param == "no such bucket" else "http://127.0.0.1:9"
    return f"s3://absent-{secrets.token_hex(4)}?region={REGION}&endpoint={where}"


def test_a_bucket_that_is_away_loses_nothing(away: str, tmp_path: Path) -> None:
    here = Installation(tmp_path)
    session = here.session()
    with pytest.raises(Unreachable) as raised:
        ship(here.state_dir, away, "file")
    assert raised.value.exit_code == 7
    assert "Debug source" not in raised.value.message
    assert "\n" not in raised.value.message
    assert spool.spooled(here.state_dir) == [session]
    assert here.ship().shipped == [session]


def test_a_bucket_is_searched(url: str, tmp_path: Path) -> None:
    here = Installation(tmp_path / "here")
    with open_session(state_dir=here.state_dir, bucket=url, start=START, key_store="file") as recorder:
        recorder.record("statement.intent", intent(1, "SELECT 'here'"))
        recorder.record("statement.outcome", outcome(1))
        recorder.close({"reason": "ended"})
    ship(here.state_dir, url, "file")
    with Engine(open_bucket(url), lambda date: True) as engine:
        answer = engine.ask("SELECT person, text, object FROM statements JOIN records USING (session, text)")
        (batch,) = answer.batches()
    ((person, text, place),) = batch
    assert (person, text) == ("mia@example.com", "SELECT 'here'")
    assert open_bucket(url).get(str(place)) is not None
