from mpirdd.decisions.hashing import stable_hash as portable_hash
from mpirdd.user.barrier import RDDBarrier
from mpirdd.user.numbers import BoundedFloat
from mpirdd.user.rdd import RDD

PipelinedRDD = RDD
"""In PySpark, an RDD made by a narrow operation; here, all RDDs are of one class."""

__all__ = ["RDD", "BoundedFloat", "PipelinedRDD", "RDDBarrier", "portable_hash"]
