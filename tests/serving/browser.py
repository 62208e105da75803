"""Headless Chromium by the WebDriver protocol, spoken with plain HTTP; and a server in a thread for it to visit."""

import base64
import contextlib
import json
import re
import shutil
import subprocess
import threading
import time
import urllib.request

import pytest
import uvicorn

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # key of an element in the protocol


class Browser:
    """One window."""

    def __init__(self, driver, chromium):
        self._driver = driver
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
        options = {"args": arguments, "binary": chromium}
        wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options,
                  "goog:loggingPrefs": {"browser": "ALL"}}}}  # fmt: skip
        self._session = f"{driver}/session/{self._ask('POST', f'{driver}/session', wanted)['sessionId']}"

    def _ask(self, method, url, value=None):
        body = None if method == "GET" else json.dumps(value or {}).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def open(self, url):
        self._ask("POST", f"{self._session}/url", {"url": url})

    def run(self, script, *arguments):
        """What a script returns, as `return document.title`."""
        return self._ask("POST", f"{self._session}/execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, script, seconds=60):
        """What a script returns once that is something."""
        until = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < until, (script, self.run("return document.body.innerText"), self.complaints())
            time.sleep(0.05)
        return value

    def element(self, selector):
        found = self._ask("POST", f"{self._session}/element", {"using": "css selector", "value": selector})
        return f"{self._session}/element/{found[ELEMENT]}"

    def type(self, selector, text):
        """Press keys, as a user would; a path for an input of a file."""
        self._ask("POST", f"{self.element(selector)}/value", {"text": text})

    def click(self, selector):
        self._ask("POST", f"{self.element(selector)}/click")

    def press(self, *keys):
        """Press keys wherever the focus is."""
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        actions = [{"type": "key", "id": "keyboard", "actions": strokes}]
        self._ask("POST", f"{self._session}/actions", {"actions": actions})

    def command(self, name, **parameters):
        """A command of Chromium's own protocol."""
        return self._ask("POST", f"{self._session}/goog/cdp/execute", {"cmd": name, "params": parameters})

    def look(self, width, height=900, dark=False):
        """Be a screen of that size, light or dark."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path):
        """Write the whole page as a PNG."""
        shot = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def complaints(self):
        """What the console said since it was last asked, errors of the network with a status left out."""
        said = self._ask("POST", f"{self._session}/se/log", {"type": "browser"})
        return [one["message"] for one in said if "the server responded with a status" not in one["message"]]

    def close(self):
        self._ask("DELETE", self._session)


def _needed(*names):
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"no {names[0]} here: the page is not tried in a browser")
    return path


@contextlib.contextmanager
def opened_browser():
    """A browser, or the test is skipped where there is none."""
    chromium = _needed("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    driver = subprocess.Popen([_needed("chromedriver"), "--port=0"], stdout=subprocess.PIPE, text=True)
    try:
        port = next(filter(None, (re.search(r"successfully on port (\d+)", line) for line in driver.stdout)))[1]
        browser = Browser(f"http://127.0.0.1:{port}", chromium)
        try:
            yield browser
        finally:
            browser.close()
    finally:
        driver.terminate()
        driver.wait()
        driver.stdout.close()


@contextlib.contextmanager
def visited(app):
    """The address of an application, served from a thread."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, http="h11", ws="none", lifespan="off", log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
