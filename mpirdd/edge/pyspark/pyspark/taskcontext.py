from mpirdd.user.taskcontext import BarrierTaskContext, BarrierTaskInfo, TaskContext

__all__ = ["BarrierTaskContext", "BarrierTaskInfo", "TaskContext"]
