"""``python -m scrm.cli``: the same as the command ``scrm``."""

from scrm.cli.main import main

main()
