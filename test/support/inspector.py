"""Reads and changes directory trees exactly, and mounts, for the tests: Node has no xattrs, mknod and mounts.

One request per line on stdin, a JSON object with "op"; the answers are JSON lines on stdout, the last
of each request {"end": true} or {"error": "..."}. Runs in a mount namespace of its own where it may, so that
no mount outlives it. Names are bytes, written as latin-1.
"""

import ctypes
import errno
import hashlib
import json
import os
import resource
import stat
import sys

CHUNK = 1 << 20
ZEROS = bytes(CHUNK)
CLONE_NEWNS = 0x20000
MS_RDONLY, MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 1, 4096, 16384, 1 << 18, 2
MS_REMOUNT = 32

libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, what + ": " + os.strerror(code))


def mount(source, target, kind, flags, data):
    check(
        libc.mount(source.encode(), target.encode(), kind.encode() if kind else None,
                   ctypes.c_ulong(flags), data.encode() if data is not None else None),
        "mount(%s, %s, %s)" % (kind, target, data))


def do_mount(request):
    """A mount in containerd's shape."""
    options = list(request["options"])
    if "rbind" in options or "bind" in options:
        mount(request["source"], request["target"], None, MS_BIND | MS_REC, None)
        if "ro" in options:
            mount("none", request["target"], None, MS_REMOUNT | MS_BIND | MS_RDONLY, None)
        return
    flags = 0
    if "ro" in options:
        options.remove("ro")
        flags = MS_RDONLY
    mount(request["source"], request["target"], request["type"], flags, ",".join(options))


def do_umount(request):
    check(libc.umount2(request["target"].encode(), MNT_DETACH), "umount(%s)" % request["target"])


def content_hash(fd, size):
    """sha256 of the content; beyond 1 MiB of each megabyte that is not all zeros, with its number.

    Big sparse files are read by their data extents alone; a zero that is stored equals a hole."""
    digest = hashlib.sha256()
    if size <= CHUNK:
        digest.update(os.pread(fd, size, 0))
        return digest.hexdigest()
    offset = 0
    while offset < size:
        try:
            offset = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            raise
        number = offset // CHUNK
        data = os.pread(fd, CHUNK, number * CHUNK)
        if data != ZEROS[:len(data)]:
            digest.update(number.to_bytes(8, "little") + data)
        offset = (number + 1) * CHUNK
    return digest.hexdigest()


KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink",
         stat.S_IFCHR: "char", stat.S_IFBLK: "block", stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket"}


def xattrs_of(path):
    result = {}
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EPERM):
            return result
        raise
    for name in names:
        try:
            result[name] = os.getxattr(path, name, follow_symlinks=False).hex()
        except OSError as error:
            result[name] = "error:" + errno.errorcode.get(error.errno, str(error.errno))
    return result


def describe(parent, name, path, content):
    """What lies at `name` in the directory `parent` (a descriptor)."""
    full = b"/proc/self/fd/%d/%s" % (parent, name)
    try:
        st = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except OSError as error:
        return {"p": path.decode("latin-1"), "t": "unreadable:" + errno.errorcode[error.errno]}
    kind = KINDS[stat.S_IFMT(st.st_mode)]
    entry = {"p": path.decode("latin-1"), "t": kind, "m": stat.S_IMODE(st.st_mode), "u": st.st_uid,
             "g": st.st_gid, "T": str(st.st_mtime_ns), "i": "%d:%d" % (st.st_dev, st.st_ino), "n": st.st_nlink}
    entry["x"] = xattrs_of(full)
    if kind == "file":
        entry["s"] = st.st_size
        entry["b"] = st.st_blocks
        if content:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=parent)
            try:
                entry["h"] = content_hash(fd, st.st_size)
            finally:
                os.close(fd)
    elif kind == "symlink":
        entry["l"] = os.readlink(name, dir_fd=parent).decode("latin-1")
    elif kind in ("char", "block"):
        entry["r"] = "%d:%d" % (os.major(st.st_rdev), os.minor(st.st_rdev))
    return entry


def do_dump(request):
    content = request.get("content", True)
    write = sys.stdout.write
    top = os.open(request["path"].encode("latin-1"), os.O_RDONLY | os.O_DIRECTORY)
    write(json.dumps(describe(top, b".", b"", content)) + "\n")
    # Depth first with one descriptor per level, since paths may be longer than PATH_MAX.
    stack = [(top, b"", iter(sorted(os.fsencode(name) for name in os.listdir(top))))]
    while stack:
        directory, prefix, names = stack[-1]
        name = next(names, None)
        if name is None:
            os.close(directory)
            stack.pop()
            continue
        path = prefix + name
        entry = describe(directory, name, path, content)
        write(json.dumps(entry) + "\n")
        if entry["t"] == "directory":
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
            children = sorted(os.fsencode(child) for child in os.listdir(fd))
            stack.append((fd, path + b"/", iter(children)))


def copy_file(source, target):
    """A file of its own that equals `source` in all but the inode."""
    with open(source, "rb") as original, open(target, "wb") as copy:
        copy.write(original.read())
    st = os.lstat(source)
    os.chown(target, st.st_uid, st.st_gid)
    for name in os.listxattr(source, follow_symlinks=False):
        os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False))
    os.chmod(target, stat.S_IMODE(st.st_mode))
    os.utime(target, ns=(st.st_mtime_ns, st.st_mtime_ns))


def write_at(path, offset, data):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        os.pwrite(fd, data, offset)
    finally:
        os.close(fd)


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x41]))


CHANGES = {
    "flip": flip,
    "chmod": os.chmod,
    "chown": lambda path, uid, gid: os.chown(path, uid, gid, follow_symlinks=False),
    "utime": lambda path, ns: os.utime(path, ns=(int(ns), int(ns)), follow_symlinks=False),
    "setxattr": lambda path, name, value: os.setxattr(path, name, bytes.fromhex(value), follow_symlinks=False),
    "removexattr": lambda path, name: os.removexattr(path, name, follow_symlinks=False),
    "write": lambda path, offset, data: write_at(path, offset, bytes.fromhex(data)),
    "truncate": os.truncate,
    "rename": os.rename,
    "copy": copy_file,
    "link": lambda path, target: os.link(path, target, follow_symlinks=False),
    "unlink": os.unlink,
    "rmdir": os.rmdir,
    "mkdir": os.mkdir,
    "mknod": lambda path, kind, major, minor: os.mknod(
        path, {"char": stat.S_IFCHR, "block": stat.S_IFBLK, "fifo": stat.S_IFIFO}[kind], os.makedev(major, minor)),
    "symlink": lambda path, target: os.symlink(target.encode("latin-1"), path),
}


def do_change(request):
    """Changes in their order, [name, path, ...]; the directories `keep` have the same times afterwards."""
    kept = [(path.encode("latin-1"), os.lstat(path.encode("latin-1")).st_mtime_ns) for path in request["keep"]]
    for name, path, *rest in request["changes"]:
        if name in ("rename", "copy", "link"):
            rest = [rest[0].encode("latin-1")]
        CHANGES[name](path.encode("latin-1"), *rest)
    for path, mtime in kept:
        os.utime(path, ns=(mtime, mtime))


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if libc.unshare(CLONE_NEWNS) == 0:
        libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
    operations = {"dump": do_dump, "mount": do_mount, "umount": do_umount, "change": do_change}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            operations[request["op"]](request)
            answer = {"end": True}
        except Exception as error:  # whatever it is, the test prints it
            answer = {"error": "%s: %s" % (type(error).__name__, error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


main()
