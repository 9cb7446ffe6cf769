"""A session in a checkpoint, and out of it again."""

import warnings
from importlib.metadata import PackageNotFoundError, version

import jax

from filterlearn.streams import checkpoint
from filterlearn.streams.outline import outline
from filterlearn.streams.replay import Replay, like


def _version() -> str:
    try:
        return version("filterlearn")
    except PackageNotFoundError:  # a source tree that was not installed
        return "unknown"


def _form(algorithm, problem, policy) -> dict:
    return outline("algorithm", algorithm) | outline("problem", problem) | outline("policy", policy)


def save(session, path, meta: dict) -> None:
    """Writes the checkpoint."""
    engine = session._engine
    kept = {name: getattr(session, name) for name in ("count", "time", "origin", "unit", "remember", "longest")}
    kept |= {"meta": meta, "counts": dict(session.counts), "ids": list(session._ids), "version": _version()}
    kept |= {"bounds": session.bounds and [each.tolist() for each in session.bounds]}
    kept |= {"replay": engine.replay.described(), "grown": engine.grown}
    kept |= {"form": _form(engine.given, engine.problem, session.policy)}
    tree = (session.belief, jax.random.key_data(session.key), engine.replay.entries)
    checkpoint.save(path, tree, {**kept, "key": str(jax.random.key_impl(session.key))})


def _check_form(path, kept, algorithm, problem, policy) -> None:
    there, here = kept["form"], _form(algorithm, problem, policy)
    for name in dict.fromkeys([*here, *there]):
        old, new = there.get(name, "absent"), here.get(name, "absent")
        if old != new:
            raise ValueError(f"path: {name} is {old} in {path} and {new} here; was the model changed?")
    if kept["version"] != _version():
        warnings.warn(
            f"path: {path} is of filterlearn {kept['version']}, this is {_version()}: bits may differ", stacklevel=4
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
    _check_form(path, kept, algorithm, problem, session.policy)
    engine = session._engine
    expected = (engine.belief, jax.random.key_data(key), like(kept["replay"], engine.belief))
    (engine.belief, data, entries), _ = checkpoint.load(path, expected)
    engine.key, engine.replay = jax.random.wrap_key_data(data, impl=kept["key"]), Replay(kept["replay"]["length"], entries)
    engine.given, engine.grown, engine.count = algorithm, kept["grown"], kept["count"]
    engine.counts.update(kept["counts"])
    engine.use(engine.algorithm)
    session._ids.extend(kept["ids"])
    session.time, session.meta = kept["time"], kept["meta"]
    return session
