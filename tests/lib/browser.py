# SPDX-License-Identifier: MIT
"""Chromium, driven through chromedriver with the standard library alone."""
import base64
import http.client
import json
import re
import shutil
import subprocess
import tempfile

ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb")
KEYS = {"ArrowLeft": "\ue012", "ArrowRight": "\ue014", "Home": "\ue011", "End": "\ue010", "Tab": "\ue004",
        "Enter": "\ue007"}


class Browser:
    """`with Browser() as b:` starts both on ports of the kernel's choice; nothing is left behind."""

    def __enter__(self):
        self.profile = tempfile.mkdtemp(prefix="unclosed-browser-")
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.port = self._port()
        self.session = None
        answer = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": [*ARGUMENTS, f"--user-data-dir={self.profile}"]},
            "goog:loggingPrefs": {"browser": "ALL"}}}})
        self.session = answer["sessionId"]
        return self

    def __exit__(self, *_):
        if self.session:
            try:
                self._ask("DELETE", f"/session/{self.session}")
            except (OSError, RuntimeError):
                pass
        self.driver.terminate()
        try:
            self.driver.wait(10)
        except subprocess.TimeoutExpired:
            self.driver.kill()
            self.driver.wait()
        self.driver.stdout.close()
        shutil.rmtree(self.profile, ignore_errors=True)

    def _port(self):
        for line in self.driver.stdout:
            found = re.search(r"successfully on port (\d+)", line)
            if found:
                return int(found.group(1))
        raise RuntimeError("chromedriver did not start")

    def _ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None,
                               {"Content-Type": "application/json"})
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        if isinstance(value, dict) and "error" in value:
            raise RuntimeError(f"{method} {path}: {value['message']}")
        return value

    def call(self, path, body=None, method="POST"):
        return self._ask(method, f"/session/{self.session}/{path}", {} if body is None and method == "POST" else body)

    def devtools(self, command, **params):
        return self.call("goog/cdp/execute", {"cmd": command, "params": params})

    def size(self, width, height, scale=1, phone=False):
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height,
                      deviceScaleFactor=scale, mobile=phone)

    def media(self, **features):
        """media(scheme="dark", type="print")"""
        kind = features.pop("type", "")
        rows = [{"name": f"prefers-color-scheme", "value": features["scheme"]}] if "scheme" in features else []
        rows.append({"name": "prefers-reduced-motion", "value": "reduce"})
        self.devtools("Emulation.setEmulatedMedia", media=kind, features=rows)

    def open(self, url):
        self.call("url", {"url": url})

    def run(self, script, *args):
        return self.call("execute/sync", {"script": script, "args": list(args)})

    def press(self, *names):
        keys = []
        for name in names:
            keys += [{"type": "keyDown", "value": KEYS[name]}, {"type": "keyUp", "value": KEYS[name]}]
        self.call("actions", {"actions": [{"type": "key", "id": "keyboard", "actions": keys}]})

    def point_at(self, element):
        """Moves the mouse to the middle of what a script returned as an element."""
        self.call("actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": [
            {"type": "pointerMove", "duration": 0, "origin": element, "x": 0, "y": 0}]}]})

    def click(self, element):
        self.call(f"element/{list(element.values())[0]}/click")

    def screenshot(self, path):
        with open(path, "wb") as f:
            f.write(base64.b64decode(self.call("screenshot", method="GET")))

    def console(self):
        return [f"{row['level']}: {row['message']}" for row in self.call("se/log", {"type": "browser"})]
