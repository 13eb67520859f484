"""Writing: the actions that save an RDD as a folder of files, one for each partition.

The folder appears whole or not at all: parts are written under other names and moved when all are there; ``_SUCCESS``
comes last.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from mpirdd.storage import outputs, picklefile, sequencefile
from mpirdd.user import steps
from mpirdd.user.base import Handle
from mpirdd.words.errors import UsageError

_TEXT_CODECS: dict[str, outputs.Compression] = {"gz": "gz", "gzip": "gz", "bz2": "bz2", "bzip2": "bz2", "xz": "xz"}
_SEQUENCE_CODECS = {name.rpartition(".")[2].removesuffix("Codec").lower(): name for name in sequencefile.CODECS}
_SEQUENCE_CODECS.update({"gz": _SEQUENCE_CODECS["gzip"], "bz2": _SEQUENCE_CODECS["bzip2"], "zlib": _SEQUENCE_CODECS["default"]})


class Sinks(Handle):
    """Each runs a job; none changes the RDD. ``path`` is a folder that does not exist yet, where all ranks see it."""

    def saveAsTextFile(self, path: str, compressionCodecClass: str | None = None) -> None:
        """Write ``str(record)`` and a newline for each record (bytes as they are), a ``part-NNNNN`` file a
        partition. An action.

        Args:
            compressionCodecClass: None, or ``gz``, ``bz2``, ``xz``, or the name of Hadoop's codec for one of them.

        Raises:
            UsageError: the folder exists, or cannot be written.

        >>> import tempfile, os
        >>> folder = os.path.join(tempfile.mkdtemp(), "out")
        >>> sc.parallelize(["a", "b", "c"], 2).saveAsTextFile(folder)
        >>> sc.textFile(folder).collect()
        ['a', 'b', 'c']
        """
        compression = _codec(compressionCodecClass, _TEXT_CODECS)
        self._save("saveAsTextFile", path, partial(steps.write_text, compression))

    def saveAsPickleFile(self, path: str, batchSize: int = 10) -> None:
        """Write any records that can be pickled, as ``pickleFile`` reads them, here and in PySpark. An action.

        Args:
            batchSize: records pickled together; 0 chooses by their size, -1 pickles each partition as a whole.

        Raises:
            UsageError: the folder exists, or cannot be written.
            TaskError: a record cannot be pickled.

        >>> import tempfile, os
        >>> folder = os.path.join(tempfile.mkdtemp(), "out")
        >>> sc.parallelize([(1, {"a"}), None], 2).saveAsPickleFile(folder)
        >>> sc.pickleFile(folder).collect()
        [(1, {'a'}), None]
        """
        if isinstance(batchSize, bool) or not isinstance(batchSize, int) or batchSize < picklefile.UNLIMITED:
            raise UsageError(f"batchSize must be a number of records, 0 (automatic) or -1 (all), not {batchSize!r}")
        self._save("saveAsPickleFile", path, partial(steps.write_pickles, batchSize))

    def saveAsSequenceFile(
        self,
        path: str,
        compressionCodecClass: str | None = None,
        *,
        keyClass: str | None = None,
        valueClass: str | None = None,
    ) -> None:
        """Write (key, value) pairs as Hadoop SequenceFiles. An action, and ``take(1)`` before it unless both
        classes are named.

        The first record says what the classes are, so all keys must be of one type, and all values: bool, int
        (of 32 bits; or of 64, if the first one needs them), float, str, bytes or bytearray, None, a dict of
        these, or a tuple of items of one of these types.

        Args: compressionCodecClass: None, or ``zlib``, ``gzip``, ``bzip2``, or the name of Hadoop's codec for
            one of them;
                compresses in blocks of 1 MB.
            keyClass, valueClass: what to write, where the first record is no guide, or is missing:
                ``org.apache.hadoop.io.LongWritable``, say.

        Raises: UsageError: the folder exists or cannot be written, a class or codec is not known, or there is
            no record and no class. RecordError: there is no Writable for the first record. TaskError: a record
            is not a pair, or is not of the first one's classes.

        >>> import tempfile, os
        >>> folder = os.path.join(tempfile.mkdtemp(), "out")
        >>> sc.parallelize([("a", 1), ("b", 2)], 2).saveAsSequenceFile(folder, "gzip")
        >>> sc.sequenceFile(folder).collect()
        [('a', 1), ('b', 2)]
        """
        codec = _codec(compressionCodecClass, _SEQUENCE_CODECS)
        if keyClass is None or valueClass is None:
            first = self._same().take(1)
            if not first:
                raise UsageError(
                    "saveAsSequenceFile: the RDD is empty, so nothing says what to write; "
                    "pass keyClass and valueClass, such as 'org.apache.hadoop.io.Text'"
                )
            key, value = steps.pair(first[0], "saveAsSequenceFile")
            keyClass = keyClass or sequencefile.class_for("key", key)
            valueClass = valueClass or sequencefile.class_for("value", value)
        sequencefile.format_of(keyClass, valueClass, codec)  # errors now, not from a task
        self._save("saveAsSequenceFile", path, partial(steps.write_sequence, keyClass, valueClass, codec))

    def _save(self, operation: str, path: str, write: Callable[..., str]) -> None:
        """Run ``write(where, partition, records)``, which gives the part's name, on all partitions, and commit
        the parts."""
        self._context._check_usable()
        token = outputs.start_output(path)
        try:
            names = self._run(operation, partial(write, (path, token)))
            outputs.commit_output(path, token, names)
        except BaseException:
            outputs.abandon_output(path, token)
            raise


def _codec(given: str | None, known: dict[str, Any]) -> Any:
    """From a short name, or the name of a Hadoop codec class."""
    if given is None:
        return None
    name = given.rpartition(".")[2].removesuffix("Codec").lower()
    if name not in known:
        raise UsageError(f"unknown compression {given!r}; known are {', '.join(known)}, and Hadoop's codecs of these names")
    return known[name]
