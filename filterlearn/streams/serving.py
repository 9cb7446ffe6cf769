"""A model file, a session and a service, until a signal comes."""

import asyncio
import os

import jax

from filterlearn.streams.run import Conduit
from filterlearn.streams.service import Service, check_token
from filterlearn.streams.session import Session
from filterlearn.streams.sources.files import FileSource
from filterlearn.streams.stopping import stop_event

_REMEMBERED = 10_000  # ids
_TOKEN = "FILTERLEARN_TOKEN"


def served(loaded, columns, host, port, *, every, seed, out, checkpoint, quarantine, follow, origin, unit):
    """Serves until SIGINT or SIGTERM; prints where. Raises ValueError for a host that others reach without a token."""
    token = os.environ.get(_TOKEN) or None
    check_token(host, token)
    if checkpoint is not None and checkpoint.exists():
        session = Session.load(checkpoint, loaded.algorithm, loaded.problem)
    else:
        remember = 0 if columns.id is None else _REMEMBERED
        key = jax.random.key(seed)
        session = Session(loaded.algorithm, loaded.problem, key=key, origin=origin, unit=unit, remember=remember)
    source = None if follow is None else FileSource(follow, columns, follow=0.2)
    conduit = Conduit(session, source, out, checkpoint, quarantine, 1, getattr(loaded, "refit", None))
    service = Service(conduit, columns, every=every, token=token)
    asyncio.run(_until_stopped(service, source, host, port))


async def _until_stopped(service, source, host, port):
    """The service, and the file that grows beside it."""
    stop, place = stop_event(), service.conduit.place
    tasks = [asyncio.ensure_future(service.run(host, port, stop, lambda p: print(f"http://{host}:{p}/", flush=True)))]
    tasks += [] if source is None else [asyncio.ensure_future(_fed(service, source, place))]
    done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    for task in done:
        task.result()


async def _fed(service, source, place):
    async for arrival in source.arrivals(place):
        service.take(arrival)
        if sum(service.conduit.tally.values()) % service.every == 0:
            await service.saved()
        await asyncio.sleep(0)  # others have their turn
