from mpirdd.api.conf import Conf


class SparkConf(Conf):
    """``mpirdd.api.conf.Conf`` under PySpark's name."""


__all__ = ["SparkConf"]
