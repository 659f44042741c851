"""The catalog's file: used while its fingerprint holds, and only whole."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from dbgate.catalog import Catalog, CatalogColumn, CatalogRelation
from dbgate.database.catalog_cache import CatalogCache

COLUMN = CatalogColumn(1, "ssn", "text", 25, 25, "text", "S", comment="höchst geheim")
CATALOG = Catalog(
    database="pay",
    role="app",
    server_version=180004,
    search_path=("public",),
    fingerprint="f1",
    schemas=("payroll",),
    relations=(CatalogRelation(16384, "payroll", "employees", "r", (COLUMN,), primary_key=(1,)),),
    system={"pg_catalog.pg_class": ("oid", "relname")},
    type_names={16390: "payroll.mood"},
)


@pytest.fixture
def cache(tmp_path: Path) -> CatalogCache:
    cache = CatalogCache(tmp_path, "host:5432/pay/app/180004")
    cache.write(CATALOG)
    return cache


def file_of(folder: Path) -> Path:
    (file,) = (folder / "catalog").iterdir()
    return file


def test_what_was_written_is_read(cache: CatalogCache) -> None:
    assert cache.read("f1") == CATALOG


def test_another_fingerprint_key_or_folder_reads_nothing(cache: CatalogCache, tmp_path: Path) -> None:
    assert cache.read("f2") is None
    assert CatalogCache(tmp_path, "host:5432/pay/other/180004").read("f1") is None
    assert CatalogCache(tmp_path / "none", "host:5432/pay/app/180004").read("f1") is None
    assert CatalogCache(None, "host:5432/pay/app/180004").read("f1") is None


def test_the_file_is_private(cache: CatalogCache, tmp_path: Path) -> None:
    file = file_of(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_any_change_of_the_file_makes_it_worthless(cache: CatalogCache, tmp_path: Path) -> None:
    file = file_of(tmp_path)
    good = file.read_bytes()
    for place in range(0, len(good), 7):
        file.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        assert cache.read("f1") is None
    for cut in (0, 1, good.index(b"\n"), len(good) - 1):
        file.write_bytes(good[:cut])
        assert cache.read("f1") is None
    file.write_bytes(good + b"\0")
    assert cache.read("f1") is None
    file.write_bytes(b'["not", "a header"]\n' + good)
    assert cache.read("f1") is None


def test_a_folder_that_cannot_be_written_costs_only_the_cache(tmp_path: Path) -> None:
    (tmp_path / "catalog").write_text("a file where the folder should be")
    cache = CatalogCache(tmp_path, "key")
    cache.write(CATALOG)
    assert cache.read("f1") is None


def test_no_pieces_are_left_behind(cache: CatalogCache, tmp_path: Path) -> None:
    cache.write(CATALOG)
    assert len(list((tmp_path / "catalog").iterdir())) == 1
