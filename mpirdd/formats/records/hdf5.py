"""Datasets of HDF5 files, and variables of NetCDF files: version 4 is HDF5, version 3 has a reader here (``netcdf3``).

A piece is a hyperslab: rows along the first axis, whole chunks of the file. Several processes may read one file at once.
Numbers are as they are stored: NetCDF's ``scale_factor``, ``add_offset`` and ``_FillValue`` are the caller's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mpirdd.formats.inputfiles import InputFile
from mpirdd.formats.records.arrays import ArrayFormat, Rows
from mpirdd.formats.records.library import library
from mpirdd.formats.records.netcdf3 import opened_variable
from mpirdd.formats.records.opening import is_packed, opened_file
from mpirdd.formats.records.pieces import Piece, whole
from mpirdd.protocol.errors import InputError

_NETCDF3 = b"CDF"
_BUFFER_BYTES = 32 << 10
"""For headers and indexes, which lie here and there; chunks are read at once."""


@dataclass(frozen=True)
class Hdf5(ArrayFormat):
    """HDF5 files, one dataset of each."""

    dataset: str | None = None
    """Its path in the file, such as "group/x"; None: the only one."""

    @property
    def name(self) -> str:
        return "an HDF5 file"

    @contextmanager
    def opened(self, file: InputFile) -> Iterator[Rows]:
        h5py = library("h5py", self.name)
        with opened_file(file, _BUFFER_BYTES) as content, h5py.File(content, "r") as opened:
            yield _Dataset(_chosen(h5py, file, opened, self.dataset))

    def cut(self, file: InputFile, goal_bytes: int) -> list[Piece]:
        return [whole(file)] if is_packed(file) else super().cut(file, goal_bytes)


@dataclass(frozen=True)
class NetCdf(Hdf5):
    """NetCDF files of version 3 or 4, one variable of each."""

    @property
    def name(self) -> str:
        return "a NetCDF file"

    @contextmanager
    def opened(self, file: InputFile) -> Iterator[Rows]:
        with opened_file(file, _BUFFER_BYTES) as content:
            is_classic = content.read(len(_NETCDF3)) == _NETCDF3
            if is_classic:
                yield opened_variable(file.path, content, self.dataset)
                return
        with super().opened(file) as rows:
            yield rows


class _Dataset(Rows):
    """A dataset of an open file."""

    def __init__(self, dataset: Any) -> None:
        if dataset.shape is None:
            raise ValueError(f"the dataset {dataset.name} has no data (a null dataspace)")
        self._dataset = dataset
        self.shape, self.dtype = dataset.shape, dataset.dtype
        self.chunk_rows = dataset.chunks[0] if dataset.chunks else 1
        if library("h5py", "an HDF5 file").check_string_dtype(dataset.dtype) is not None:
            self._dataset = dataset.asstr("utf-8")  # many writers call it ASCII

    def block(self, start: int, end: int) -> Any:
        return self._dataset[start:end]

    def all(self) -> Any:
        return library("numpy", "an array").asarray(self._dataset[()])


def _chosen(h5py: Any, file: InputFile, opened: Any, name: str | None) -> Any:
    if name is not None and name in opened:
        found = opened[name]
        if isinstance(found, h5py.Dataset):
            return found
    names: list[str] = []
    opened.visititems(lambda path, item: names.append(path) if isinstance(item, h5py.Dataset) else None)
    if name is None and len(names) == 1:
        return opened[names[0]]
    which = "holds several datasets" if name is None and names else f"has no dataset {name or ''}".rstrip()
    raise InputError(f"{file.path} {which}; name one of: {', '.join(names[:30]) or 'none is there'}")
