"""A stream over HTTP and WebSockets: data in, beliefs out, a live page, and metrics."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import hmac
import ipaddress
import json
import logging
import time
from http import HTTPStatus
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from filterlearn.diagnostics.log import stamped
from filterlearn.streams.lines import plain
from filterlearn.streams.metrics import Metrics
from filterlearn.streams.run import Conduit
from filterlearn.streams.sources.base import Arrival, Columns, Malformed, read_json

_LOG = logging.getLogger("filterlearn.streams")  # one JSON object a line
_LARGEST = 1 << 16  # bytes of a message
_SHOWN = 500  # reports that a page begins with
_AHEAD = 20  # times of a forecast
_LEVELS = (0.05, 0.5, 0.95)


def check_token(host: str, token: str | None) -> None:
    """Raises ValueError for a host beyond this machine without a token."""
    try:
        near = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        near = False
    if not near and not token:
        raise ValueError(f"token: needed for {host}, which others reach; or serve on 127.0.0.1")


class Service:
    """One session for many clients.

    `/` is the live page and `/metrics` what Prometheus reads. On the WebSocket `/observe` each message is a JSON object of
    `columns`, answered by its report, or by `{"refused": why}`; on `/live` come the last reports and then each new one. What
    comes is read as JSON only, at most 64 KiB a message. Every `every` arrivals, and at the end, outputs and checkpoint are
    written. Where a token is set, each request brings it: `Authorization: Bearer TOKEN`, or `?token=TOKEN`.
    """

    def __init__(self, conduit: Conduit, columns: Columns, *, every: int, token: str | None = None):
        self.conduit, self.columns, self.every, self.token = conduit, columns, every, token
        self.metrics, self.shown, self.clients = Metrics(), collections.deque(maxlen=_SHOWN), set()
        self._inputs, self._gap, self._ahead = None, None, {}

    def take(self, arrival: Arrival | Malformed) -> dict:
        """One arrival into the session: what its sender is told."""
        start, before = time.perf_counter(), self.conduit.session.time
        told = self.conduit.take(arrival)
        self.metrics.tally = self.conduit.tally
        if isinstance(told, str):
            _LOG.warning(json.dumps({"event": "refused", "reason": told, "count": self.conduit.session.count}))
            return {"refused": told}
        self.metrics.observed(told, time.perf_counter() - start)
        row = plain(told.row())
        if told.flags:
            _LOG.warning(json.dumps({"event": "flags", "flags": told.flags, "time": row["time"]}))
        now = self.conduit.session.time
        self._gap = now - before if before is not None and now > before else self._gap
        self._inputs = arrival.inputs if isinstance(arrival, Arrival) else None
        self.shown.append(row)
        self._send({"reports": [row]})
        return row

    def _send(self, message) -> None:
        """To all pages; one that does not keep up loses messages rather than holding the stream back."""
        for queue in self.clients:
            if not queue.full():
                queue.put_nowait(message)

    async def saved(self) -> None:
        """Outputs and checkpoint, now."""
        await self.conduit.save()
        self.metrics.saved = time.time()

    def forecast(self) -> dict | None:
        """Quantiles of the next observations, as far apart as the last two data, under the inputs of the last."""
        session = self.conduit.session
        if self._gap is None:
            return None
        times = session.time + self._gap * np.arange(1, _AHEAD + 1)
        inputs = None if self._inputs is None else [self._inputs] * _AHEAD
        draws = np.asarray(session.forecast(times, inputs=inputs, draws=200).observations)
        stamps = [stamped(session.stamp(each)) for each in times]
        return {"times": stamps, "quantiles": np.quantile(draws, _LEVELS, axis=0).tolist()}

    def _allowed(self, request) -> bool:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        given = given or parse_qs(urlsplit(request.path).query).get("token", [""])[0]
        return self.token is None or hmac.compare_digest(given.encode(), self.token.encode())

    def answer(self, connection, request) -> Any:
        """Of a plain request; None for a WebSocket, which goes on."""
        path = urlsplit(request.path).path
        if not self._allowed(request):
            return connection.respond(HTTPStatus.UNAUTHORIZED, "a token is needed\n")
        if path in ("/observe", "/live"):
            return None
        bodies = {"/": ("text/html", page), "/metrics": ("text/plain; version=0.0.4", self.metrics.text)}
        if path not in bodies:
            return connection.respond(HTTPStatus.NOT_FOUND, "/, /metrics, /observe or /live\n")
        kind, body = bodies[path]
        response = connection.respond(HTTPStatus.OK, body())
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = f"{kind}; charset=utf-8"
        return response

    async def handle(self, socket) -> None:
        """One WebSocket, until its client goes, or sends too much."""
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed):
            await (self._observe if urlsplit(socket.request.path).path == "/observe" else self._live)(socket)

    async def _observe(self, socket):
        async for text in socket:
            told = self.take(read_json(text, self.columns, None))
            if sum(self.conduit.tally.values()) % self.every == 0:
                await self.saved()
            await socket.send(json.dumps(told))

    async def _live(self, socket):
        queue, gone = asyncio.Queue(_SHOWN), asyncio.ensure_future(socket.wait_closed())
        self.clients.add(queue)
        try:
            await socket.send(json.dumps({"reports": list(self.shown)} | self._ahead))
            while (message := await _first(queue.get(), gone)) is not None:
                await socket.send(json.dumps(message))
        finally:
            self.clients.discard(queue)
            gone.cancel()

    async def _forecasts(self):
        """Once a second, where somebody looks and something came."""
        last = None
        while True:
            await asyncio.sleep(1.0)
            count = self.conduit.session.count
            if self.clients and count != last and (told := self.forecast()) is not None:
                last, self._ahead = count, {"forecast": told}
                self._send(self._ahead)

    async def run(self, host: str, port: int, stop: asyncio.Event, ready: Any = None) -> None:
        """Serves until `stop` is set; `ready(port)` is called once it listens. Raises ValueError as `check_token`."""
        try:
            from websockets.asyncio.server import serve
        except ImportError as error:
            raise ImportError("serve: needs the websockets package; pip install 'filterlearn[streams]'") from error
        check_token(host, self.token)
        ahead = asyncio.ensure_future(self._forecasts())
        try:
            async with serve(self.handle, host, port, process_request=self.answer, max_size=_LARGEST) as server:
                if ready is not None:
                    ready(next(iter(server.sockets)).getsockname()[1])
                await stop.wait()
        finally:
            ahead.cancel()
            await self.saved()
            await self.conduit.close()


async def _first(coming, gone):
    """What comes, or None where the other is done before."""
    task = asyncio.ensure_future(coming)
    await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        return task.result()
    task.cancel()
    return None


def page() -> str:
    """The live page, which fetches nothing from elsewhere."""
    return files("filterlearn.streams").joinpath("page.html").read_text(encoding="utf-8")
