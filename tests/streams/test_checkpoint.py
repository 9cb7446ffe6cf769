"""Checkpoints: to the bit, with any kind of key; whole at every moment; what is not one is refused by name."""

import re

import jax
import numpy as np
import pytest

import filterlearn as fl
from filterlearn.streams import checkpoint
from tests.cases import FILTERS, linear_data, linear_model

KEY = jax.random.key(4)


def feed(session, data, start, stop):
    return [session.observe(data.times[k], data.values[k]) for k in range(start, stop)]


IMPLEMENTATIONS = [*((name, "threefry2x32") for name in FILTERS), ("particle", "rbg"), ("ensemble_kalman", "unsafe_rbg")]


@pytest.mark.parametrize(("name", "impl"), IMPLEMENTATIONS)
def test_resumed_equals_uninterrupted_to_the_bit(name, impl, tmp_path):
    data, key = linear_data(12), jax.random.key(5, impl=impl)
    whole = fl.Session(FILTERS[name](), linear_model(), key=key)
    half = fl.Session(FILTERS[name](), linear_model(), key=key)
    expected = feed(whole, data, 0, 12)
    feed(half, data, 0, 7)
    half.save(tmp_path / "a.npz", source="a", row=7)
    resumed = fl.Session.load(tmp_path / "a.npz", FILTERS[name](), linear_model())
    assert (resumed.count, resumed.time, resumed.meta) == (7, half.time, {"source": "a", "row": 7})
    for one, two in zip(feed(resumed, data, 7, 12), expected[7:], strict=True):
        np.testing.assert_array_equal(one.mean, two.mean)
        np.testing.assert_array_equal(one.covariance, two.covariance)
        assert one.log_evidence == two.log_evidence
    ahead = [session.forecast([100.0], draws=3).states for session in (resumed, whole)]
    np.testing.assert_array_equal(*ahead)
    assert jax.random.key_impl(resumed.key) == impl


def test_the_clock_is_kept(tmp_path):
    session = fl.Session(fl.Kalman(), linear_model(), key=KEY, origin="2020-01-01T00:00+01:00", unit="h")
    session.observe("2020-01-01T00:00Z", [0.1, 0.2])
    session.save(tmp_path / "a.npz")
    resumed = fl.Session.load(tmp_path / "a.npz", fl.Kalman(), linear_model())
    assert (resumed.origin, resumed.unit, resumed.time) == (session.origin, "h", 1.0)
    assert resumed.observe("2020-01-01T02:00Z", [0.1, 0.2]).time == np.datetime64("2020-01-01T02:00")


def test_a_crash_before_the_rename_leaves_the_old_one(tmp_path, monkeypatch):
    def crash(path):
        raise KeyboardInterrupt

    session, path = fl.Session(fl.Kalman(), linear_model(), key=KEY), tmp_path / "a.npz"
    session.save(path, row=1)
    session.observe(1.0, [0.1, 0.2])
    monkeypatch.setattr(checkpoint, "before_rename", crash)
    with pytest.raises(KeyboardInterrupt):
        session.save(path, row=2)
    assert checkpoint.header(path)["meta"] == {"row": 1}
    monkeypatch.undo()
    session.save(path, row=3)
    assert checkpoint.header(path)["meta"] == {"row": 3}
    assert [each.name for each in tmp_path.iterdir()] == ["a.npz"]


def test_the_last_few_are_kept(tmp_path, monkeypatch):
    """A crash before the rename leaves those that were there."""
    session, path = fl.Session(fl.Kalman(), linear_model(), key=KEY), tmp_path / "a.npz"
    for row in range(5):
        session.save(path, keep=3, row=row)
    names = {"a.npz": 4, "a.npz.1": 3, "a.npz.2": 2}
    rows = lambda: {each.name: checkpoint.header(each)["meta"]["row"] for each in tmp_path.iterdir()}  # noqa: E731
    assert rows() == names
    monkeypatch.setattr(checkpoint, "before_rename", lambda path: path / 0)
    with pytest.raises(TypeError):
        session.save(path, keep=3, row=5)
    (tmp_path / ".a.npz.partial").unlink()
    assert rows() == names
    assert fl.Session.load(checkpoint.older(path, 1), fl.Kalman(), linear_model()).meta == {"row": 3}
    with pytest.raises(ValueError, match="keep: a whole number of at least 1"):
        session.save(path, keep=0)


def whole_file(folder):
    fl.Session(fl.Kalman(), linear_model(), key=KEY).save(folder / "a.npz")
    return (folder / "a.npz").read_bytes()


def foreign(folder):
    np.savez(folder / "a.npz", x=np.zeros(3))
    return (folder / "a.npz").read_bytes()


def array(folder):
    np.save(folder / "a.npy", np.zeros(3))
    return (folder / "a.npy").read_bytes()


def flipped(folder):
    """One bit in the middle of a stored array."""
    content = bytearray(whole_file(folder))
    content[content.index(b"NUMPY", len(content) // 3) + 130] ^= 1
    return bytes(content)


DAMAGE = {
    "truncated": lambda folder: whole_file(folder)[:-100],
    "half": lambda folder: whole_file(folder)[: len(whole_file(folder)) // 2],
    "flipped": flipped,
    "empty": lambda folder: b"",
    "text": lambda folder: b"not a checkpoint",
    "another archive": foreign,
    "another array": array,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_not_a_checkpoint_is_refused_by_path(name, tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(DAMAGE[name](tmp_path))
    with pytest.raises(ValueError, match=re.escape(f"path: {path} is not a checkpoint")) as caught:
        fl.Session.load(path, fl.Kalman(), linear_model())
    assert "\n" not in str(caught.value)


def test_no_file_and_another_version_are_refused_by_path(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="path: no checkpoint at"):
        fl.Session.load(tmp_path / "none.npz", fl.Kalman(), linear_model())
    whole_file(tmp_path)
    monkeypatch.setattr(checkpoint, "FORMAT", 99)
    with pytest.raises(ValueError, match="a.npz is a checkpoint of format 4, this version reads 99"):
        checkpoint.header(tmp_path / "a.npz")


def test_meta_that_json_does_not_hold_is_refused(tmp_path):
    session = fl.Session(fl.Kalman(), linear_model(), key=KEY)
    for given in (KEY, float("nan")):
        with pytest.raises(TypeError, match="meta: "):
            session.save(tmp_path / "a.npz", given=given)
    assert not list(tmp_path.iterdir())
