from mpirdd.user.status import ExecutorInfo as SparkExecutorInfo
from mpirdd.user.status import JobInfo as SparkJobInfo
from mpirdd.user.status import StageInfo as SparkStageInfo
from mpirdd.user.status import StatusTracker

__all__ = ["SparkExecutorInfo", "SparkJobInfo", "SparkStageInfo", "StatusTracker"]
