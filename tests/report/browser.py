# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A headless Chromium, spoken to through its own DevTools protocol over a pipe: no driver, no port, no library."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

PATIENCE = 30  # seconds for one answer


def installed() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """One page. What it requested, logged and threw since it was opened is in ``requests``, ``said`` and ``errors``."""

    def __init__(self, profile: Path):
        to_it, self._write = os.pipe()
        self._read, from_it = os.pipe()
        # Chromium reads from 3 and writes to 4
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (to_it, from_it)]
        os.close(to_it)
        os.close(from_it)
        self._process = subprocess.Popen(
            [
                *(installed() or "chromium", "--headless", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run", "--disable-gpu"),
                *(
                    "--no-sandbox",
                    "--disable-dev-shm-usage",
                    "--disable-background-networking",
                    "--disable-component-update",
                    "--hide-scrollbars",
                    "about:blank",
                ),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(3, 4),
            preexec_fn=lambda: (os.dup2(ends[0], 3), os.dup2(ends[1], 4)),
        )
        for end in ends:
            os.close(end)
        self._buffer, self._number, self._session = b"", 0, None
        self.requests: list[str] = []
        self.said: list[str] = []
        self.errors: list[str] = []
        target = next(one for one in self._ask("Target.getTargets")["targetInfos"] if one["type"] == "page")
        self._session = self._ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")

    def close(self) -> None:
        os.close(self._write)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)

    def _message(self, patience: float) -> dict[str, Any]:
        ends = time.monotonic() + patience
        while b"\0" not in self._buffer:
            if not select.select([self._read], [], [], max(0, ends - time.monotonic()))[0]:
                raise TimeoutError("Chromium is silent")
            part = os.read(self._read, 1 << 20)
            if not part:
                raise EOFError("Chromium is gone")
            self._buffer += part
        line, dummy, self._buffer = self._buffer.partition(b"\0")
        return json.loads(line)

    def _heard(self, message: dict[str, Any]) -> None:
        what, told = message.get("method"), message.get("params", {})
        if what == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif what == "Log.entryAdded":
            self.said.append(told["entry"]["text"])
        elif what == "Runtime.consoleAPICalled":
            self.said.append(str(told["args"]))
        elif what == "Runtime.exceptionThrown":
            self.errors.append(str(told["exceptionDetails"]))
        elif what == "Page.javascriptDialogOpening":
            self.errors.append(f"dialog: {told['message']}")

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params, **({"sessionId": self._session} if self._session else {})}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            found = self._message(PATIENCE)
            if found.get("id") == self._number:
                if "error" in found:
                    raise RuntimeError(f"{method}: {found['error']}")
                return found["result"]
            self._heard(found)

    def open(self, path: Path) -> None:
        self.requests, self.said, self.errors = [], [], []
        self._ask("Page.navigate", url=path.as_uri())
        ends = time.monotonic() + PATIENCE
        while self.run("document.readyState") != "complete" and time.monotonic() < ends:
            time.sleep(0.02)
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def look(self, width: int = 1280, height: int = 800, scheme: str = "light", media: str = "screen") -> None:
        """How wide the window is, and what the reader prefers."""
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self._ask("Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}])

    def run(self, script: str) -> Any:
        """The value of a piece of JavaScript, which the page's own policy does not bind."""
        found = self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"]))
        return found["result"].get("value")

    def picture(self, path: Path, whole: bool = False) -> None:
        found = self._ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def printed(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._ask("Page.printToPDF")["data"]))
