"""Makes the batch scripts in slurm/ from the templates here. mpirdd.launch.slurm.pieces has the pieces that scripts share.

    python slurm/templates/make.py
"""

from __future__ import annotations

from pathlib import Path

from mpirdd.launch.slurm.pieces import filled

HERE = Path(__file__).parent


def scripts() -> dict[str, str]:
    """The text of each script, by its name (``one-node.sh``)."""
    return {path.name: filled(path.read_text()) for path in sorted(HERE.glob("*.sh"))}


if __name__ == "__main__":
    for name, text in scripts().items():
        (HERE.parent / name).write_text(text)
