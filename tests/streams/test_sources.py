"""Sources: each row once, whatever breaks off; what cannot be read is set aside with its reason."""

import asyncio
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

import filterlearn as fl
from tests.cases import linear_model

KEY, COLUMNS = jax.random.key(8), fl.Columns("t", ["a", "b"], id="id")
ROWS = [{"t": k + 0.5, "a": 0.1 * k, "b": None if k % 3 == 1 else -0.2, "id": k} for k in range(40)]
GOOD = [json.dumps(row) for row in ROWS]
BAD = ['{"t": 1', "[1, 2]", '{"t": null, "a": 1, "b": 2, "id": "x"}', '{"t": 50, "a": "abc", "b": 2, "id": "y"}', "\x00"]
REFUSED = ['{"t": 50, "a": 1e999, "b": 2, "id": "z"}', '{"t": "noon", "a": 1, "b": 2, "id": "u"}']
LINES = [*GOOD[:10], *BAD, *GOOD[8:11], *REFUSED, *GOOD[11:30], '{"t": 0.1, "a": 0, "b": 0, "id": "l"}', *GOOD[29:]]
TALLY = {"accepted": 40, "malformed": 5, "refused: value": 1, "refused: time": 1, "duplicate": 3, "late": 1}


def session():
    return fl.Session(fl.Kalman(), linear_model(), key=KEY, remember=5)


def clean():
    """The stream without its faults."""
    stream = session()
    for row in ROWS:
        stream.observe(row["t"], [row["a"], np.nan if row["b"] is None else row["b"]])
    return stream


def same(one, two):
    return all((a == b).all() for a, b in zip(jax.tree.leaves(one.belief), jax.tree.leaves(two.belief), strict=True))


def followed(folder, source, stream=None, **given):
    stream = stream or session()
    files = {"out": folder / "out.jsonl", "checkpoint": folder / "a.npz", "quarantine": folder / "side.jsonl"}
    return stream, asyncio.run(fl.follow(stream, source, **files, **given))


def checked(folder, stream, tally):
    """Sent = accepted + refused by reason + duplicates, in the tally and the files; the belief is that of the clean one."""
    assert tally == TALLY
    assert sum(tally.values()) == len(LINES) == 51
    assert same(stream, clean())
    out = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    aside = [json.loads(line) for line in (folder / "side.jsonl").read_text().splitlines()]
    assert len(out) == 41
    assert [each["given"] for each in aside[:2]] == BAD[:2]
    assert len(aside) == 7
    assert all(each["reason"] for each in aside)


def test_a_file_with_faults(tmp_path):
    (tmp_path / "in.jsonl").write_text("\n".join(LINES))
    checked(tmp_path, *followed(tmp_path, fl.FileSource(tmp_path / "in.jsonl", COLUMNS), every=7))


def test_cut_off_at_any_moment(tmp_path):
    """What is on the disk after some arrivals is what a kill leaves; from there the stream ends as if it had not been."""
    whole, moments = tmp_path / "whole", (3, 7, 24, 50)
    whole.mkdir()
    (tmp_path / "in.jsonl").write_text("\n".join(LINES))
    source, count = fl.FileSource(tmp_path / "in.jsonl", COLUMNS), iter(range(1, 100))

    def watch(arrival, stream):
        if (k := next(count)) in moments:
            shutil.copytree(whole, tmp_path / str(k))

    checked(whole, *followed(whole, source, every=7, watch=watch))
    for k in moments:
        there = tmp_path / str(k)
        stream = fl.Session.load(there / "a.npz", fl.Kalman(), linear_model()) if (there / "a.npz").exists() else session()
        checked(there, *followed(there, source, stream, every=5))
        for name in ("out.jsonl", "side.jsonl"):
            assert (there / name).read_bytes() == (whole / name).read_bytes()


def test_a_signal_is_heard_amid_rows_and_in_a_wait(tmp_path):
    """After a dozen rows of a source that never waits; and within a wait of an hour, nothing being lost."""
    (tmp_path / "in.jsonl").write_text("\n".join(GOOD) + "\n")
    stream, source = session(), fl.FileSource(tmp_path / "in.jsonl", COLUMNS, follow=3600.0)

    def watch(arrival, stream):
        stop = functools.partial(os.kill, os.getpid(), signal.SIGTERM)
        if stream.count == 3:
            stop()
        if stream.count == 40:
            asyncio.get_running_loop().call_later(0.05, stop)

    _, tally = followed(tmp_path, source, stream, watch=watch)
    assert 3 <= tally["accepted"] <= 19 < len(GOOD)
    stream = fl.Session.load(tmp_path / "a.npz", fl.Kalman(), linear_model())
    assert followed(tmp_path, source, stream, watch=watch)[1] == {"accepted": 40}
    assert same(stream, clean())


def test_csv_says_the_same(tmp_path):
    rows = "".join(f"{r['id']},{r['t']},{r['a']},{'' if r['b'] is None else r['b']}\n" for r in ROWS)
    (tmp_path / "in.csv").write_text("id,t,a,b\n" + rows + '1,2\n1,2,3,"4\n\n')
    columns = fl.Columns("t", ["a", "b"])
    stream = session()
    tally = asyncio.run(fl.follow(stream, fl.FileSource(tmp_path / "in.csv", columns), quarantine=tmp_path / "side.jsonl"))
    assert tally == {"accepted": 40, "malformed": 2}
    assert same(stream, clean())
    with pytest.raises(ValueError, match="x: no such column; the source has"):
        asyncio.run(fl.follow(session(), fl.FileSource(tmp_path / "in.csv", fl.Columns("x", "a"))))


async def taken(source, n, place=None):
    rows = source.arrivals(place)
    found = [await asyncio.wait_for(anext(rows), 30) for _ in range(n)]
    await rows.aclose()
    return found


def test_a_file_is_followed_as_it_grows_and_is_replaced(tmp_path):
    """Half a line is waited for; after a rotation the new file is read from its start; a place is where to go on."""
    path = tmp_path / "in.jsonl"

    async def writing():
        path.write_text(GOOD[0] + "\n" + GOOD[1][:9])
        await asyncio.sleep(0.05)
        with open(path, "a") as file:
            file.write(GOOD[1][9:] + "\n")
        await asyncio.sleep(0.05)
        (tmp_path / "new").write_text(GOOD[2] + "\n" + GOOD[3] + "\n")
        os.replace(tmp_path / "new", path)

    async def both():
        path.write_text("")
        rows, _ = await asyncio.gather(taken(fl.FileSource(path, COLUMNS, follow=0.01), 4), writing())
        return rows

    rows = asyncio.run(both())
    assert [row.id for row in rows] == [0, 1, 2, 3]
    assert asyncio.run(taken(fl.FileSource(path, COLUMNS), 1, rows[2].place))[0].id == 3
    with pytest.raises(ValueError, match="ends before byte 9999"):
        asyncio.run(taken(fl.FileSource(path, COLUMNS), 1, 9999))


def test_standard_input(tmp_path):
    code = """
import asyncio, sys
import filterlearn as fl
async def main():
    async for row in fl.StandardInput(fl.Columns("t", "a")).arrivals(1):
        print(row.place, row.time, row.value)
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], input="t,a\n1,2\n3,4\n5,6\n", capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("2 3.0 [4.0]\n3 5.0 [6.0]\n", "")


def test_a_web_socket_that_breaks_is_connected_anew():
    """The server sends two messages a connection, then drops it."""
    from websockets.asyncio.server import serve

    left = iter([*GOOD[:3], "{", *GOOD[3:6]])

    async def two(socket):
        for _, text in zip(range(2), left, strict=False):
            await socket.send(text)
        await socket.close()

    async def main():
        async with serve(two, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            source = fl.WebSocketSource(f"ws://127.0.0.1:{port}", COLUMNS, backoff=fl.Backoff(0.01))
            return await taken(source, 7)

    rows = asyncio.run(main())
    assert [row.id if isinstance(row, fl.Arrival) else "malformed" for row in rows] == [0, 1, 2, "malformed", 3, 4, 5]


@pytest.fixture
def redis(tmp_path):
    """The address of a server of its own."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server is installed")
    place = tmp_path / "redis.sock"
    words = [
        "redis-server",
        "--port",
        "0",
        "--unixsocket",
        str(place),
        "--dir",
        str(tmp_path),
        "--save",
        "",
        "--appendonly",
        "yes",
    ]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 30
    while not place.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    yield f"unix://{place}"
    server.terminate()
    server.wait()


def test_a_redis_stream_counts_each_entry_once(redis, tmp_path):
    """Cut off between two checkpoints, and between a checkpoint and its acknowledgement: what was delivered comes again,
    without what the checkpoint knows; in the end nothing is pending."""
    from redis import Redis

    client, stream = Redis.from_url(redis, decode_responses=True), session()
    for row in ROWS:
        client.xadd("gauge", {name: "" if value is None else value for name, value in row.items()})
    columns = fl.Columns("t", ["a", "b"])

    def source():
        return fl.RedisSource(redis, "gauge", columns, group="g", consumer="c")

    def broken(begun, untold, after):
        """A run that is cut off after some arrivals, the source told of no checkpoint after the first `untold` of them."""
        count, kept = iter(range(1, 100)), source()

        async def nothing(place):
            pass

        def watch(arrival, stream):
            k = next(count)
            if k == untold:
                kept.acknowledge = nothing
            if k == after:
                shutil.copy(tmp_path / "a.npz", tmp_path / "b.npz")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            asyncio.run(fl.follow(begun, kept, checkpoint=tmp_path / "a.npz", every=10, watch=watch))
        return fl.Session.load(tmp_path / "b.npz", fl.Kalman(), linear_model())

    begun = broken(stream, 11, 15)
    assert (begun.count, client.xpending("gauge", "g")["pending"]) == (10, 30)
    begun = broken(begun, 1, 12)
    assert (begun.count, client.xpending("gauge", "g")["pending"]) == (20, 30)

    def watch(arrival, stream):
        if stream.count == 40:
            os.kill(os.getpid(), signal.SIGTERM)

    tally = asyncio.run(fl.follow(begun, source(), checkpoint=tmp_path / "a.npz", watch=watch))
    assert tally == {"accepted": 40}
    assert same(begun, clean())
    assert client.xpending("gauge", "g")["pending"] == 0
