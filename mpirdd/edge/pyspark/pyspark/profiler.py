from mpirdd.user.profiling import BasicProfiler, Profiler

__all__ = ["BasicProfiler", "Profiler"]
