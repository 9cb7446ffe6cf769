"""JSON messages from a WebSocket."""

from __future__ import annotations

from filterlearn.streams.sources.base import AbstractSource, Backoff, Columns, read_json


class WebSocketSource(AbstractSource):
    """Each message a JSON object; connected anew, with pauses, when the connection is lost.

    What is sent while there is no connection is lost; give the server an `id` and `Session(remember=...)` where it sends
    again. A place says nothing. Messages above 1 MiB close the connection.
    """

    def __init__(self, url: str, columns: Columns, *, backoff: Backoff | None = None):
        self.url, self.columns, self.backoff = url, columns, backoff or Backoff()

    async def arrivals(self, place=None):
        """The messages, for ever."""
        try:
            from websockets.asyncio.client import connect
            from websockets.exceptions import WebSocketException
        except ImportError as error:
            raise ImportError("url: needs the websockets package; pip install 'filterlearn[streams]'") from error
        while True:
            try:
                async with connect(self.url) as socket:
                    self.backoff.reset()
                    async for text in socket:
                        yield read_json(text, self.columns, None)
            except (OSError, WebSocketException):
                pass
            await self.backoff.pause()
