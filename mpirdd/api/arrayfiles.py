"""Reading files of arrays: numpy's, raw numbers, HDF5, NetCDF, Zarr.

Arrays are cut along their first axis, at whole chunks of the file, into partitions as ``recordfiles`` says. A record is an
item of the first axis: a Python number, text or bytes of an array with one axis; a row (named tuple) of structured items; a
numpy array of its own where there are more axes. With ``batches=True`` a record is a block of items, a numpy array of
some 4 MiB: for computing with numpy, much faster. A block may be a read-only view; ``block.copy()`` can be written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpirdd.api.rdd import RDD
from mpirdd.api.recordfiles import RecordFiles, Storage
from mpirdd.formats.paths import Paths, find_folders
from mpirdd.protocol.errors import InvalidType, InvalidValue


class ArrayFiles(RecordFiles):
    """The part of a Context that reads files of arrays. None of these runs a job."""

    def numpyFile(
        self, path: Paths, minPartitions: int | None = None, *, key: str | None = None, batches: bool = False,
        recursive: bool | None = None, storage_options: Storage = None,
    ) -> RDD:
        """The items of numpy's files: ``.npy``, cut by rows and mapped into memory, and one array of ``.npz``, not cut.

        Args:
            key: the name of the array in ``.npz`` files; None: the only one.
            batches: records are blocks of rows, see above.

        Raises:
            InputError: at once, if a file is missing, is no numpy file, or holds pickled objects.

        >>> import os, tempfile, numpy
        >>> path = os.path.join(tempfile.mkdtemp(), "x.npy")
        >>> numpy.save(path, numpy.arange(5))
        >>> sc.numpyFile(path).collect()
        [0, 1, 2, 3, 4]
        >>> sc.numpyFile(path, batches=True).map(lambda block: int(block.sum())).sum()
        10
        """
        from mpirdd.formats.records.npy import Npy

        return self._records("numpyFile", path, Npy(batches, key=key), minPartitions, recursive, storage_options)

    def rawFile(
        self, path: Paths, dtype: Any, rowShape: int | Sequence[int] = (), minPartitions: int | None = None, *,
        offset: int = 0, batches: bool = False, recursive: bool | None = None, storage_options: Storage = None,
    ) -> RDD:
        """The items of files that hold numbers and nothing else, in C order, as ``ndarray.tofile`` writes them.

        Args:
            dtype: of the numbers, as numpy takes it; ``">f4"``: big-endian floats of 4 bytes. May be structured.
            rowShape: of an item: () for numbers, ``(3,)`` or 3 for rows of three.
            offset: bytes at the start of each file to pass over.
            batches: records are blocks of rows, see above.

        Raises:
            InputError: at once, if a file is missing, or its size is no multiple of an item's.

        >>> import os, tempfile, numpy
        >>> path = os.path.join(tempfile.mkdtemp(), "points")
        >>> numpy.arange(6, dtype="<f4").tofile(path)
        >>> sc.rawFile(path, "<f4", 3).map(lambda point: point.tolist()).collect()
        [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
        """
        import numpy

        from mpirdd.formats.records.npy import Raw

        try:
            kind = numpy.dtype(dtype)
        except TypeError as error:
            raise InvalidType(f"dtype {dtype!r} is none of numpy's: {error}") from error
        if kind.hasobject or not kind.itemsize:
            raise InvalidValue(f"dtype {dtype!r} is not a number, text or structure of fixed size")
        shape = (rowShape,) if isinstance(rowShape, int) else tuple(rowShape)
        if not all(isinstance(size, int) and size > 0 for size in shape):
            raise InvalidValue(f"rowShape must be sizes of 1 or more, not {rowShape!r}")
        if not isinstance(offset, int) or offset < 0:
            raise InvalidValue(f"offset must be a number of bytes, 0 or more, not {offset!r}")
        described = tuple(kind.descr) if kind.names else kind.str
        form = Raw(batches, None, described, shape, offset)
        return self._records("rawFile", path, form, minPartitions, recursive, storage_options)

    def hdf5File(
        self, path: Paths, dataset: str | None = None, minPartitions: int | None = None, *, batches: bool = False,
        recursive: bool | None = None, storage_options: Storage = None,
    ) -> RDD:
        """The items of a dataset in HDF5 files, cut into hyperslabs of whole chunks.

        Args:
            dataset: its path in each file, such as ``"run1/energy"``; None: the only one.
            batches: records are blocks of rows, see above.

        Raises:
            InputError: at once, if a file or the dataset is missing; the message names those that are there.

        >>> import os, tempfile, h5py
        >>> path = os.path.join(tempfile.mkdtemp(), "x.h5")
        >>> with h5py.File(path, "w") as file:
        ...     file["run1/energy"] = [1.5, 2.5]
        >>> sc.hdf5File(path, "run1/energy").collect()
        [1.5, 2.5]
        """
        from mpirdd.formats.records.hdf5 import Hdf5

        return self._records("hdf5File", path, Hdf5(batches, dataset=dataset), minPartitions, recursive, storage_options)

    def netcdfFile(
        self, path: Paths, variable: str | None = None, minPartitions: int | None = None, *, batches: bool = False,
        recursive: bool | None = None, storage_options: Storage = None,
    ) -> RDD:
        """The items of a variable in NetCDF files of version 3 or 4, along its first dimension (often time).

        Numbers are as they are stored: ``scale_factor``, ``add_offset`` and ``_FillValue`` are not applied.

        Args:
            variable: its name (its path, in groups); None: the only one.
            batches: records are blocks of rows, see above.

        Raises:
            InputError: at once, if a file or the variable is missing; the message names those that are there.

        >>> import os, tempfile, h5py
        >>> path = os.path.join(tempfile.mkdtemp(), "x.nc")
        >>> with h5py.File(path, "w") as file:
        ...     file["t2m"] = [[280.5, 281.0], [279.0, 280.0]]
        >>> sc.netcdfFile(path, "t2m").map(lambda field: float(field.max())).collect()
        [281.0, 280.0]
        """
        from mpirdd.formats.records.hdf5 import NetCdf

        return self._records("netcdfFile", path, NetCdf(batches, dataset=variable), minPartitions, recursive, storage_options)

    def zarrFile(
        self, path: Paths, array: str | None = None, minPartitions: int | None = None, *, batches: bool = False,
        storage_options: Storage = None,
    ) -> RDD:
        """The items of Zarr arrays, cut at chunks of the first axis.

        Args:
            path: the folder of an array, or of a group of arrays; a glob or a list of these.
            array: its path within a group; None: the only one.
            batches: records are blocks of rows, see above.

        Raises:
            InputError: at once, if the folder or array is missing; the message names those that are there.

        >>> import os, tempfile, numpy, zarr
        >>> path = os.path.join(tempfile.mkdtemp(), "x.zarr")
        >>> made = zarr.open(path, mode="w", shape=(4,), chunks=(2,), dtype="i4")
        >>> made[:] = numpy.arange(4)
        >>> sc.zarrFile(path).collect()
        [0, 1, 2, 3]
        """
        from mpirdd.formats.records.zarrays import Zarr

        form = Zarr(batches, array=array)
        options = self._storage(storage_options)
        files = [form.sized(folder, options) for folder in find_folders(path, options=options)]
        return self._records_of("zarrFile", path, form, files, minPartitions)
