from mpirdd.user.conf import Conf


class SparkConf(Conf):
    """``mpirdd.user.conf.Conf`` under the name that PySpark has for it."""


__all__ = ["SparkConf"]
