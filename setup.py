"""The packages of mpirdd; everything else is in pyproject.toml.

An installed mpirdd has the programs, the pages and the batch scripts of this repository, too. pyproject.toml cannot map
folders and find packages at once.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["mpirdd", "mpirdd.*"]), "mpirdd.examples", "mpirdd.docs", "mpirdd.slurm"],
    package_dir={"mpirdd.examples": "jobs", "mpirdd.docs": "docs", "mpirdd.slurm": "slurm"},
    package_data={
        "mpirdd": ["py.typed"],
        "mpirdd.observe": ["page/*"],
        "mpirdd.examples": ["data/**/*"],
        "mpirdd.docs": ["*.md", "figures/*"],
        "mpirdd.slurm": ["*.sh"],
    },
    include_package_data=False,
)
