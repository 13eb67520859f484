"""Hadoop's SequenceFile, version 6: pairs of Writables, in a file that tasks can read from any
offset.

A file is a header, with the classes of its keys and values and 16 random bytes, and records. The 16 bytes come
again every 100 KB, after an escape (-1 where a length is due): a *sync point*. There are three layouts:

    plain     a record is: length, key's length, key, value
    record    the same, each value compressed by itself
    block     a sync point, then some megabyte of records: lengths of keys, keys, lengths of values, values, each
              compressed

Promises: * A split owns the records between the first sync point at or behind its start and the
first one at or behind its end, as in Hadoop; the header stands for a sync point. So the splits of a
file, read in order, give every record once.
* A damaged file raises InputError with the file and the offset. No length is believed before it is held against what is
  left of the file; compressed data may not become larger than their lengths say, and nothing may follow them.
* Reading is lazy and bounded: records come in runs of about ``RUN_BYTES``, unpacked, or of one record that is larger.
  The first record costs one run, and in the block layout the compressed bytes of its block.

Left out: versions before 6, codecs other than Hadoop's in ``compression``, classes other than those of ``writables``,
and the ``.crc`` files that Hadoop puts beside.
"""

from mpirdd.formats.sequencefile.header import SYNC_BYTES, ReadOptions, SequenceFormat, codec_class, format_of
from mpirdd.formats.sequencefile.reader import RUN_BYTES, decoded_runs, plan_splits, read_records
from mpirdd.formats.sequencefile.writer import COMPRESSED_BLOCK_BYTES, class_for, write_records

__all__ = [
    "COMPRESSED_BLOCK_BYTES",
    "RUN_BYTES",
    "SYNC_BYTES",
    "ReadOptions",
    "SequenceFormat",
    "class_for",
    "codec_class",
    "decoded_runs",
    "format_of",
    "plan_splits",
    "read_records",
    "write_records",
]
