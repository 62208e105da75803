"""`umbel serve` as a process of its own, and what it says before it would serve."""

import contextlib
import http.client
import json
import shlex
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from serving_cases import JSON, ROW, refused

from umbel import UmbelError
from umbel.command import serve as command
from umbel.serving import serve


@contextlib.contextmanager
def running(*arguments):
    """(process, the lines that it said) of a server that has begun."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
         "from umbel.cli import main; raise SystemExit(main())", "serve", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if "Ctrl-C" in line:
                break
        else:
            raise AssertionError(process.communicate())
        yield process, lines
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def test_a_server_from_start_to_ctrl_c(flats_folder):
    with running(flats_folder, "--port", "0", "--largest-request", "1KB") as (process, lines):
        assert lines[0].startswith("a run answers at http://127.0.0.1:")
        url = lines[0].split()[-1]
        assert lines[1] == f"A page to try it: {url}/"
        curl = shlex.split(lines[2].removeprefix("From a shell: "))
        assert curl[0] == "curl" and curl[-1] == f"{url}/predict" and curl[2] == f"Content-Type: {JSON}"

        with urllib.request.urlopen(f"{url}/health", timeout=60) as answer:
            assert json.load(answer)["status"] == "ok"
            assert "server" not in answer.headers
        for body in (json.dumps(ROW).encode(), curl[4].encode()):
            request = urllib.request.Request(f"{url}/predict", body, {"Content-Type": JSON})
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert set(json.load(answer)["predictions"][0]) == {"rent", "balcony"}
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(urllib.request.Request(f"{url}/predict", b"x" * 3_000_000, {"Content-Type": JSON}))
        with error.value as answer:
            assert (answer.code, json.load(answer)["error"][:8]) == (413, "the body")

        address = url.removeprefix("http://")
        for noise in (
            b"\x16\x03\x01\x02 no HTTP\r\n\r\n",
            b"POST /predict HTTP/1.1\r\nContent-Length: 9\r\n\r\n{",
            b"",
        ):
            host, port = address.split(":")
            with socket.create_connection((host, int(port)), timeout=60) as raw:
                raw.sendall(noise)  # and goes away in the middle
        with urllib.request.urlopen(f"{url}/health", timeout=60) as answer:
            assert answer.status == 200

        kept = http.client.HTTPConnection(address, timeout=60)  # stays open, as a browser's does
        kept.request("GET", "/", headers={"Host": "evil.example"})
        assert kept.getresponse().read().startswith(b'{"error": "the Host header')
        with pytest.raises(UmbelError, match=r"cannot listen on 127\.0\.0\.1 port"):
            serve(None, port=int(address.split(":")[1]))

        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
        kept.close()
    *warned, last = err.splitlines()
    assert (process.returncode, out, last) == (130, "", "umbel: stopped")
    assert set(warned) <= {"WARNING:  Invalid HTTP request received."}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "70000"], "port 70000 does not exist"),
        (["--port", "-1"], "port -1 does not exist"),
        (["--host", "no such host"], "host 'no such host' is not known"),
        (["--host", ""], "host '' is not known"),
        (["--largest-request", "many"], "--largest-request 'many' is no size"),
        (["--largest-request", "0MB"], "is no size"),
        (["--point", "width=0.5"], "point"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_line(flats_folder, capsys, arguments, words):
    assert words in refused(capsys, "serve", flats_folder, *arguments)


def test_no_run_and_no_extra(tmp_path, flats_folder, capsys, monkeypatch):
    assert str(tmp_path / "no") in refused(capsys, "serve", tmp_path / "no")
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert 'pip install "umbel[serve]"' in refused(capsys, "serve", flats_folder)


def test_a_port_below_that_others_may_reach_is_warned_of(flats_service, monkeypatch):
    import uvicorn

    kept = {}
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: kept.update(hosts=self.config.app._hosts))
    lines = []
    serve(flats_service, "0.0.0.0", 0, say=lines.append)
    assert kept["hosts"] is None
    assert "can be reached from other machines" in lines[1] and "password" in lines[1]
    lines.clear()
    serve(flats_service, "localhost", 0, with_page=False, say=lines.append)
    assert "localhost" in kept["hosts"] and len(lines) == 3


@pytest.mark.parametrize(
    ("text", "size"), [("1000", 1000), ("500KB", 500_000), ("1.5 mb", 1_500_000), ("2GB", 2 * 10**9), ("7B", 7)]
)
def test_sizes(text, size):
    assert command._bytes(text) == size


def test_ipv6(flats_service, monkeypatch):
    import uvicorn

    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: None)
    lines = []
    try:
        serve(flats_service, "::1", 0, say=lines.append)
    except UmbelError as error:
        pytest.skip(f"no IPv6 here: {error}")
    assert lines[0].startswith("a run answers at http://[::1]:")
