"""A session behind HTTP and WebSockets: the same beliefs, refusals that touch nothing, and a token where others reach it."""

import asyncio
import json
import urllib.error
import urllib.request

import jax
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

import filterlearn as fl
from filterlearn.streams.run import Conduit
from filterlearn.streams.service import Service, check_token
from tests.cases import linear_model

COLUMNS = fl.Columns("t", ["a", "b"], id="id")


def session():
    return fl.Session(fl.Kalman(), linear_model(), key=jax.random.key(0), origin="2026-01-01", unit="h", remember=9)


def served(visit, stream, token=None, **files):
    """What a visitor of a service brings home."""

    async def main():
        stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
        conduit = Conduit(stream, None, files.get("out"), files.get("checkpoint"), files.get("quarantine"), 1)
        service = Service(conduit, COLUMNS, every=2, token=token)
        running = asyncio.ensure_future(service.run("127.0.0.1", 0, stop, port.set_result))
        try:
            return await asyncio.wait_for(visit(await port, service), 60)
        finally:
            stop.set()
            await asyncio.wait_for(running, 30)

    return asyncio.run(main())


def fetched(port, path, **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.status, answer.headers["Content-Type"], answer.read().decode()


def sent(k, **more):
    return json.dumps({"t": f"2026-01-01T0{k}:30", "a": 0.1 * k, "b": None, "id": k} | more)


def test_data_in_beliefs_out(tmp_path):
    """What is not a datum is answered with the reason; too long a message ends the connection, and that alone."""

    async def visit(port, service):
        async with connect(f"ws://127.0.0.1:{port}/live") as live:
            first = json.loads(await live.recv())
            async with connect(f"ws://127.0.0.1:{port}/observe") as socket:
                told = []
                for text in (sent(1), sent(2), "{", sent(2), sent(3, a=1e999), sent(3, t="noon"), sent(4)):
                    await socket.send(text)
                    told.append(json.loads(await socket.recv()))
                await socket.send("x" * 100_000)
                with pytest.raises(ConnectionClosedError):
                    await socket.recv()
            seen = [json.loads(await live.recv()) for _ in range(4)]
            ahead = json.loads(await live.recv())
        pages = [await asyncio.to_thread(fetched, port, path) for path in ("/", "/metrics")]
        with pytest.raises(urllib.error.HTTPError, match="404"):
            await asyncio.to_thread(fetched, port, "/etc/passwd")
        return first, told, seen, ahead, pages

    stream, alone = session(), session()
    files = {name: tmp_path / name for name in ("out.jsonl", "checkpoint", "quarantine")}
    files["out"] = files.pop("out.jsonl")
    first, told, seen, ahead, pages = served(visit, stream, **files)
    expected = [alone.observe(f"2026-01-01T0{k}:30", [0.1 * k, float("nan")]) for k in (1, 2, 4)]
    assert first == {"reports": []}
    assert [told[k]["mean"] for k in (0, 1, 6)] == [list(report.mean) for report in expected]
    assert told[0]["time"] == "2026-01-01T01:30"
    assert told[0]["value"] == [0.1, None]
    assert told[2]["refused"].startswith("not JSON")
    assert told[3]["flags"] == ["duplicate"]
    assert told[4]["refused"].startswith("value: finite")
    assert told[5]["refused"].startswith("time: 'noon'")
    assert [each["reports"][0] for each in seen] == [told[k] for k in (0, 1, 3, 6)]
    assert len(ahead["forecast"]["times"]) == 20
    assert ahead["forecast"]["times"][0] == "2026-01-01T06:30"
    assert [kind for _, kind, _ in pages] == ["text/html; charset=utf-8", "text/plain; version=0.0.4; charset=utf-8"]
    assert "http" not in pages[0][2].replace("http://www.w3.org/2000/svg", "").replace("replace(/^http/", "")
    for line in ('arrivals_total{kind="accepted"} 3', 'flags_total{flag="duplicate"} 1', "observe_seconds_count 4"):
        assert f"filterlearn_{line}\n" in pages[1][2]
    again = fl.Session.load(files["checkpoint"], fl.Kalman(), linear_model())
    tally = {"accepted": 3, "malformed": 1, "duplicate": 1, "refused: value": 1, "refused: time": 1}
    assert again.meta["tally"] == tally
    assert [len((files[name]).read_text().splitlines()) for name in ("out", "quarantine")] == [3, 3]


def test_a_page_that_is_open_does_not_hold_the_end_back(tmp_path):
    """Nor does one that has gone; the checkpoint is written."""

    async def visit(port, service):
        kept = await connect(f"ws://127.0.0.1:{port}/live")
        async with connect(f"ws://127.0.0.1:{port}/live") as left:
            await left.recv()
        await kept.recv()
        while len(service.clients) > 1:
            await asyncio.sleep(0.01)

    served(visit, session(), checkpoint=tmp_path / "a.npz")
    assert fl.Session.load(tmp_path / "a.npz", fl.Kalman(), linear_model()).count == 0


def test_a_token_is_asked_for():
    async def visit(port, service):
        told = []
        for path, headers in (("/", {}), ("/?token=no", {}), ("/?token=yes", {}), ("/", {"Authorization": "Bearer yes"})):
            try:
                told.append((await asyncio.to_thread(fetched, port, path, **headers))[0])
            except urllib.error.HTTPError as error:
                told.append(error.code)
        with pytest.raises(Exception, match="401"):
            await connect(f"ws://127.0.0.1:{port}/live").__aenter__()
        return told

    assert served(visit, session(), token="yes") == [401, 401, 200, 200]
    for host in ("0.0.0.0", "example.org", "::"):
        with pytest.raises(ValueError, match="token: needed"):
            check_token(host, None)
        check_token(host, "yes")
    for host in ("127.0.0.1", "localhost", "::1"):
        check_token(host, None)
