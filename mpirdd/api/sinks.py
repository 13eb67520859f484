"""Writing: the actions that save an RDD as a folder of files, one for each partition. The folder
appears whole or not at all: tasks write parts that nobody sees, the driver makes them appear when all
exist, and ``_SUCCESS`` comes last.

``overwrite``, in all calls: an older output in the folder is replaced when the new one is complete; a folder that holds
anything else is refused. Without it, a folder that exists is refused. Nothing is ever appended.

``storage_options``, in all calls: a dict that says how to reach the file system of a URL (keys, endpoint, user), in the
words of its library, as in ``Context.textFile``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from mpirdd.api.actions import Actions
from mpirdd.formats import outputs, picklefile, sequencefile
from mpirdd.formats.compression import check_library, codec_named
from mpirdd.formats.paths import OnePath, full_path
from mpirdd.ops import operators as steps
from mpirdd.protocol.errors import UsageError
from mpirdd.protocol.pairs import pair


class Sinks(Actions):
    """Each runs a job; none changes the RDD. ``path`` is a new folder on a file system that all
    ranks see, or a URL, such as ``hdfs://host/folder`` or ``s3://bucket/folder``."""

    def saveAsTextFile(
        self,
        path: OnePath,
        compressionCodecClass: str | None = None,
        *,
        overwrite: bool = False,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Write ``str(record)`` and a newline for each record (bytes as they are), a ``part-NNNNN`` file a
        partition. An action.

        Args:
            compressionCodecClass: None, or ``gzip``, ``bzip2``, ``xz``, ``zlib``, ``zstd``, ``lz4`` (in Hadoop's frames),
                ``lz4frame`` (as the lz4 command reads it), ``snappy`` (in Hadoop's frames), or the name
                of Hadoop's codec for one of them.
            overwrite: replace an older output.
            storage_options: how to reach the file system of a URL.

        Raises:
            UsageError: the folder exists or cannot be written, or the codec is not known or not installed.
            ClusterError: the file system fails, or does not answer.

        >>> import tempfile, os
        >>> folder = os.path.join(tempfile.mkdtemp(), "out")
        >>> sc.parallelize(["a", "b", "c"], 2).saveAsTextFile(folder)
        >>> sc.textFile(folder).collect()
        ['a', 'b', 'c']
        """
        codec = None if compressionCodecClass is None else check_library(codec_named(compressionCodecClass)).name
        self._save("saveAsTextFile", path, partial(steps.write_text, codec), overwrite, storage_options)

    def saveAsPickleFile(
        self,
        path: OnePath,
        batchSize: int = 10,
        *,
        overwrite: bool = False,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Write records as pickles, which ``pickleFile`` reads here and in PySpark. An action.

        Args:
            batchSize: records pickled together; 0 chooses by their size, -1 pickles each partition as a whole.
            overwrite: replace an older output.
            storage_options: how to reach the file system of a URL.

        Raises:
            UsageError: the folder exists, or cannot be written.
            ClusterError: the file system fails, or does not answer.
            TaskError: a record cannot be pickled.

        >>> import tempfile, os
        >>> folder = os.path.join(tempfile.mkdtemp(), "out")
        >>> sc.parallelize([(1, {"a"}), None], 2).saveAsPickleFile(folder)
        >>> sc.pickleFile(folder).collect()
        [(1, {'a'}), None]
        """
        if isinstance(batchSize, bool) or not isinstance(batchSize, int) or batchSize < picklefile.UNLIMITED:
            raise UsageError(f"batchSize must be a number of records, 0 (automatic) or -1 (all), not {batchSize!r}")
        self._save("saveAsPickleFile", path, partial(steps.write_pickles, batchSize), overwrite, storage_options)

    def saveAsSequenceFile(
        self,
        path: OnePath,
        compressionCodecClass: str | None = None,
        *,
        keyClass: str | None = None,
        valueClass: str | None = None,
        overwrite: bool = False,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Write (key, value) pairs as Hadoop SequenceFiles. An action, and ``take(1)`` before it unless both
        classes are named.

        The first record determines the classes, so all keys must be of one type, and all values:
        bool, int (of 32 bits; or of 64, if the first one needs them), float, str, bytes or
        bytearray, None, a dict of these, or a tuple of items of one of these types.

        Args:
            compressionCodecClass: None, or ``zlib``, ``gzip``, ``bzip2``, ``zstd``, ``lz4``,
                ``snappy``, or the name of Hadoop's codec for one of them; compresses in blocks of
                1 MB.
            keyClass, valueClass: the classes to write, where the first record does not tell, or
                there is none: ``org.apache.hadoop.io.LongWritable``, say.
            overwrite: replace an older output.
            storage_options: how to reach the file system of a URL.

        Raises:
            UsageError: the folder exists or cannot be written, a class or codec is unknown, or
                there is no record and no class.
            ClusterError: the file system fails, or does not answer.
            RecordError: there is no Writable for the first record.
            TaskError: a record is not a pair, or has other classes than the first.

        >>> import tempfile, os
        >>> folder = os.path.join(tempfile.mkdtemp(), "out")
        >>> sc.parallelize([("a", 1), ("b", 2)], 2).saveAsSequenceFile(folder, "gzip")
        >>> sc.sequenceFile(folder).collect()
        [('a', 1), ('b', 2)]
        """
        codec = None if compressionCodecClass is None else sequencefile.codec_class(compressionCodecClass)
        if keyClass is None or valueClass is None:
            first = self.take(1)
            if not first:
                raise UsageError(
                    "saveAsSequenceFile: the RDD is empty, so nothing says what to write; "
                    "pass keyClass and valueClass, such as 'org.apache.hadoop.io.Text'"
                )
            key, value = pair(first[0], "saveAsSequenceFile")
            keyClass = keyClass or sequencefile.class_for("key", key)
            valueClass = valueClass or sequencefile.class_for("value", value)
        form = sequencefile.format_of(keyClass, valueClass, codec)  # errors now, not from a task
        if form.codec is not None:
            check_library(form.codec)
        write = partial(steps.write_sequence, keyClass, valueClass, codec)
        self._save("saveAsSequenceFile", path, write, overwrite, storage_options)

    def _save(
        self,
        operation: str,
        path: OnePath,
        write: Callable[..., outputs.Part],
        overwrite: bool = False,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Run ``write(where, partition, records)``, which returns what ``outputs.write_part`` gives, on all
        partitions, and commit the parts."""
        self._engine.check_usable()
        options = self._engine.context._storage(storage_options)
        path = full_path(path, options)  # here, as another rank may have another home folder
        token = outputs.start_output(path, overwrite=overwrite, options=options)
        try:
            parts = self._run(operation, partial(write, (path, token)))
            outputs.commit_output(path, token, parts)
        except BaseException:  # whatever it is: no half of a folder stays
            outputs.abandon_output(path, token)
            raise
