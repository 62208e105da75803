import subprocess
import sys
from pathlib import Path

import pytest

from umbel.data import cache_folder, data_folders, find, need
from umbel.errors import UmbelError


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """An own folder and a cache folder, both empty."""
    own, cache = tmp_path / "own", tmp_path / "cache" / "umbel"
    own.mkdir()
    cache.mkdir(parents=True)
    monkeypatch.setenv("UMBEL_DATA", str(own))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("UMBEL_DOWNLOAD", raising=False)
    return own, cache


def test_own_folder_comes_before_the_cache(folders):
    own, cache = folders
    assert data_folders() == [own, cache]
    (cache / "a.txt").touch()
    assert find("a.txt") == cache / "a.txt"
    (own / "a.txt").touch()
    assert find("a.txt") == own / "a.txt"


def test_earlier_alternatives_win_and_stars_stand_for_anything(folders):
    own, cache = folders
    (own / "sub").mkdir()
    for name in ("b_2.csv", "b_1.csv"):
        (own / "sub" / name).touch()
    (cache / "exact.csv").touch()
    assert find("exact.csv", "sub/b_*.csv") == cache / "exact.csv"
    assert find("sub/b_*.csv") == own / "sub" / "b_1.csv"
    assert find("sub") == own / "sub"
    assert find("nothing", "sub/c_*.csv") is None


def test_a_folder_that_does_not_exist_holds_nothing(folders, monkeypatch):
    monkeypatch.setenv("UMBEL_DATA", str(folders[0] / "gone"))
    assert find("a.txt") is None


def test_the_cache_folder_follows_the_system(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    for platform, expected in (("linux", "/home/me/.cache/umbel"), ("darwin", "/home/me/Library/Caches/umbel")):
        monkeypatch.setattr(sys, "platform", platform)
        assert cache_folder() == Path(expected)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert cache_folder() == Path("/local/umbel")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache_folder() == Path("/elsewhere/umbel")


def test_a_missing_set_is_one_line_that_says_where_it_was_looked_for_and_what_to_do(folders, monkeypatch):
    own, cache = folders
    with pytest.raises(UmbelError) as caught:
        need("faces", "faces.npz", "f.npz", hint="put faces.npz there", fetch=lambda folder: None)
    text = str(caught.value)
    for part in ("'faces'", "faces.npz or f.npz", str(own), str(cache), "put faces.npz there", "UMBEL_DOWNLOAD=1"):
        assert part in text
    assert "\n" not in text
    monkeypatch.delenv("UMBEL_DATA")
    with pytest.raises(UmbelError, match="set UMBEL_DATA") as caught:
        need("faces", "faces.npz")
    assert "UMBEL_DOWNLOAD" not in str(caught.value)  # there is nothing to download


def test_downloads_only_when_asked_and_only_what_is_missing(folders, monkeypatch):
    calls = []

    def fetch(folder):
        calls.append(folder)
        (folder / "set.txt").touch()

    with pytest.raises(UmbelError):
        need("set", "set.txt", fetch=fetch)
    monkeypatch.setenv("UMBEL_DOWNLOAD", "0")
    with pytest.raises(UmbelError):
        need("set", "set.txt", fetch=fetch)
    assert calls == []
    assert need("set", "set.txt", fetch=fetch, download=True) == folders[1] / "set.txt"
    assert need("set", "set.txt", fetch=fetch, download=True) == folders[1] / "set.txt"
    assert calls == [folders[1]]
    (folders[1] / "set.txt").unlink()
    monkeypatch.setenv("UMBEL_DOWNLOAD", "1")
    need("set", "set.txt", fetch=fetch)
    assert len(calls) == 2


@pytest.mark.parametrize(
    "error", [OSError("no route\nto host"), RuntimeError("File not found or corrupted."), OSError()]
)
def test_a_failed_download_is_one_clear_line(folders, error):
    def fetch(folder):
        raise error

    with pytest.raises(UmbelError, match="'set' could not be downloaded to") as caught:
        need("set", "set.txt", fetch=fetch, download=True)
    assert "\n" not in str(caught.value)


def test_a_download_that_brings_something_else_is_still_missing(folders):
    with pytest.raises(UmbelError, match="is not here"):
        need("set", "set.txt", fetch=lambda folder: None, download=True)


def test_finding_and_listing_load_no_torch():
    listing = "from umbel.data import catalogue; [entry.available for entry in catalogue()]"
    code = f"import sys; {listing}; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
