"""A belief with what a network remembers."""

from typing import Any

from filterlearn.beliefs.base import AbstractBelief, AbstractHistory


class Recurrent(AbstractHistory):
    """The belief `now`, and beside it the memory of a filter whose gain is a network."""

    now: AbstractBelief
    memory: Any
