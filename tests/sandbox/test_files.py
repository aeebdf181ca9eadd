"""What a worker sees of the file system: a read-only tree, a /tmp of its own, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from host import Refused


def test_only_what_is_shown_is_there(sandbox):
    def look():
        import os

        return sorted(os.listdir("/")), sorted(os.listdir("/etc")), sorted(os.listdir("/dev"))

    root, etc, dev = sandbox.run(look)
    assert not {"root", "home", "var", "sys", "run", "boot", "mnt", "media", "srv", "opt"} & set(root) - {"root"}
    assert "shadow" not in etc
    assert dev == ["fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"]


def test_nothing_of_the_old_root_is_left(sandbox):
    def look():
        import os

        up = os.open("/", os.O_RDONLY)
        for _ in range(20):
            up = os.open("..", os.O_RDONLY, dir_fd=up)
        return sorted(os.listdir(up)) == sorted(os.listdir("/")), open("/proc/self/mountinfo").read()

    same, mounts = sandbox.run(look)
    assert same
    assert "cgroup" not in mounts and "sysfs" not in mounts


def test_the_tree_is_read_only(sandbox):
    def write():
        import os

        outcomes = {}
        with open("/proc/self/mountinfo") as file:
            shown = [line.split()[4] for line in file]
        private = ("/tmp", "/dev/shm", "/proc")
        devices = [path for path in shown if path.startswith("/dev/") and path not in private]
        for path in [path for path in shown if path not in private and path not in devices]:
            if os.path.isdir(path):
                outcomes[f"make in {path}"] = attempt(os.open, f"{path}/made", os.O_WRONLY | os.O_CREAT)
                outcomes[f"folder in {path}"] = attempt(os.mkdir, f"{path}/made")
            else:
                outcomes[f"write {path}"] = attempt(os.open, path, os.O_WRONLY)
            outcomes[f"chmod {path}"] = attempt(os.chmod, path, 0o777)
            outcomes[f"touch {path}"] = attempt(os.utime, path)
        for path in ("/dev", "/etc", "/proc/sys/kernel", "/proc"):
            outcomes[f"make in {path}"] = attempt(os.open, f"{path}/made", os.O_WRONLY | os.O_CREAT)
        outcomes["remove python"] = attempt(os.unlink, os.path.realpath("/proc/self/exe"))
        return outcomes

    outcomes = sandbox.run(write)
    assert len(outcomes) > 20
    assert set(outcomes.values()) <= {"EROFS", "EACCES", "EPERM", "ENOENT"}, outcomes


def test_no_setting_of_the_kernel_can_be_written(sandbox):
    def write():
        import os

        paths = (
            "kernel/core_pattern", "kernel/modprobe", "kernel/hostname", "kernel/sysrq", "vm/overcommit_memory",
            "fs/binfmt_misc/register", "user/max_user_namespaces", "kernel/yama/ptrace_scope",
        )  # fmt: skip
        outcomes = {path: attempt(os.open, f"/proc/sys/{path}", os.O_WRONLY) for path in paths}
        outcomes["sysrq"] = attempt(os.open, "/proc/sysrq-trigger", os.O_WRONLY)
        outcomes["kcore"] = attempt(os.open, "/proc/kcore", os.O_RDONLY)
        return outcomes

    assert set(sandbox.run(write).values()) <= {"EROFS", "EACCES", "EPERM", "ENOENT"}


def test_mounts_cannot_be_changed(sandbox):
    def change():
        import ctypes

        text = ctypes.c_char_p
        REMOUNT, BIND = 32, 4096
        mount = number_of("mount")
        return [
            attempt(call, mount, text(b"none"), text(b"/usr"), text(b""), REMOUNT | BIND, 0),
            attempt(call, mount, text(b"t"), text(b"/tmp"), text(b"tmpfs"), 0, 0),
            attempt(call, mount, text(b"/tmp"), text(b"/usr"), text(b""), BIND, 0),
            attempt(call, number_of("umount2"), text(b"/proc"), 2),
            attempt(call, number_of("umount2"), text(b"/tmp"), 2),
            attempt(call, number_of("pivot_root"), text(b"/tmp"), text(b"/tmp")),
            attempt(call, number_of("chroot"), text(b"/tmp")),
            attempt(call, number_of("open_tree"), -100, text(b"/usr"), 1),
            attempt(call, number_of("fsopen"), text(b"tmpfs"), 0),
            attempt(call, number_of("mount_setattr"), -100, text(b"/usr"), 0, 0, 0),
        ]

    assert set(sandbox.run(change)) == {"EPERM"}


def test_no_device_can_be_made(sandbox):
    def make():
        import os
        import stat

        return attempt(os.mknod, "/tmp/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))

    assert sandbox.run(make) == "EPERM"


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_each_worker_has_its_own_folder_to_write(sandbox, folder):
    def leave(folder):
        with open(f"{folder}/mine", "w") as file:
            file.write("secret")
        with open(f"{folder}/mine") as file:
            return file.read()

    def find(folder):
        import os

        return os.path.exists(f"{folder}/mine")

    name = f"{folder}/mine"
    assert sandbox.run(leave, folder) == "secret"
    assert not sandbox.run(find, folder)
    assert not os.path.exists(name)


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_what_a_worker_may_write_is_limited(make, folder):
    def fill(folder):
        piece, written = b"x" * (1 << 20), 0
        try:
            with open(f"{folder}/large", "wb", buffering=0) as file:
                while written < 64 << 20:
                    written += file.write(piece)
        except OSError as error:
            return errno.errorcode[error.errno], written
        return "done", written

    outcome, written = make(tmp_bytes_max=8 << 20).run(fill, folder)
    assert outcome == "ENOSPC"
    assert written <= 8 << 20


def test_what_is_shown_below_tmp_stays_visible(make, scratch):
    folder = scratch / "project" / "deep"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "models.py").write_text("here")
    hidden = scratch / "hidden"
    hidden.mkdir(exist_ok=True)

    def look(path, hidden):
        import os

        return open(path).read(), attempt(os.open, path, os.O_WRONLY), os.path.exists(hidden)

    sandbox = make(show=[str(folder)])
    content, writing, sees_hidden = sandbox.run(look, str(folder / "models.py"), str(hidden))
    assert (content, sees_hidden) == ("here", False)
    assert writing in ("EROFS", "EACCES")


def test_a_file_and_a_link_below_tmp_can_be_shown(make, scratch):
    folder = scratch / "single"
    folder.mkdir(exist_ok=True)
    (folder / "shown.txt").write_text("here")
    (folder / "hidden.txt").write_text("here")
    link = scratch / "link"
    if not link.is_symlink():
        link.symlink_to(folder / "linked")
    (folder / "linked").mkdir(exist_ok=True)
    (folder / "linked" / "file").write_text("there")

    def look(folder, link):
        import os

        return open(f"{folder}/shown.txt").read(), sorted(os.listdir(folder)), open(f"{link}/file").read()

    sandbox = make(show=[str(folder / "shown.txt"), str(folder / "linked"), str(link)])
    assert sandbox.run(look, str(folder), str(link)) == ["here", ["linked", "shown.txt"], "there"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount on the host")
def test_what_the_host_mounts_later_does_not_appear(make, scratch):
    folder = scratch / "shared"
    (folder / "later").mkdir(parents=True, exist_ok=True)

    def look(folder):
        import os

        return os.listdir(f"{folder}/later")

    subprocess.run(["mount", "-t", "tmpfs", "shared", str(folder)], check=True)
    try:
        subprocess.run(["mount", "--make-shared", str(folder)], check=True)
        (folder / "later").mkdir()
        sandbox = make(show=[str(folder)])
        subprocess.run(["mount", "-t", "tmpfs", "later", str(folder / "later")], check=True)
        (folder / "later" / "file").write_text("x")
        assert sandbox.run(look, str(folder)) == []
    finally:
        subprocess.run(["umount", "--recursive", str(folder)], check=True)


def test_files_of_the_engine_that_are_not_for_everybody_stay_closed_under_root(make, scratch, user):
    folder = scratch / f"permissions-{user}"
    folder.mkdir(exist_ok=True)
    for name, mode in (("everybody", 0o644), ("owner", 0o600)):
        (folder / name).write_text("here")
        (folder / name).chmod(mode)
        os.chown(folder / name, user, user)

    def read(folder):
        return {name: attempt(open, f"{folder}/{name}") for name in ("everybody", "owner")}

    # An ordinary user's workers are that user: all it can do for them is not to show the file.
    expected = {"everybody": "done", "owner": "EACCES" if user == 0 else "done"}
    assert make(show=[str(folder)]).run(read, str(folder)) == expected


def test_what_is_hidden_in_a_shown_folder_cannot_be_seen(make, scratch):
    folder = scratch / "hiding"
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for name in ("data/secret", "secret", "models.py"):
        (folder / name).write_text("here")

    def look(folder):
        import os

        def read(name):
            return open(f"{folder}/{name}").read()

        return {
            "folder": os.listdir(f"{folder}/data"),
            "below": attempt(read, "data/secret"),
            "file": attempt(read, "secret"),
            "mode": attempt(os.chmod, f"{folder}/secret", 0o644),
            "shown": read("models.py"),
            "make": attempt(os.mkdir, f"{folder}/data/made"),
            "proc": attempt(read, f"../../proc/self/root{folder}/data/secret"),
        }

    gone = [str(folder / "gone"), str(folder / "models.py" / "gone")]
    sandbox = make(show=[str(folder)], hidden=[str(folder / "data"), str(folder / "secret"), *gone])
    outcomes = sandbox.run(look, str(folder))
    assert outcomes.pop("make") in ("EROFS", "EACCES")
    assert outcomes.pop("mode") in ("EROFS", "EPERM")
    assert outcomes == {"folder": [], "below": "ENOENT", "file": "EACCES", "shown": "here", "proc": "ENOENT"}


def test_of_a_rebuilt_folder_only_what_is_shown_can_be_seen(make, scratch):
    folder = scratch / "rebuilding: \n,'🦀"
    for name in ("secret", "keep/deep/secret", "keep/deep/file", "more/file", "more/secret", "file"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("here")
    for link, target in (("link", "file"), ("nowhere", "secret")):
        if not (folder / link).is_symlink():
            (folder / link).symlink_to(target)

    def look(folder):
        import os

        found = sorted(os.path.relpath(f"{at}/{name}", folder) for at, _, names in os.walk(folder) for name in names)
        outcomes = {attempt(os.mkdir, f"{at}/made") for at, _, _ in os.walk(folder)}
        return found, sorted(outcomes), open(f"{folder}/link").read(), os.path.exists(f"{folder}/nowhere")

    rebuilt = [
        (str(folder), [f"{folder}/{name}" for name in ("keep", "more/file", "file", "link", "nowhere", "gone")]),
        (f"{folder}/keep/deep", [f"{folder}/keep/deep/file"]),
        (f"{folder}/gone", []),
    ]
    found, outcomes, content, leads_somewhere = make(show=[str(folder)], rebuilt=rebuilt).run(look, str(folder))
    assert found == ["file", "keep/deep/file", "link", "more/file", "nowhere"]
    assert set(outcomes) <= {"EROFS", "EACCES"}
    assert (content, leads_somewhere) == ("here", False)


def test_thousands_of_places_can_be_covered(make, scratch):
    folder = scratch / "many"
    names = [str(folder / str(number)) for number in range(3_000)]
    for name in names:
        os.makedirs(name, exist_ok=True)
        Path(name, "file").touch()

    def look(folder):
        import os

        return [sorted(os.listdir(folder)), sum(len(os.listdir(f"{folder}/{name}")) for name in os.listdir(folder))]

    sandbox = make(show=[str(folder)], hidden=names[:2_000])
    assert sandbox.run(look, str(folder)) == [sorted(map(str, range(3_000))), 1_000]


def test_every_mount_ignores_set_user_id(sandbox):
    def look():
        with open("/proc/self/mountinfo") as file:
            mounts = [line.split() for line in file]
        return {mount[4]: mount[5] for mount in mounts}

    mounts = sandbox.run(look)
    assert len(mounts) > 10
    assert {path: flags for path, flags in mounts.items() if "nosuid" not in flags.split(",")} == {}


def test_a_set_user_id_program_gives_nothing(make, scratch):
    folder = scratch / "set-user-id"
    folder.mkdir(exist_ok=True)
    program = folder / "id"
    shutil.copyfile("/usr/bin/id", program)
    program.chmod(0o6755)

    def run(path):
        import os
        import subprocess

        return int(subprocess.run([path, "-u"], capture_output=True, check=True).stdout), os.geteuid()

    effective, own = make(show=[str(folder)]).run(run, str(program))
    assert effective == own


def test_a_shown_folder_that_is_missing_is_an_error_that_names_it(make):
    with pytest.raises(Refused, match=r"errno 2: stage 3, entry \d+"):
        make(show=["/nonexistent/folder"])


def test_a_program_that_is_missing_is_an_error_that_says_so(make):
    with pytest.raises(Refused, match="errno 2: stage 11"):
        make(zygote_program="/usr/bin/nothing-of-that-name")


def test_a_zygote_that_could_not_start_leaves_nothing(make):
    before = Path("/proc/self/mountinfo").read_text()
    with pytest.raises(Refused):
        make(show=["/nonexistent/folder"])
    assert Path("/proc/self/mountinfo").read_text() == before
