"""Makes the root directory of an image by sequential apply with GNU tar: sequential-tar.py LAYOUT ROOT

Layer by layer, bottom first: the whiteouts are executed by this script, against what is there; then GNU tar extracts
all the rest. LAYOUT is an OCI layout with one image, whose layers are gzip, zstd or plain.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile

COMMANDS = {b"\x1f\x8b": ["gzip", "-dc"], b"\x28\xb5": ["zstd", "-dcq"]}


def read_blob(layout, descriptor):
    with open(blob_path(layout, descriptor), "rb") as blob:
        return json.load(blob)


def blob_path(layout, descriptor):
    return os.path.join(layout, "blobs", *descriptor["digest"].split(":"))


def unpacked(path):
    """A process that writes the tar to its stdout."""
    with open(path, "rb") as blob:
        command = COMMANDS.get(blob.read(2), ["cat"])
    return subprocess.Popen(command + [path], stdout=subprocess.PIPE)


def read_names(path):
    """The whiteouts (directory, name; no name: opaque), and the names of what is not a directory."""
    source = unpacked(path)
    whiteouts, others = [], []
    with tarfile.open(fileobj=source.stdout, mode="r|", errors="surrogateescape") as tar:
        for member in tar:
            directory, name = os.path.split(os.path.normpath(member.name))
            if name == ".wh..wh..opq":
                whiteouts.append((directory, None))
            elif name.startswith(".wh.") and not name.startswith(".wh..wh."):
                whiteouts.append((directory, name[len(".wh."):]))
            elif not member.isdir():
                others.append(member.name)
    source.stdout.read()
    if source.wait() != 0:
        sys.exit("cannot decompress " + path)
    return whiteouts, others


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def apply(path, root):
    whiteouts, others = read_names(path)
    for directory, name in whiteouts:
        at = os.path.join(root, directory)
        if name is not None:
            remove(os.path.join(at, name))
        elif os.path.isdir(at):
            for child in os.listdir(at):
                remove(os.path.join(at, child))
    # tar removes a file that a directory replaces, but no directory that has entries.
    for name in others:
        if os.path.isdir(os.path.join(root, name)) and not os.path.islink(os.path.join(root, name)):
            remove(os.path.join(root, name))
    source = unpacked(path)
    subprocess.run(
        ["tar", "-x", "-C", root, "-p", "--same-owner", "--numeric-owner", "--xattrs", "--xattrs-include=*",
         "--exclude=.wh.*"],
        stdin=source.stdout, check=True, env={**os.environ, "TAR_OPTIONS": ""})
    if source.wait() != 0:
        sys.exit("cannot decompress " + path)


def main():
    layout, root = sys.argv[1:]
    with open(os.path.join(layout, "index.json")) as index:
        manifest = read_blob(layout, json.load(index)["manifests"][0])
    os.makedirs(root)
    for layer in manifest["layers"]:
        apply(blob_path(layout, layer), root)


main()
