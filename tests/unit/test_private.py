from __future__ import annotations

from pathlib import Path

from dbgate.private import make_private


def test_a_private_folder_and_what_is_made_above_it_are_the_owners_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_private(tmp_path / "a" / "b")
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "a" / "b", tmp_path / "a", tmp_path)] == [
        0o700,
        0o700,
        0o755,
    ]
    (tmp_path / "a").chmod(0o750)
    make_private(tmp_path / "a" / "b")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o750
