"""A session in a checkpoint, and out of it again."""

import warnings
from importlib.metadata import PackageNotFoundError, version

import jax

from filterlearn.streams import checkpoint
from filterlearn.streams.outline import outline
from filterlearn.streams.replay import Replay, like


def own_version() -> str:
    """Of this library."""
    try:
        return version("filterlearn")
    except PackageNotFoundError:  # a source tree that was not installed
        return "unknown"


def form_of(algorithm, problem, **more) -> dict:
    """What stands where in them."""
    parts = {"algorithm": algorithm, "problem": problem, **more}
    return {name: word for part, each in parts.items() for name, word in outline(part, each).items()}


def save(session, path, keep: int, meta: dict) -> None:
    """Writes the checkpoint."""
    engine = session._engine
    kept = {name: getattr(session, name) for name in ("count", "time", "origin", "unit", "remember", "longest")}
    kept |= {"meta": meta, "counts": dict(session.counts), "ids": list(session._ids), "version": own_version()}
    kept |= {"bounds": session.bounds and [each.tolist() for each in session.bounds]}
    kept |= {"replay": engine.replay.described(), "grown": engine.grown}
    kept |= {"form": form_of(engine.given, engine.problem, policy=session.policy)}
    tree = (session.belief, jax.random.key_data(session.key), engine.replay.entries)
    checkpoint.save(path, tree, {**kept, "key": str(jax.random.key_impl(session.key))}, keep)


def check_form(path, kept, here: dict) -> None:
    """Raises ValueError naming what differs from the form in a checkpoint; warns where that is of another version."""
    there = kept["form"]
    for name in dict.fromkeys([*here, *there]):
        old, new = there.get(name, "absent"), here.get(name, "absent")
        if old != new:
            raise ValueError(f"path: {name} is {old} in {path} and {new} here; was the model changed?")
    if kept["version"] != own_version():
        warnings.warn(
            f"path: {path} is of filterlearn {kept['version']}, this is {own_version()}: bits may differ", stacklevel=4
        )


def load(cls, path, algorithm, problem, policy):
    """The session that goes on from it."""
    kept = checkpoint.header(path)
    key = jax.random.key(0, impl=kept["key"])
    names = ("origin", "unit", "remember", "longest", "bounds")
    own = {name: kept[name] for name in names} | {"replay": kept["replay"]["length"], "policy": policy}
    larger = algorithm
    for bits in kept["grown"]:
        larger = larger.larger(bits)
    session = cls(larger, problem, key=key, **own)
    check_form(path, kept, form_of(algorithm, problem, policy=session.policy))
    engine = session._engine
    expected = (engine.belief, jax.random.key_data(key), like(kept["replay"], engine.belief))
    (engine.belief, data, entries), _ = checkpoint.load(path, expected)
    engine.key, engine.replay = jax.random.wrap_key_data(data, impl=kept["key"]), Replay(kept["replay"]["length"], entries)
    engine.given, engine.grown, engine.count = algorithm, kept["grown"], kept["count"]
    engine.counts.update(kept["counts"])
    engine.use(engine.algorithm)
    for each in kept["ids"]:
        session._ids.add(each)
    session.time, session.meta = kept["time"], kept["meta"]
    return session
