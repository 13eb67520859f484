"""Reading: RDDs from files.

A path is a file, a folder, a glob, or a comma list of these, on a file system that all ranks see; it may be a
``pathlib.Path``, and a list of paths is read like one path after the other. Which files there are is looked up at once,
so that the call reports a missing one; tasks read what is in them. A path may be a URL: ``hdfs://``, ``s3://``, ``gs://``,
``az://``, ``https://``, and all that fsspec knows.

``storage_options``, in all calls: a dict that says how to reach the file system of a URL (keys, endpoint, user), in the
words of its library; None takes what the Conf's ``spark.hadoop.*`` keys and the environment say.

``recursive``, in all calls: read the files in folders below an input folder, too. Without it, such folders are an error.
None does as the key ``spark.hadoop.mapreduce.input.fileinputformat.input.dir.recursive`` of the Conf says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from mpirdd.api import hadoopkeys
from mpirdd.api.base import whole_number
from mpirdd.api.callsite import label
from mpirdd.api.locality import preferred_hosts
from mpirdd.api.rdd import RDD
from mpirdd.api.reaching import ReachesFiles
from mpirdd.formats import binary, picklefile, sequencefile, text
from mpirdd.formats.inputfiles import InputFile
from mpirdd.formats.lineends import TextOptions, check_handler, known_encoding
from mpirdd.formats.paths import Paths, find_inputs, shown_paths
from mpirdd.formats.splits import evened
from mpirdd.ops import operators as steps
from mpirdd.protocol.errors import NotSupported, UsageError
from mpirdd.scheduler.lineage import Source


class Sources(ReachesFiles):
    """The part of a Context that reads. None of these runs a job."""

    def textFile(
        self,
        name: Paths,
        minPartitions: int | None = None,
        use_unicode: bool = True,
        *,
        errors: str = "strict",
        encoding: str = "utf-8",
        delimiter: str | bytes | None = None,
        recursive: bool | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> RDD:
        """The lines of text files, without their line ends. Large files are cut into partitions by byte ranges.

        Args:
            name: a file, a folder, a glob, or a comma list of these. Files packed by gzip, bzip2, xz, zstd, lz4, and
                with Hadoop's suffixes ``.deflate`` and ``.snappy``, are unpacked; each is one partition.
            minPartitions: at least so many partitions, where the files are large enough. Empty files have none.
            use_unicode: False gives ``bytes``.
            errors: what to do with bytes that cannot be decoded: ``strict`` fails, ``replace`` and ``ignore`` go on.
            encoding: of the text, as Python names it: ``utf-16`` (the files say which byte order), ``latin-1``, ...
            delimiter: what ends each line, instead of line ends: ``"\\n\\n"`` gives paragraphs. None does as the key
                ``spark.hadoop.textinputformat.record.delimiter`` of the Conf says.

        Raises:
            InputError: at once, if a file is missing; from the job, if a byte cannot be decoded (it names file and
                offset), or a file is no text but, say, Parquet.
            InvalidValue: there is no such encoding, or the delimiter is empty or might lie within a character.

        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "lines.txt")
        >>> _ = open(path, "w").write("Hello\\nworld")
        >>> sc.textFile(path).collect()
        ['Hello', 'world']
        """
        options = self._text_options(encoding, errors, delimiter)
        splits = text.plan_splits(self._inputs(name, recursive, storage_options), self._least(minPartitions))
        splits = evened(splits, len(self._engine.driver.executors))
        reader = partial(steps.read_lines, use_unicode=use_unicode, options=options)
        lines = self._source(f"textFile({shown_paths(name)})", reader, [split for split in splits if split.length])
        return lines.setName(shown_paths(name))

    def wholeTextFiles(
        self,
        path: Paths,
        minPartitions: int | None = None,
        use_unicode: bool = True,
        *,
        errors: str = "strict",
        encoding: str = "utf-8",
        recursive: bool | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> RDD:
        """(address, text) of each file, in the order of their names. Each file must fit in memory.

        The address is ``file:`` and the file's path, or its URL. Small files share a partition; packed files are
        unpacked, as ``textFile`` does.

        Args:
            minPartitions: about so many partitions, where there are files enough.
            use_unicode: False gives ``bytes``, of the address too.
            errors: what to do with bytes that cannot be decoded: ``strict`` fails, ``replace`` and ``ignore`` go on.
            encoding: of the text, as Python names it.

        Raises:
            InputError: at once, if a file is missing; from the job, if one is no text, or does not decompress.
            InvalidValue: there is no such encoding.

        >>> import os, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> _ = open(os.path.join(folder, "1.txt"), "w").write("two\\nlines")
        >>> sc.wholeTextFiles(folder).values().collect()
        ['two\\nlines']
        """
        known_encoding(encoding)
        check_handler(errors)
        groups = binary.group_text_files(self._inputs(path, recursive, storage_options), self._least(minPartitions))
        reader = partial(binary.read_texts, use_unicode=use_unicode, errors=errors, encoding=encoding)
        files = self._source(f"wholeTextFiles({shown_paths(path)})", reader, groups)
        return files.setName(shown_paths(path))

    def binaryFiles(
        self,
        path: Paths,
        minPartitions: int | None = None,
        *,
        recursive: bool | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> RDD:
        """(address, content as ``bytes``) of each file, in the order of their names. Each file must fit in memory.

        The address is ``file:`` and the file's path, or its URL. Small files share a partition; nothing is unpacked.

        Raises:
            InputError: at once, if a file is missing.

        >>> import os, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> _ = open(os.path.join(folder, "1.bin"), "wb").write(b"\\x00\\x01")
        >>> sc.binaryFiles(folder).values().collect()
        [b'\\x00\\x01']
        """
        files = self._inputs(path, recursive, storage_options)
        groups = binary.group_binary_files(files, self._least(minPartitions), self.defaultParallelism)
        return self._source(f"binaryFiles({shown_paths(path)})", binary.read_binaries, groups)

    def binaryRecords(
        self,
        path: Paths,
        recordLength: int,
        *,
        recursive: bool | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> RDD:
        """The records, as ``bytes``, of files in which each takes ``recordLength`` bytes.

        For numbers, ``mapPartitions`` with ``numpy.frombuffer(b"".join(records), dtype)`` is fast.

        Raises:
            UsageError: ``recordLength`` is not a whole number of 1 or more.
            InputError: at once, if a file is missing, compressed, or has a size that is no multiple of
                ``recordLength``.

        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "records")
        >>> _ = open(path, "wb").write(b"-001-002")
        >>> sc.binaryRecords(path, 4).collect()
        [b'-001', b'-002']
        """
        if isinstance(recordLength, bool) or not isinstance(recordLength, int) or recordLength < 1:
            raise UsageError(f"recordLength must be a whole number of bytes, 1 or more, not {recordLength!r}")
        splits = binary.plan_fixed(self._inputs(path, recursive, storage_options), recordLength)
        return self._source(f"binaryRecords({shown_paths(path)})", partial(binary.read_fixed, recordLength), splits)

    def pickleFile(
        self,
        name: Paths,
        minPartitions: int | None = None,
        *,
        recursive: bool | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> RDD:
        """The records that ``saveAsPickleFile`` wrote, here or in PySpark.

        Only for files that you trust: unpickling can run code.

        Raises:
            InputError: at once, if a file is missing; from the job, if it is damaged, or needs a class that
                cannot be imported.

        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "pickled")
        >>> sc.parallelize([{1}, "two", None]).saveAsPickleFile(path)
        >>> sc.pickleFile(path).collect()
        [{1}, 'two', None]
        """
        splits = sequencefile.plan_splits(self._inputs(name, recursive, storage_options), self._least(minPartitions))
        return self._source(f"pickleFile({shown_paths(name)})", picklefile.read_pickles, splits)

    def sequenceFile(
        self,
        path: Paths,
        keyClass: str | None = None,
        valueClass: str | None = None,
        keyConverter: str | None = None,
        valueConverter: str | None = None,
        minSplits: int | None = None,
        batchSize: int = 0,
        *,
        errors: str = "strict",
        recursive: bool | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> RDD:
        """The (key, value) pairs of Hadoop SequenceFiles; plain, or compressed by record or by block with zlib,
        gzip, bzip2, zstd, lz4 or snappy.

        ``BytesWritable`` gives ``bytearray``, ``MapWritable`` a dict, an array a tuple,
        ``NullWritable`` None; ``Text`` text, the number classes numbers.

        Args:
            keyClass, valueClass: only needed for arrays, since a file does not name the class of
                their elements:
                ``org.apache.hadoop.io.ArrayWritable<org.apache.hadoop.io.IntWritable>``.
                Otherwise a file's own classes count.
            keyConverter, valueConverter: must be None, since they name Java classes; use ``map``.
            minSplits: at least so many partitions, of at least 100 KB each.
            batchSize: accepted; there is nothing to batch.
            errors: how to treat ``Text`` that is not UTF-8: ``strict`` fails, ``replace`` and
                ``ignore`` go on.

        Raises:
            InputError: at once, if a file is missing; from the job, if it is no SequenceFile, is damaged (it
                names file and offset), or holds classes or a compression that are not known here.

        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "pairs")
        >>> sc.parallelize([(1, {"a": 2.5}), (2, {})]).saveAsSequenceFile(path)
        >>> sc.sequenceFile(path).collect()
        [(1, {'a': 2.5}), (2, {})]
        """
        for name, converter in (("keyConverter", keyConverter), ("valueConverter", valueConverter)):
            if converter is not None:
                raise NotSupported(f"{name} names a Java class, and there is no Java here; convert with map() or mapValues()")
        splits = sequencefile.plan_splits(self._inputs(path, recursive, storage_options), self._least(minSplits))
        check_handler(errors)
        options = sequencefile.ReadOptions(keyClass, valueClass, errors)
        return self._source(f"sequenceFile({shown_paths(path)})", partial(sequencefile.read_records, options=options), splits)

    def _inputs(
        self, paths: Paths, recursive: bool | None = None, storage_options: Mapping[str, Any] | None = None, *,
        columns: bool = False,
    ) -> list[InputFile]:
        """The files that ``paths`` mean, with or without those in folders below; or with those in folders named
        ``column=text``."""
        recursive = hadoopkeys.recursive(self._conf.get) if recursive is None else recursive
        return find_inputs(paths, recursive=recursive, columns=columns, options=self._storage(storage_options))

    def _text_options(
        self, encoding: str = "utf-8", errors: str = "strict", delimiter: str | bytes | None = None
    ) -> TextOptions:
        """How text is written, with the Conf's delimiter where the call gives none."""
        return TextOptions.of(encoding, errors, hadoopkeys.delimiter(self._conf.get) if delimiter is None else delimiter)

    @property
    def defaultParallelism(self) -> int:
        """The default number of partitions: the ``parallelism`` setting, else the number of executors.

        >>> sc.defaultParallelism >= 1
        True
        """
        return self._engine.settings.parallelism or max(1, len(self._engine.driver.executors))

    @property
    def defaultMinPartitions(self) -> int:
        """The default least number of partitions of a file: ``min(defaultParallelism, 2)``.

        >>> 1 <= sc.defaultMinPartitions <= 2
        True
        """
        return min(self.defaultParallelism, 2)

    def _least(self, given: int | None) -> int:
        self._engine.check_usable()
        return self.defaultMinPartitions if given is None else whole_number(given, "the number of partitions", least=0)

    def _source(self, operation: str, reader: Callable[[Any], Iterable[Any]], splits: Sequence[Any]) -> RDD:
        """The RDD whose partition i is what ``reader(splits[i])`` gives."""
        hosts = preferred_hosts(splits, self._engine.driver.hosts.values())
        made = self._engine.add(lambda id: Source(id, label(operation), len(splits), None, reader, splits, hosts))
        return RDD(self._engine, made)
