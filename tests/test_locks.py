"""Locks: one process at a time, let go of by the kernel, taken again by the thread that has them."""

import gc
import os
import signal
import subprocess
import sys
import threading

import pytest

from umbel.locks import InUse, Lock, is_locked, lock_open_file

HOLDER = """
import sys, time
from pathlib import Path
from umbel.locks import Lock
lock = Lock.take(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


def holder(path):
    """A process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_another_process_is_refused_until_it_is_killed(tmp_path):
    path = tmp_path / "lock"
    process = holder(path)
    try:
        with pytest.raises(InUse, match=f"^process {process.pid} on "):
            Lock.take(path)
        assert is_locked(path)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert path.exists() and not is_locked(path)
    Lock.take(path).release()
    assert not path.exists() and not is_locked(path)


def test_a_thread_takes_its_own_lock_again_and_another_does_not(tmp_path):
    path, said = tmp_path / "lock", []

    def other():
        try:
            Lock.take(path)
        except InUse as holder:
            said.append(str(holder))

    first, second = Lock.take(path), Lock.take(path)
    first.release()
    first.release()
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert said == ["another thread of this process"] and is_locked(path)
    second.release()
    assert not path.exists()


def test_a_lock_that_nobody_has_any_more_is_let_go(tmp_path):
    Lock.take(tmp_path / "lock")
    gc.collect()
    assert not (tmp_path / "lock").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_neither_has_the_lock_nor_keeps_it(tmp_path):
    """As a worker that loads data, which may live a little longer than a killed parent."""
    path = tmp_path / "lock"
    lock = Lock.take(path)
    out, into = os.pipe()
    child = os.fork()
    if not child:
        try:
            Lock.take(path)
            os.write(into, b"taken")
        except InUse:
            os.write(into, b"refused")
        del lock
        signal.pause()
        os._exit(0)
    try:
        assert os.read(out, 10) == b"refused" and is_locked(path)
        lock.release()
        assert not path.exists()
        Lock.take(path).release()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(out)
        os.close(into)


def test_where_there_are_no_locks_everybody_gets_one(tmp_path, monkeypatch):
    def unsupported(descriptor):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("umbel.locks._lock", unsupported)
    with (tmp_path / "file").open("w") as file:
        assert lock_open_file(file.fileno())
    Lock.take(tmp_path / "lock").release()


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "lock").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError):
        Lock.take(tmp_path / "lock")
    assert (tmp_path / "mine").read_text() == "mine"
