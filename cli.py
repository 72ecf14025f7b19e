"""Run the command line from a checkout: python cli.py index ./images."""

from handcraft.cli import main

if __name__ == "__main__":
    main()
