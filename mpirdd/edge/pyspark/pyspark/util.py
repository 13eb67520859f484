from mpirdd.edge.threads import InheritableThread, inheritable_thread_target

__all__ = ["InheritableThread", "inheritable_thread_target"]
