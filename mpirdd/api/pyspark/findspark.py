"""The package findspark, with which programs find a PySpark that is not on ``sys.path``. Here it is found already."""

from __future__ import annotations

import logging
import os
from typing import Any


def find() -> str:
    """The folder that ``pyspark`` is in."""
    return os.environ.get("SPARK_HOME") or os.path.dirname(os.path.abspath(__file__))


def init(
    spark_home: str | None = None, python_path: str | None = None, edit_rc: bool = False, edit_profile: bool = False
) -> None:
    """Nothing to do: ``import pyspark`` finds mpirdd's stand-in."""


def add_packages(packages: Any) -> None:
    """Java packages mean nothing here; says so."""
    logging.getLogger("mpirdd").warning("findspark: the Java packages %s are ignored, as there is no Java", packages)


def add_jars(jars: Any) -> None:
    """Java archives mean nothing here; says so."""
    logging.getLogger("mpirdd").warning("findspark: the Java archives %s are ignored, as there is no Java", jars)
