"""Files of our own: errors of the system in one line, writes that are whole or absent, what is left is swept."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from umbel.errors import UmbelError
from umbel.files import (
    cannot_write,
    is_full,
    is_partial,
    partial_beside,
    read_json,
    reading,
    reason,
    sweep,
    sweep_beside,
    write_atomically,
    writing,
)
from umbel.locks import lock_open_file

not_root = pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")


def test_what_was_written_is_whole_and_readable_by_others(tmp_path):
    file = write_atomically(tmp_path / "new" / "a.json", '{"ü": [1, 2]}')
    assert read_json(file, "") == {"ü": [1, 2]}
    assert file.stat().st_mode & 0o777 == 0o644
    assert write_atomically(file, b"[3]") == file and read_json(file, "") == [3]
    assert [path.name for path in file.parent.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "No space left on device; free some space and go on"),
        (errno.EROFS, "Read-only file system; choose a place where you may write and go on"),
        (errno.ENAMETOOLONG, "File name too long; choose a shorter name and go on"),
        (errno.EIO, "Input/output error; choose another place and go on"),
    ],
)
def test_an_error_of_the_system_says_what_to_do(number, advice):
    error = OSError(number, os.strerror(number))
    assert str(cannot_write(Path("a/b"), error, "go on")) == f"cannot write a/b: {advice}"
    assert is_full(error) == (number == errno.ENOSPC) and reason(error) in advice
    with pytest.raises(UmbelError, match="cannot write a/b"), writing(Path("a/b")):
        raise error


def places(folder):
    """Places that cannot be written to, whoever one is."""
    (folder / "file").write_text("mine")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "folder" / "inside").mkdir(parents=True)
    return [folder / "file" / "a", folder / "loop" / "a", folder / ("x" * 300), folder / "folder"]


def test_a_write_that_fails_leaves_everything_as_it_was(tmp_path):
    targets = places(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for path in targets:
        with pytest.raises(UmbelError, match=r"^cannot write .*; ") as caught:
            write_atomically(path, "text")
        assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before and (tmp_path / "file").read_text() == "mine"


@not_root
def test_a_folder_that_is_read_only_is_said(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UmbelError, match="choose a place where you may write"):
        write_atomically(tmp_path / "a", "text")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged: not valid JSON in line 1"),
        (b'{"a": 1,\n "b"', "damaged: not valid JSON in line 2"),
        (b"\xff\xfe\x00", "damaged: it is not text in UTF-8"),
        (b"[" * 100_000, "damaged: .*recursion"),
        (b"9" * 5000, "damaged: Exceeds the limit"),
    ],
)
def test_damaged_json_is_named_with_what_to_do(tmp_path, content, message):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UmbelError, match=rf"a\.json is {message}.*; ask somebody$"):
        read_json(tmp_path / "a.json", "ask somebody")


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UmbelError, match=r"a\.json is missing; ask$"):
        read_json(tmp_path / "a.json", "ask")
    with pytest.raises(UmbelError, match=r"cannot read .*: Is a directory; ask$"):
        read_json(tmp_path, "ask")
    with pytest.raises(KeyError), reading(tmp_path, "ask"):  # a mistake in our own code stays one
        raise KeyError("a")


KILLED = """
import os, signal, sys
from pathlib import Path
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
from umbel.files import write_atomically
write_atomically(Path(sys.argv[1]), "half")
"""


def test_what_a_killed_process_left_is_swept_and_a_living_ones_is_not(tmp_path):
    """Also in folders below; files that only look similar stay."""
    target = tmp_path / "below" / "results.json"
    status = subprocess.run([sys.executable, "-c", KILLED, str(target)]).returncode
    assert status == -9
    (left,) = target.parent.iterdir()
    assert is_partial(left.name) and left.name.startswith(".results.json.")
    folder = partial_beside(tmp_path / "step-1")
    folder.mkdir()
    (folder / "weights").write_text("half")
    mine = [tmp_path / name for name in (".notes", "a.umbel-1", ".git.umbel")]
    for path in mine:
        path.write_text("mine")
    living = tmp_path / ".page.umbel-alive"
    with living.open("w") as file:
        assert lock_open_file(file.fileno())
        sweep(tmp_path)
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == sorted([*mine, living])
    sweep(tmp_path)
    assert not living.exists() and not folder.exists()


def test_only_what_belongs_to_a_place_is_swept_beside_it(tmp_path):
    names = [".out[1].umbel-17", ".out1.umbel-17", ".other.umbel-17"]
    for name in names:
        (tmp_path / name).mkdir()
    sweep_beside(tmp_path / "out[1]")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])
