from mpirdd.user.status import SparkExecutorInfo, SparkJobInfo, SparkStageInfo, StatusTracker

__all__ = ["SparkExecutorInfo", "SparkJobInfo", "SparkStageInfo", "StatusTracker"]
