# SPDX-License-Identifier: GPL-2.0-only
"""A kernel of Debian in the cache folder: its image, its modules and a tree to build modules against."""

import fcntl
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

# A series and the pattern of Debian's release names for it.
SERIES = {"6.1": r"6\.1\.0-(\d+)-amd64", "6.12": r"6\.12\.(\d+)\+deb12-amd64"}

# The kernels that `debug-kernel` builds; no package has them.
DEBUG_SERIES = {
    "6.1-debug": r"6\.1\.(\d+)-kernelzero-debug",
    "6.12-debug": r"6\.12\.(\d+)-kernelzero-debug",
}
# Tests that a kernel lacks something for.
NO_KVM = {"memory_watched_by_a_virtual_machine_is_EOPNOTSUPP": "it has no KVM"}
LEFT_OUT = {
    "6.1": {"a_fuse_server_cannot_keep_others_from_the_file": "FUSE is a module there; 6.1-debug has it"},
    "6.1-debug": NO_KVM,
    "6.12-debug": NO_KVM,
}

# What the tests use of the image package; all of it would be ten times as much.
IMAGE_PARTS = re.compile(
    r"\./(boot/(vmlinuz|config)-|lib/modules/[^/]+/kernel/"
    r"(arch/x86/kvm|drivers/(block|crypto/ccp|virtio)|fs/(9p|ext4|fscache|jbd2|netfs)|net/9p|mm|virt|crypto|lib)/"
    r"|lib/modules/[^/]+/kernel/fs/mbcache\.)"
)
# A part that a kernel which was unpacked before it was used is without.
NEWEST_PART = "fs/ext4"


class KernelError(Exception):
    """A kernel could not be brought; the message says what to do."""


@dataclass(frozen=True)
class Kernel:
    """A kernel in the cache. The paths stay valid for as long as nobody removes the cache folder."""

    series: str
    release: str
    root: Path

    @property
    def image(self) -> Path:
        """The bzImage to boot."""
        return self.root / f"boot/vmlinuz-{self.release}"

    @property
    def build(self) -> Path:
        """What to give as KDIR to `make -C kernel`."""
        return self.root / f"usr/src/linux-headers-{self.release}"

    @property
    def modules(self) -> Path:
        """The folder of the kernel's own modules."""
        return self.root / f"lib/modules/{self.release}/kernel"


def cache_folder() -> Path:
    """Where kernels are kept: KERNELZERO_CACHE, or .cache/zerrow/kernels in the home folder."""
    named = os.environ.get("KERNELZERO_CACHE")
    return Path(named) if named else Path.home() / ".cache/zerrow/kernels"


def bring(series: str) -> Kernel:
    """The kernel of a series: the newest in the cache, else apt's newest. Safe to call from many processes."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        release = newest(series, (path.name for path in cache.iterdir()))
        if release is None and series in DEBUG_SERIES:
            raise KernelError(
                f"there is no kernel {series} yet: build it with kernel/tests/qemu/debug-kernel {series[:-6]}"
            )
        if release is None or (
            series in SERIES and not (Kernel(series, release, cache / release).modules / NEWEST_PART).exists()
        ):
            release = download(series, cache)
    return Kernel(series, release, cache / release)


def newest(series: str, names) -> str | None:
    """The release with the highest number among names; None if none is of the series."""
    matches = [match for name in names if (match := re.fullmatch((SERIES | DEBUG_SERIES)[series], name))]
    return max(matches, key=lambda match: int(match[1]))[0] if matches else None


def download(series: str, cache: Path) -> str:
    """Downloads and unpacks apt's newest kernel of a series into the cache; returns its release."""
    names = output(["apt-cache", "pkgnames", "linux-headers-"]).split()
    release = newest(series, (name.removeprefix("linux-headers-") for name in names))
    if release is None:
        raise KernelError(f"apt knows no kernel {series} of Debian 12: run apt-get update on a Debian 12 system")
    flavourless = release.removesuffix("-amd64")
    kbuild = "linux-kbuild-6.1" if series == "6.1" else f"linux-kbuild-{flavourless}"
    headers = [f"linux-headers-{release}", f"linux-headers-{flavourless}-common", kbuild]
    with tempfile.TemporaryDirectory(dir=cache, prefix="unpacking-") as folder:
        packages, root = Path(folder, "packages"), Path(folder, "root")
        packages.mkdir()
        root.mkdir()
        output(["apt-get", "download", "-q", f"linux-image-{release}", *headers], cwd=packages)
        for package in packages.glob("linux-*.deb"):
            if package.name.startswith("linux-image-"):
                unpack_image(package, root)
            else:
                output(["dpkg-deb", "-x", str(package), str(root)])
        make_relocatable(root, release)
        shutil.rmtree(cache / release, ignore_errors=True)
        root.chmod(0o755)
        root.rename(cache / release)
    return release


def unpack_image(package: Path, root: Path) -> None:
    """Unpacks those files of an image package that the tests use."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as unpacker:
        with tarfile.open(fileobj=unpacker.stdout, mode="r|") as archive:
            for member in archive:
                if member.isfile() and IMAGE_PARTS.match(member.name):
                    archive.extract(member, root)
        unpacker.stdout.read()
    if unpacker.returncode != 0:
        raise KernelError(f"dpkg-deb could not unpack {package.name}: the download may be damaged, try again")


def make_relocatable(root: Path, release: str) -> None:
    """Points the headers' Makefile, whose path is absolute, to where the common headers are now."""
    makefile = root / f"usr/src/linux-headers-{release}/Makefile"
    text = makefile.read_text()
    relative = text.replace("include /usr/src/", "include $(dir $(lastword $(MAKEFILE_LIST)))../")
    if relative == text:
        raise KernelError(f"{makefile.name} of linux-headers-{release} does not look as expected: {text.strip()!r}")
    makefile.write_text(relative)


def output(command: list[str], cwd: Path | None = None) -> str:
    """What a command prints; its own words go into the error if it fails."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise KernelError(f"{command[0]} is missing: this needs Debian's package tools") from error
    if done.returncode != 0:
        raise KernelError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout
