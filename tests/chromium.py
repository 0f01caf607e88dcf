"""A headless Chromium that tests drive by its DevTools protocol, through a pair of pipes."""

import base64
import contextlib
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 60  # seconds for anything
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
          "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync",
          "--hide-scrollbars", "--force-device-scale-factor=1", "--remote-debugging-pipe")  # fmt: skip
# Chromium reads commands from descriptor 3 and answers on 4; these are taken on the way there.
_START = """
import os, sys
pipes = [os.dup(int(one)) for one in sys.argv[1:3]]
while min(pipes) < 5:
    pipes = [os.dup(one) for one in pipes]
os.dup2(pipes[0], 3), os.dup2(pipes[1], 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""


def find() -> str | None:
    """The program, None where there is none; waits where .ci/run has apt bring it."""
    if comes := os.environ.get("DAKD_CHROMIUM_COMES"):
        until = time.monotonic() + 300
        while not pathlib.Path(comes, "done").exists() and time.monotonic() < until:
            time.sleep(1)
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def browser():
    """A Tab of a browser that has just been started."""
    (theirs, commands), (answers, theirs_too) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(prefix="dakd_chromium_", ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, str(theirs), str(theirs_too), find(), *_FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(theirs, theirs_too), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        os.close(theirs), os.close(theirs_too)
        try:
            yield Tab(commands, answers)
        finally:
            os.close(commands), os.close(answers)  # which ends it
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()


class Tab:
    """One page of a browser.

    Attributes:
      problems: what the page wrote to its console as errors, and exceptions that nothing caught.
      requests: addresses that were asked for.
    """

    def __init__(self, commands: int, answers: int):
        self._commands, self._answers, self._read, self._number, self._session = commands, answers, b"", 0, {}
        self.problems, self.requests = [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters) -> dict:
        """The result of a command of the protocol."""
        self._number += 1
        told = {"id": self._number, "method": method, "params": parameters, **self._session}
        content = json.dumps(told).encode() + b"\0"
        while content:
            content = content[os.write(self._commands, content) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                return answer["result"]

    def _next(self) -> dict:
        while b"\0" not in self._read:
            assert select.select([self._answers], [], [], PATIENCE)[0], "the browser does not answer"
            content = os.read(self._answers, 2**16)
            assert content, "the browser ended"
            self._read += content
        one, _, self._read = self._read.partition(b"\0")
        self._note(message := json.loads(one))
        return message

    def _note(self, message: dict) -> None:
        of, told = message.get("method"), message.get("params", {})
        if of == "Runtime.exceptionThrown":
            self.problems.append(str(told["exceptionDetails"]))
        elif of == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.problems.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
        elif of == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])

    def js(self, code: str):
        """What an expression is, a promise when it is kept."""
        found = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, code: str):
        """The value of an expression, once it is true."""
        end = time.monotonic() + PATIENCE
        while not (found := self.js(f"(() => {{ try {{ return {code} }} catch {{ return null }} }})()")):
            assert time.monotonic() < end, f"never so: {code}; {self.js('document.body.innerText')}"
            time.sleep(0.02)
        return found

    def go(self, url: str) -> None:
        """Opens an address."""
        self.call("Page.navigate", url=url)

    def size(self, width: int, height: int, *, dark: bool = False) -> None:
        """Of the window; 360 is a phone's."""
        phone = width < 600
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def slow_down(self, rate: int | None) -> None:
        """Bytes a second that the page may send, None for no limit."""
        limits = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": rate or -1}
        self.call("Network.emulateNetworkConditions", **limits)

    def drop(self, *paths: pathlib.Path) -> None:
        """Files from the desktop onto the middle of the page's top."""
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=100, y=100, data=data)

    def choose(self, selector: str, *paths: pathlib.Path) -> None:
        """Files in an input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(path) for path in paths], nodeId=node)

    def press(self, key: str, times: int = 1, *, shift: bool = False) -> None:
        """A key: Tab, Enter, ' ', ArrowRight, ..."""
        code = {"Tab": 9, "Enter": 13, " ": 32, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39,
                "ArrowDown": 40}[key]  # fmt: skip
        text = {"Enter": "\r", " ": " "}.get(key, "")
        how = {
            "key": key,
            "code": "Space" if key == " " else key,
            "windowsVirtualKeyCode": code,
            "modifiers": 8 * shift,
        }
        for _ in range(times):
            self.call("Input.dispatchKeyEvent", type="keyDown", **how, **({"text": text} if text else {}))
            self.call("Input.dispatchKeyEvent", type="keyUp", **how)

    def point(self, x: float, y: float) -> None:
        """The mouse, at a place of the window."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def picture(self, *, whole: bool = False) -> bytes:
        """A PNG of the window, or of the whole page."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(shot["data"])
