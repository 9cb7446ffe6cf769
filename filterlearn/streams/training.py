"""Where a training run stands, kept in a file."""

from pathlib import Path

import equinox as eqx

from filterlearn.streams import checkpoint


class Checkpoint(eqx.Module):
    """A file from which `train(..., checkpoint=...)` goes on after an interruption; written whole after each portion of
    steps. Delete it to start anew."""

    path: Path

    def __init__(self, path):
        self.path = Path(path)

    def resumed(self, state, facts: dict):
        """What the file holds, or `state` where there is none. Raises ValueError for a file of other settings or another
        module, naming what differs."""
        if not self.path.exists():
            return state
        kept = checkpoint.header(self.path)
        if odd := [name for name in facts if kept.get(name) != facts[name]]:
            name = odd[0]
            raise ValueError(f"checkpoint: {self.path} was made with {name}={kept.get(name)}, not {facts[name]}; delete it")
        return checkpoint.load(self.path, state)[0]

    def store(self, state, facts: dict):
        """Puts it in the place of what was there."""
        checkpoint.save(self.path, state, facts)
