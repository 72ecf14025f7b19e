"""python -m handcraft: the command line."""

from handcraft.cli import main

if __name__ == "__main__":
    main()
