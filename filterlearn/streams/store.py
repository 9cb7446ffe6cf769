"""The log of a stream as a zarr store that grows along time."""

from filterlearn.diagnostics.results import to_datatree

_ROWS = 1024  # in a chunk
_CLOCK = {"units": "nanoseconds since 1970-01-01", "dtype": "int64"}  # what datetimes are in memory, so that none is rounded


def _opened(path, mode):
    """The group in a store."""
    try:
        import zarr
    except ImportError as error:
        raise ImportError("path: a store needs the zarr package; pip install 'filterlearn[zarr]'") from error
    return zarr.open_group(path, mode=mode)


def _timed(member):
    """Whether a member of a store is an array with a row for each time."""
    return (getattr(member.metadata, "dimension_names", None) or ("",))[0] == "time"


class Store:
    """The reports of a stream in a zarr store, laid out as `to_datatree` does it, that `xarray.open_datatree(path,
    engine="zarr", consolidated=False)` reads at any time between two calls of `sync`.

    A store that is there goes on after its first `offset` rows, what follows being cut off, or after its last where `offset`
    is None; 0 begins anew. Raises ValueError when it has fewer rows, ImportError without zarr.
    """

    def __init__(self, path, offset: int | None = None):
        self.path, self._waiting = path, []
        members = _opened(path, "w" if offset == 0 else "a").members(max_depth=None)
        arrays = [member for _, member in members if _timed(member)]
        self.length = min((array.shape[0] for array in arrays), default=0)
        if offset is not None and self.length < offset:
            raise ValueError(f"path: {path} has {self.length} rows, the checkpoint knows of {offset}; delete the checkpoint")
        self.length = self.length if offset is None else offset
        for array in arrays:
            array.resize((self.length, *array.shape[1:]))

    def write(self, report) -> None:
        """One more report, in memory until `sync`."""
        self._waiting.append(report)

    def sync(self) -> int:
        """All reports in the store; how many those are."""
        if self._waiting:
            for name, group in to_datatree(self._waiting).children.items():
                self._append(name, group.to_dataset())
            self.length, self._waiting = self.length + len(self._waiting), []
        return self.length

    def _append(self, name, rows):
        how = {"store": self.path, "group": name, "mode": "a", "consolidated": False}
        if self.length:
            rows.to_zarr(**how, append_dim="time")
            return
        clock = _CLOCK if rows["time"].dtype.kind == "M" else {}
        chunks = {key: (_ROWS, *v.shape[1:]) for key, v in rows.variables.items() if "time" in v.dims}
        rows.to_zarr(**how, encoding={key: {"chunks": v} | (clock if key == "time" else {}) for key, v in chunks.items()})

    def close(self) -> None:
        """What is in memory, into the store."""
        self.sync()
