"""Broken text, messages, bytes and checkpoints: never an error that nobody catches, a wait, or a number that was not there.

Each test draws the same 25 cases, or as many new ones as the environment variable FILTERLEARN_FUZZ says.
"""

import asyncio
import contextlib
import itertools
import json
import os
import re

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

import filterlearn as fl
from filterlearn.streams.run import Conduit
from filterlearn.streams.service import Service
from filterlearn.streams.sources.base import header_of, read_csv, read_json
from tests.cases import linear_model

COLUMNS = fl.Columns("t", ["a", "b"], id="id")
CASES = int(os.environ.get("FILTERLEARN_FUZZ", "25"))
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
FIXED = "FILTERLEARN_FUZZ" not in os.environ
fuzzed = settings(max_examples=CASES, derandomize=FIXED, deadline=None, database=None, suppress_health_check=QUIET)

DECIMAL = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", re.IGNORECASE | re.ASCII)
WORDS = {"": np.nan, "nan": np.nan, "na": np.nan, "null": np.nan, "none": np.nan}
WORDS |= {f"{sign}{word}": float(f"{sign}inf") for sign in ("", "+", "-") for word in ("inf", "infinity")}
WORDS |= {"+nan": np.nan, "-nan": np.nan}
CELLS = (
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["1_0", "٣", " 2 ", "now"])
)
RECORD = st.dictionaries(st.sampled_from(["t", "a", "b", "id", "x"]), CELLS)


def line(k, comma=False):
    """A good row."""
    row = {"t": 0.5 * k, "a": round(0.1 * k, 2), "b": None if k % 3 else -0.25, "id": k}
    return ",".join("" if each is None else str(each) for each in row.values()) if comma else json.dumps(row)


def changed(content: bytes, changes) -> bytes:
    """Bytes cut out, put in and written over, one change after the other."""
    for kind, place, more in changes:
        at = place % (len(content) + 1)
        kept = {"cut": len(more), "put": 0, "over": len(more)}[kind]
        content = content[:at] + (b"" if kind == "cut" else more) + content[at + kept :]
    return content


PIECES = st.binary(max_size=4) | st.sampled_from(
    [b'"', b",", b"{", b"}", b"\n", b"1e9", b"_", b"null", b'"a":1,', b"\x00", b"-"]
)
CHANGES = st.lists(st.tuples(st.sampled_from(["cut", "put", "over"]), st.integers(0, 10**6), PIECES), max_size=3)
MESSAGES = st.one_of(
    st.tuples(st.integers(0, 60), CHANGES).map(lambda each: changed(line(each[0]).encode(), each[1])),
    st.text(max_size=60).map(lambda text: text.encode(errors="replace")),
    RECORD.map(lambda row: json.dumps(row).encode()),
)


def written(cell) -> float:
    """The number that a cell spells, by a grammar of its own; a KeyError where it spells none."""
    text = "" if cell is None else str(cell)
    return float(text) if DECIMAL.fullmatch(text) else WORDS[text.strip().lower()]


def held(row, record):
    """A datum holds what the record spells, and nothing else."""
    assert isinstance(row.time, float | str)
    np.testing.assert_array_equal(row.value, [written(record.get(name)) for name in ("a", "b")])
    assert row.time == str(record["t"]).strip() or np.array_equal(row.time, written(record["t"]), equal_nan=True)
    assert row.id == record["id"]
    assert not isinstance(row.id, bool)


def refused(row):
    """In words."""
    assert isinstance(row, fl.Malformed)
    assert row.reason


@fuzzed
@given(text=MESSAGES)
def test_text_that_is_read_says_what_was_read(text):
    """JSON and CSV: a datum of the very numbers, or why not."""
    row = read_json(text, COLUMNS, 1)
    if isinstance(row, fl.Arrival):
        pairs = json.loads(text, object_pairs_hook=list)
        assert len(dict(pairs)) == len(pairs)
        held(row, dict(pairs))
    else:
        refused(row)
    with contextlib.suppress(ValueError):
        header_of(text.decode(errors="replace"), COLUMNS)


@fuzzed
@given(k=st.integers(0, 60), changes=CHANGES)
def test_a_line_of_csv_says_what_was_read(k, changes):
    text = changed(line(k, comma=True).encode(), changes).decode(errors="replace")
    row = read_csv(text, ["t", "a", "b", "id"], COLUMNS, 1)
    if not isinstance(row, fl.Arrival):
        refused(row)
    elif '"' not in text:
        held(row, dict(zip(["t", "a", "b", "id"], re.split(",", text.rstrip("\r\n")), strict=True)))


@pytest.mark.parametrize("k", range(6))
def test_a_good_line_is_a_datum(k):
    for row in (read_json(line(k), COLUMNS, 1), read_csv(line(k, comma=True), ["t", "a", "b", "id"], COLUMNS, 1)):
        assert isinstance(row, fl.Arrival)
        np.testing.assert_array_equal(row.value, [round(0.1 * k, 2), np.nan if k % 3 else -0.25])


def session():
    return fl.Session(fl.Kalman(), linear_model(), key=jax.random.key(8), remember=100)


def again(rows):
    """The session that observes these data, which are good."""
    stream = session()
    for row in rows:
        stream.observe(row.time, row.value, id=row.id)
    return stream


def same(one, two):
    return all((a == b).all() for a, b in zip(jax.tree.leaves(one.belief), jax.tree.leaves(two.belief), strict=True))


@fuzzed
@given(table=st.lists(MESSAGES, max_size=12), comma=st.booleans())
def test_a_file_is_counted_to_the_last_line(table, comma, tmp_path):
    """Sent = accepted + late + duplicate + malformed + refused, and the belief is that of the accepted ones."""
    first = b"t,a,b,id\n" if comma else line(0).encode() + b"\n"
    content = first + b"\n".join(table)
    (tmp_path / "in").write_bytes(content)
    kept, counts = [], itertools.chain([0])

    def watch(arrival, stream):
        nonlocal counts
        before, counts = next(counts), itertools.chain([stream.count])
        if stream.count > before:
            kept.append(arrival)

    stream = session()
    tally = asyncio.run(fl.follow(stream, fl.FileSource(tmp_path / "in", COLUMNS), watch=watch))
    lines = [each for each in content.split(b"\n") if each.strip()]
    assert sum(tally.values()) == len(lines) - comma
    assert same(stream, again(kept))


async def answered(port, message):
    """What a service says to a message, or that it has closed the connection."""
    async with connect(f"ws://127.0.0.1:{port}/observe") as socket:
        try:
            await socket.send(message)
            return json.loads(await asyncio.wait_for(socket.recv(), 10))
        except ConnectionClosed:
            return None


async def poured(port, content):
    """Bytes that are no HTTP, or nearly."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(content)
    writer.write_eof()
    with contextlib.suppress(ConnectionError):
        await asyncio.wait_for(reader.read(), 10)
    writer.close()


ASKED = b"GET /observe HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n"
POURED = st.binary(max_size=80) | CHANGES.map(lambda each: changed(ASKED, each))


@fuzzed
@given(messages=st.lists(MESSAGES, min_size=1, max_size=4), content=POURED)
def test_a_service_answers_everything(messages, content):
    """Each message has its report, or why it was refused; what is no message harms nobody."""
    asyncio.run(visited(messages, content))


async def visited(messages, content):
    stream, stop, port = session(), asyncio.Event(), asyncio.get_running_loop().create_future()
    service = Service(Conduit(stream, None, None, None, None, 1), COLUMNS, every=1000)
    running = asyncio.ensure_future(service.run("127.0.0.1", 0, stop, port.set_result))
    try:
        await poured(await port, content)
        told = [await answered(port.result(), each) for each in messages]
        good = await answered(port.result(), line(1000))
    finally:
        stop.set()
        await asyncio.wait_for(running, 10)
    assert all(("refused" in each) != ("mean" in each) for each in told)
    assert "mean" in good
    assert sum(service.conduit.tally.values()) == len(messages) + 1
    read = [row for each in messages if isinstance(row := read_json(each, COLUMNS, None), fl.Arrival)]
    known = session()
    for row in read:
        with contextlib.suppress(ValueError, TypeError):
            known.observe(row.time, row.value, id=row.id)
    known.observe(500.0, [100.0, np.nan], id=1000)
    assert same(stream, known)


@fuzzed
@given(changes=CHANGES | st.integers(0, 10**6))
def test_no_byte_of_a_checkpoint_can_be_changed_unseen(changes, checkpoint):
    """Changed, or cut: the same belief, or a ValueError."""
    folder, content, expected = checkpoint
    broken = content[: changes % len(content)] if isinstance(changes, int) else changed(content, changes)
    (folder / "b.npz").write_bytes(broken)
    with contextlib.suppress(ValueError):
        assert same(fl.Session.load(folder / "b.npz", fl.Kalman(), linear_model()), expected)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bytes")
    stream = again([fl.Arrival(None, 0.5 * k, [0.1 * k, np.nan], None, k) for k in range(5)])
    stream.save(folder / "a.npz")
    return folder, (folder / "a.npz").read_bytes(), stream
