"""Reading: the RDDs that a Context makes of files.

All paths are a file, a folder, a glob, or a comma list of these, on a file system that all ranks see. Which files
there are is looked up at once, so that a missing one is reported by the call; what is in them is read by the tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from mpirdd.storage import picklefile, records, sequencefile, text
from mpirdd.user import steps
from mpirdd.words.errors import NotSupported, UsageError

if TYPE_CHECKING:
    from mpirdd.user.rdd import RDD


class Sources:
    """The part of a Context that reads. None of these runs a job."""

    def textFile(
        self, name: str, minPartitions: int | None = None, use_unicode: bool = True, *, errors: str = "strict"
    ) -> RDD:
        """The lines of text files, without their line ends. Large files are cut into partitions by byte ranges.

        Args:
            name: a file, a folder, a glob, or a comma list of these; ``.gz``, ``.bz2`` and ``.xz`` are unpacked.
            minPartitions: at least so many partitions, where the files are large enough. Empty files have none.
            use_unicode: False gives ``bytes``.
            errors: what to do with bytes that are not UTF-8: ``strict`` fails, ``replace`` and ``ignore`` go on.

        Raises:
            InputError: at once, if a file is missing; from the job, if a byte is not UTF-8 (it names file and offset).

        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "lines.txt")
        >>> _ = open(path, "w").write("Hello\\nworld")
        >>> sc.textFile(path).collect()
        ['Hello', 'world']
        """
        splits = text.plan_splits(text.find_inputs(name), self._least(minPartitions))
        reader = partial(steps.read_lines, use_unicode=use_unicode, errors=errors)
        return self._source(f"textFile({name})", reader, [split for split in splits if split.length])

    def wholeTextFiles(
        self, path: str, minPartitions: int | None = None, use_unicode: bool = True, *, errors: str = "strict"
    ) -> RDD:
        """(address, text) of each file, in the order of their names. Each file must fit in memory.

        The address is ``file:`` and the file's path. Small files share a partition; ``.gz``, ``.bz2`` and
        ``.xz`` are unpacked.

        Args:
            minPartitions: about so many partitions, where there are files enough.
            use_unicode: False gives ``bytes``, of the address too.
            errors: what to do with bytes that are not UTF-8: ``strict`` fails, ``replace`` and ``ignore`` go on.

        Raises:
            InputError: at once, if a file is missing; from the job, if one is not UTF-8 or does not decompress.

        >>> import os, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> _ = open(os.path.join(folder, "1.txt"), "w").write("two\\nlines")
        >>> sc.wholeTextFiles(folder).values().collect()
        ['two\\nlines']
        """
        groups = records.group_text_files(text.find_inputs(path), self._least(minPartitions))
        reader = partial(records.read_texts, use_unicode=use_unicode, errors=errors)
        return self._source(f"wholeTextFiles({path})", reader, groups)

    def binaryFiles(self, path: str, minPartitions: int | None = None) -> RDD:
        """(address, content as ``bytes``) of each file, in the order of their names. Each file must fit in memory.

        The address is ``file:`` and the file's path. Small files share a partition; nothing is unpacked.

        Raises:
            InputError: at once, if a file is missing.

        >>> import os, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> _ = open(os.path.join(folder, "1.bin"), "wb").write(b"\\x00\\x01")
        >>> sc.binaryFiles(folder).values().collect()
        [b'\\x00\\x01']
        """
        files = text.find_inputs(path)
        groups = records.group_binary_files(files, self._least(minPartitions), self.defaultParallelism)
        return self._source(f"binaryFiles({path})", records.read_binaries, groups)

    def binaryRecords(self, path: str, recordLength: int) -> RDD:
        """The records, as ``bytes``, of files in which each takes ``recordLength`` bytes.

        For numbers, ``mapPartitions`` with ``numpy.frombuffer(b"".join(records), dtype)`` is the fast way on.

        Raises: UsageError: ``recordLength`` is not a whole number of 1 or more. InputError: at once, if a file
            is missing, compressed, or has a size that is no multiple of ``recordLength``.

        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "records")
        >>> _ = open(path, "wb").write(b"-001-002")
        >>> sc.binaryRecords(path, 4).collect()
        [b'-001', b'-002']
        """
        if isinstance(recordLength, bool) or not isinstance(recordLength, int) or recordLength < 1:
            raise UsageError(f"recordLength must be a whole number of bytes, 1 or more, not {recordLength!r}")
        splits = records.plan_fixed(text.find_inputs(path), recordLength)
        return self._source(f"binaryRecords({path})", partial(records.read_fixed, recordLength), splits)

    def pickleFile(self, name: str, minPartitions: int | None = None) -> RDD:
        """The records that ``saveAsPickleFile`` wrote, here or in PySpark.

        Only for files that you trust: unpickling can run code.

        Raises: InputError: at once, if a file is missing; from the job, if it is damaged, or needs a class that
            cannot be imported.

        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "pickled")
        >>> sc.parallelize([{1}, "two", None]).saveAsPickleFile(path)
        >>> sc.pickleFile(path).collect()
        [{1}, 'two', None]
        """
        splits = sequencefile.plan_splits(text.find_inputs(name), self._least(minPartitions))
        return self._source(f"pickleFile({name})", picklefile.read_pickles, splits)

    def sequenceFile(
        self,
        path: str,
        keyClass: str | None = None,
        valueClass: str | None = None,
        keyConverter: str | None = None,
        valueConverter: str | None = None,
        minSplits: int | None = None,
        batchSize: int = 0,
        *,
        errors: str = "strict",
    ) -> RDD:
        """The (key, value) pairs of Hadoop SequenceFiles; plain, or compressed by record or by block with zlib,
        gzip or bzip2.

        ``BytesWritable`` gives ``bytearray``, ``MapWritable`` a dict, an array a tuple, ``NullWritable`` None;
        ``Text`` and the number classes what one expects.

        Args:
            keyClass, valueClass: only needed for arrays, of which a file does not say what their elements are:
                ``org.apache.hadoop.io.ArrayWritable<org.apache.hadoop.io.IntWritable>``. Else a file's own
                classes count.
            keyConverter, valueConverter: must be None, as they name Java classes; use ``map``.
            minSplits: at least so many partitions, of at least 100 KB each.
            batchSize: accepted; there is nothing to batch.
            errors: what to do with ``Text`` that is not UTF-8: ``strict`` fails, ``replace`` and ``ignore`` go on.

        Raises: InputError: at once, if a file is missing; from the job, if it is no SequenceFile, is damaged
            (it names file and
                offset), or holds classes or a compression that are not known here.

        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "pairs")
        >>> sc.parallelize([(1, {"a": 2.5}), (2, {})]).saveAsSequenceFile(path)
        >>> sc.sequenceFile(path).collect()
        [(1, {'a': 2.5}), (2, {})]
        """
        for name, converter in (("keyConverter", keyConverter), ("valueConverter", valueConverter)):
            if converter is not None:
                raise NotSupported(f"{name} names a Java class, and there is no Java here; convert with map() or mapValues()")
        splits = sequencefile.plan_splits(text.find_inputs(path), self._least(minSplits))
        wanted = sequencefile.Wanted(keyClass, valueClass, errors)
        return self._source(f"sequenceFile({path})", partial(sequencefile.read_records, wanted=wanted), splits)

    def _least(self, given: int | None) -> int:
        self._check_usable()
        return given or self.defaultMinPartitions

    # --- what the Context has -----------------------------------------------------------------------------------------

    @property
    def defaultMinPartitions(self) -> int:
        raise NotImplementedError

    @property
    def defaultParallelism(self) -> int:
        raise NotImplementedError

    def _source(self, operation: str, reader: Callable[[Any], Iterable[Any]], splits: Sequence[Any]) -> RDD:
        raise NotImplementedError

    def _check_usable(self) -> None:
        raise NotImplementedError
