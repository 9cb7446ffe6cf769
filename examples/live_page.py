"""The live page of `filterlearn serve` in a browser, for five minutes of the S&P 500.

The service tracks the volatility model of the demo; daily returns are sent to its WebSocket, ten a second, while headless
chromium shows the page. Each second the page's own counter is read beside what was sent: it must keep up, be live, and raise
no error. At the end the page is pictured: light, dark, and as narrow as a telephone.

    python examples/live_page.py [seconds] [folder for the pictures]
"""

import asyncio
import base64
import itertools
import json
import re
import shutil
import sys
import tempfile
import urllib.request
from pathlib import Path

from websockets.asyncio.client import connect

from filterlearn.datasets import sp500

MODEL = "from filterlearn import volatility\nproblem, algorithm = volatility.family(), volatility.tracker()\n"
BROWSER = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--window-size=1240,900")
PICTURES = {"light": ("light", 1240, 1500), "dark": ("dark", 1240, 1500), "narrow": ("light", 390, 844)}
PAUSE = 0.1  # seconds between two returns


class Page:
    """A tab of chromium, spoken to by its debugging protocol."""

    def __init__(self, socket):
        self.socket, self.numbers, self.errors = socket, itertools.count(1), []

    async def ask(self, method, **params):
        """The answer to a command; errors of the page that come meanwhile are kept."""
        number = next(self.numbers)
        await self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while (told := json.loads(await self.socket.recv())).get("id") != number:
            if told["method"] in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.errors.append(told["params"])
        return told["result"]

    async def text(self, name):
        """Of an element."""
        told = await self.ask("Runtime.evaluate", expression=f"document.getElementById('{name}').textContent")
        return told["result"]["value"]

    async def picture(self, path, scheme, width, height):
        """A PNG of the page, of all its length."""
        await self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        await self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        await self.ask("Emulation.setScrollbarsHidden", hidden=True)
        await asyncio.sleep(1.0)
        told = await self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(told["data"]))


async def started(words, *command):
    """(process, what its output said after these words)."""
    process = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-2)
    assert process.stdout is not None
    while text := (await process.stdout.readline()).decode():
        if found := re.search(words, text):
            return process, found[1]
    raise RuntimeError(f"{command[0]} has ended")


async def sent(port, count):
    """Returns, one every tenth of a second, each waiting for its report."""
    data, _ = sp500()
    async with connect(f"ws://127.0.0.1:{port}/observe") as socket:
        for time, value in zip(data.times, data.values[:, 0], strict=True):
            await socket.send(json.dumps({"t": float(time), "y": float(value)}))
            assert "mean" in json.loads(await socket.recv())
            count[0] += 1
            await asyncio.sleep(PAUSE)


async def watched(page, url, seconds, count):
    """(what the page had shown and what was sent, each second)."""
    for domain in ("Page", "Runtime", "Log"):
        await page.ask(f"{domain}.enable")
    await page.ask("Page.navigate", url=url)
    seen = []
    for _ in range(seconds):
        await asyncio.sleep(1.0)
        seen.append((count[0], int(await page.text("count")), await page.text("state")))
    return seen


async def followed(seconds, folder):
    """(what was sent, shown, and the state of the page, each second; errors of the page)."""
    count, place = [0], Path(tempfile.mkdtemp())
    (place / "model.py").write_text(MODEL)
    serve = (str(Path(sys.executable).with_name("filterlearn")), "serve", str(place / "model.py"))
    service, port = await started(r":(\d+)/", *serve, "--time", "t", "--value", "y", "--port", "0")
    browser, debug = await started(r"ws://127.0.0.1:(\d+)/", "chromium", *BROWSER, f"--user-data-dir={place}", "about:blank")
    feeding = asyncio.ensure_future(sent(port, count))
    try:
        while not count[0]:
            await asyncio.sleep(0.1)
        with urllib.request.urlopen(f"http://127.0.0.1:{debug}/json/list") as answer:
            target = next(each for each in json.load(answer) if each["type"] == "page")
        async with connect(target["webSocketDebuggerUrl"], max_size=None) as socket:
            page = Page(socket)
            seen = await watched(page, f"http://127.0.0.1:{port}/", seconds, count)
            for name, look in PICTURES.items():
                await page.picture(folder / f"{name}.png", *look)
        return seen, page.errors
    finally:
        feeding.cancel()
        for process in (service, browser):
            process.terminate()
            await process.wait()
        shutil.rmtree(place, ignore_errors=True)


def main(seconds="300", folder="."):
    """Prints how far the page was behind what was sent."""
    seen, errors = asyncio.run(followed(int(seconds), Path(folder)))
    behind = sorted(sent - shown for sent, shown, _ in seen[5:])
    print(f"sent {seen[-1][0]}, shown {seen[-1][1]}, behind: median {behind[len(behind) // 2]}, most {behind[-1]}")
    print(f"live in {sum(state == 'live' for *_, state in seen)} of {len(seen)} seconds; errors: {errors}")


if __name__ == "__main__":
    main(*sys.argv[1:])
