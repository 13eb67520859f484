try:
    from mpirdd.user.status import SparkExecutorInfo, SparkJobInfo, SparkStageInfo, StatusTracker
except ImportError:
    SparkExecutorInfo = SparkJobInfo = SparkStageInfo = StatusTracker = None
__all__ = ["SparkExecutorInfo", "SparkJobInfo", "SparkStageInfo", "StatusTracker"]
