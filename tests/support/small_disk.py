"""Real file systems of a few megabytes, to be filled, made read-only and mended."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

BLOCK = 4096
EXT4_IOC_SHUTDOWN = 0x8004587D
GOING_FLAGS_NOLOGFLUSH = 2


def run(*command: str) -> None:
    """Run a system's own tool; raises AssertionError with its words when it fails."""
    program = shutil.which(command[0], path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    assert program is not None, f"{command[0]} is missing: install what tests/support/system_packages.sh names"
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()} (is this test run as root?)"


class SmallDisk:
    """A mounted file system."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    @property
    def free(self) -> int:
        """Bytes that can still be written."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self, leave: int = 0) -> None:
        """Write until there is no more room than `leave` bytes."""
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while self.free > leave:
                    file.write(b"x" * min(65536, max(BLOCK, self.free - leave)))
            except OSError:
                return

    def empty(self) -> None:
        """Give the room back."""
        self._ballast.unlink()


@contextmanager
def tmpfs(path: Path, size_mb: int) -> Iterator[SmallDisk]:
    """A file system in memory: full is full to the byte."""
    path.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(path))
    try:
        yield SmallDisk(path)
    finally:
        run("umount", "--lazy", str(path))


class LoopDisk(SmallDisk):
    """ext4 in a file."""

    def __init__(self, path: Path, image: Path) -> None:
        super().__init__(path)
        self.image = image
        """The file that the device of the next mount is made of."""
        self._devices = 1

    def mount(self) -> None:
        run("mount", "-o", "loop,errors=remount-ro", str(self.image), str(self.path))

    def unmount(self) -> None:
        """Unmount, and carry what is on the device over to another one.

        Who starts a container or looks at a computer with mounts of his own takes a copy of every mount along, and with
        it keeps the kernel's file system alive, stopped or read-only as it is. Mounted from the same device again it
        would be that one, and no journal would be replayed.
        """
        run("umount", str(self.path))
        used, self._devices = self.image, self._devices + 1
        self.image = self.path.with_suffix(f".{self._devices}.img")
        run("cp", "--sparse=always", str(used), str(self.image))
        used.unlink()

    def fail(self) -> None:
        """Have the kernel find an error in its file system: it turns read-only, open files and all."""
        number = self.path.stat().st_dev
        loop = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve().name
        Path(f"/sys/fs/ext4/{loop}/trigger_fs_error").write_text("planted")

    def cut_power(self) -> None:
        """Stop the file system where it is: whatever was not flushed is gone, and nothing can be written any more.

        What a test of file systems does for a power cut (ext4's shutdown without a flush of the journal).
        """
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", GOING_FLAGS_NOLOGFLUSH))
        finally:
            os.close(descriptor)

    def mend(self, repair: Sequence[str] = ("fsck.ext4", "-p", "-f")) -> None:
        """Do what a person does: unmount, check, mount."""
        self.unmount()
        program = shutil.which(repair[0], path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        assert program is not None
        done = subprocess.run([program, *repair[1:], str(self.image)], capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stdout + done.stderr
        self.mount()


@contextmanager
def loop_ext4(path: Path, size_mb: int) -> Iterator[LoopDisk]:
    """A journalling file system on a block device."""
    path.mkdir()
    image = path.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(size_mb * 1024 * 1024)
    run("mkfs.ext4", "-q", "-m", "0", str(image))
    disk = LoopDisk(path, image)
    disk.mount()
    try:
        yield disk
    finally:
        run("umount", "--lazy", str(path))
        disk.image.unlink()
