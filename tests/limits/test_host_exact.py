"""Which file system a folder is on."""

from pathlib import Path

import pytest

from omeda_async.limits._host import network_of


def test_of_two_file_systems_at_one_place_the_later_hides_the_earlier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the system lists them; what is mounted elsewhere, however deep, does not matter."""
    mounts = tmp_path / "mounts"
    share = tmp_path / "share"
    share.mkdir()
    monkeypatch.setattr("omeda_async.limits._host._MOUNTS", mounts)
    for kinds in (("ext4", "nfs4"), ("nfs4", "ext4")):
        lines = [f"x {share} {kind} rw 0 0\n" for kind in kinds]
        mounts.write_text(f"x / ext4 rw 0 0\n{''.join(lines)}x {share}/below/it cifs rw 0 0\nx / ext4 rw 0 0\n")
        expected = "nfs4" if kinds[1] == "nfs4" else None
        assert [network_of(share), network_of(share / "below")] == [expected] * 2
