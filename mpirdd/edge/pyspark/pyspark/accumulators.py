from mpirdd.user.accumulators import Accumulator, AccumulatorParam, AddingAccumulatorParam

__all__ = ["Accumulator", "AccumulatorParam", "AddingAccumulatorParam"]
