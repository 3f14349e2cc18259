"""A private mount namespace: disk and shared memory of a run's own, which can be filled and emptied."""
import ctypes
import os
import subprocess
import sys

INSIDE = "HERMES_HISTORY_INSIDE"
SKIPPED = 77
MNT_DETACH = 2


def enter():
    """Runs this program again where mounts are private. Where that is not allowed nothing can be shown."""
    if INSIDE in os.environ:
        return
    unshare = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--mount", "--user", "--map-root-user"]
    if subprocess.run(unshare + ["true"], stderr=subprocess.DEVNULL).returncode != 0:
        print("SKIPPED: private mounts are not allowed here, so disks and shared memory cannot be made small")
        sys.exit(SKIPPED)
    os.environ[INSIDE] = "1"
    os.execvp("unshare", unshare + [sys.executable, "-B"] + sys.argv)


class SmallDisk:
    """A tmpfs at path."""

    def __init__(self, path, size):
        self.path = path
        self.filler = os.path.join(path, "filler")
        os.makedirs(path, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0777", "tmpfs", path], check=True)

    def fill(self, leave=0):
        """Leaves so many bytes, or none."""
        with open(self.filler, "ab", 0) as file:
            while (free := self.free() - leave) > 0:
                try:
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, free)
                except OSError:  # somebody else took some meanwhile
                    continue

    def free(self):
        disk = os.statvfs(self.path)
        return disk.f_bavail * disk.f_bsize

    def make_room(self):
        if os.path.exists(self.filler):
            os.unlink(self.filler)

    def resize(self, size):
        subprocess.run(["mount", "-o", f"remount,size={size}", self.path], check=True)

    def unmount(self):
        ctypes.CDLL(None).umount2(self.path.encode(), MNT_DETACH)
