"""Disks that fill up and folders that are closed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    """A folder that may be read and not be written to."""
    if os.name != "posix":
        pytest.skip("needs a POSIX file system's permissions")
    folder = Path(tempfile.mkdtemp())  # pytest's own would be closed to nobody already
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def tiny_disk() -> Iterator[Path]:
    """A file system of 64 KiB, to fill or to make read-only."""
    mount = shutil.which("mount")
    folder = Path(tempfile.mkdtemp())
    command = [str(mount), "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        folder.rmdir()
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    folder.rmdir()
