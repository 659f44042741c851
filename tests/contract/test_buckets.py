"""One suite over every kind of bucket: a directory, and S3 as a real HTTP server speaks it.

`DBGATE_TEST_BUCKET=az://…` (or any other URL) tries one more, in folders of its own, which stay there.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

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
from dbgate.audit.siem import Feed, Wanted
from dbgate.audit.verification import verify_bucket
from dbgate.cli import checks
from dbgate.cli.findings import Finding, Findings
from dbgate.errors import Unreachable, UsageError
from dbgate.settings import AuditSettings, Settings

REGION = "eu-central-1"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    wsgi = server._server
    assert wsgi
    wsgi.app = as_an_sdk(wsgi.app)
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


def as_an_sdk(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """S3 asks for a checksum of what is put under a lock; moto for the name that SDKs give it in a header of theirs, too."""

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if "HTTP_X_AMZ_CHECKSUM_SHA256" in environ:
            environ["HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM"] = "SHA256"
        return app(environ, start)

    return answer


def new_s3(endpoint: str, prefix: str, *, retention: Mapping[str, object] | None = None) -> str:
    name = f"audit-{secrets.token_hex(6)}"
    client = boto3.client("s3", endpoint_url=endpoint, region_name=REGION)
    client.create_bucket(
        Bucket=name,
        CreateBucketConfiguration={"LocationConstraint": REGION},
        ObjectLockEnabledForBucket=retention is not None,
    )
    if retention is not None:
        rule = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": dict(retention)}}
        client.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=rule)
    return f"s3://{name}{prefix}?region={REGION}&endpoint={endpoint}"


OUTSIDE = os.environ.get("DBGATE_TEST_BUCKET", "")


@pytest.fixture(params=["file", "s3", "s3 with a prefix", *(["outside"] if OUTSIDE else [])])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return (tmp_path / "bucket").as_uri()
    if request.param == "outside":
        place, _, options = OUTSIDE.partition("?")
        return f"{place.rstrip('/')}/{secrets.token_hex(6)}?{options}"
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


@pytest.mark.parametrize(
    ("retention", "level", "text"),
    [
        (None, "warn", "what is there can be deleted"),
        ({"Mode": "COMPLIANCE", "Years": 7}, "ok", "(COMPLIANCE)"),
        ({"Mode": "GOVERNANCE", "Days": 400}, "ok", "(GOVERNANCE)"),
    ],
)
def test_the_retention_of_what_was_shipped(
    retention: Mapping[str, object] | None, level: str, text: str, endpoint: str, credentials: None, tmp_path: Path
) -> None:
    url = new_s3(endpoint, "/audit", retention=retention)
    here = Installation(tmp_path)
    settings = Settings(None, tmp_path, audit=AuditSettings(bucket=url))

    def looked_at() -> Finding:
        findings = Findings(show=False)
        checks.bucket(findings, settings, offline=False)
        (found,) = findings.found
        return found

    before = looked_at()
    assert (str(before.level), "nothing was shipped yet" in before.hint) == ("ok", True)
    here.session()
    assert ship(here.state_dir, url, "file").refused == {}
    here.session()
    assert ship(here.state_dir, url, "file").refused == {}, "a checkpoint is replaced under a lock, too"
    found = looked_at()
    assert (str(found.level), text in found.text) == (level, True), found
    assert ("COMPLIANCE" in found.hint) == (retention is not None and retention["Mode"] == "GOVERNANCE")
    verdicts = verify_bucket(open_bucket(url), keys=own_keys(here.state_dir), seen=here.seen())
    assert verdicts.holds()


def test_an_object_with_a_name_that_is_none_is_named(endpoint: str, credentials: None, tmp_path: Path) -> None:
    url = new_s3(endpoint, "")
    client = boto3.client("s3", endpoint_url=endpoint, region_name=REGION)
    client.put_object(Bucket=url.split("/")[2].split("?")[0], Key="sessions/date=2026-01-31//x", Body=b"")
    with pytest.raises(Unreachable, match="holds an object with a name that dbgate never gives") as raised:
        list(open_bucket(url).names("sessions"))
    assert "date=2026-01-31//x" in raised.value.message
    assert "take it away" in raised.value.hint


def test_puts_carry_a_checksum(endpoint: str, credentials: None) -> None:
    """S3 takes nothing without one into a bucket with object lock."""
    url = new_s3(endpoint, "")
    open_bucket(url).put_new("a", b"x")
    client = boto3.client("s3", endpoint_url=endpoint, region_name=REGION)
    name = url.removeprefix("s3://").partition("?")[0]
    told = client.head_object(Bucket=name, Key="a", ChecksumMode="ENABLED")
    assert told["ChecksumSHA256"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://", "has no name"),
        ("s3://x?regoin=y", "unknown option of an s3 bucket: regoin"),
        ("gs://x?region=y", "unknown option of a gs bucket: region"),
        ("gs:///x", "has no name"),
        ("az://x", "has no storage account"),
        ("az://x?account=a&key=b", "unknown option of an az bucket: key"),
        ("s3://user:pass@x", "takes no credentials in its URL"),
        ("ftp://x", "not a bucket"),
    ],
)
def test_urls_that_are_none(url: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(UsageError) as raised:
        open_bucket(url)
    assert message in raised.value.message
    assert "pass" not in raised.value.message


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


def test_a_bucket_is_told_as_events(url: str, tmp_path: Path) -> None:
    here = Installation(tmp_path / "here")
    for target in ("pay roll/äöü", "stock"):
        with open_session(
            state_dir=here.state_dir, bucket=url, start={**START, "target": target}, key_store="file"
        ) as recorder:
            recorder.record("statement.intent", intent(1, "SELECT 'here'"))
            recorder.record("statement.outcome", outcome(1))
            recorder.close({"reason": "ended"})
    ship(here.state_dir, url, "file")
    feed = Feed(open_bucket(url), Wanted(target="pay*"))
    (folder,) = feed.folders()
    marks: list[tuple[int, bool]] = []
    events = list(feed.session(folder, -1, lambda told, ended: marks.append((told, ended))))
    assert [(event.kind, event.start["target"]) for event in events] == [
        ("session.start", "pay roll/äöü"),
        ("statement", "pay roll/äöü"),
        ("session.end", "pay roll/äöü"),
    ]
    assert (marks[-1], feed.damaged, feed.open) == ((3, True), {}, [])
