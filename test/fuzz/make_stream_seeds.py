#!/usr/bin/env python3
"""Makes the seeds of gzip_fuzz and zstd_fuzz in seeds/gzip and seeds/zstd.

The first byte of each is the fuzz targets' choice of split and options (see there). The zstd seeds
need the zstd command.
"""
import os
import struct
import subprocess
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
TEXT = b"the layer of an image: usr/bin/ping\0" * 20 + bytes(range(64))


def raw(data, level=6, strategy=zlib.Z_DEFAULT_STRATEGY):
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15, 8, strategy)
    return compressor.compress(data) + compressor.flush()


def gzip(data, flags=0, fields=b"", **options):
    header = b"\x1f\x8b\x08" + bytes([flags]) + struct.pack("<I", 1) + b"\0\3" + fields
    if flags & 2:
        header += struct.pack("<H", zlib.crc32(header) & 0xFFFF)
    return header + raw(data, **options) + struct.pack("<II", zlib.crc32(data), len(data))


def zstd(data, *options):
    return subprocess.run(["zstd", "-q", "-c", *options], input=data, stdout=subprocess.PIPE,
                          check=True).stdout


def skippable(data, magic=0x50):
    return bytes([magic]) + b"\x2a\x4d\x18" + struct.pack("<I", len(data)) + data


def write(folder, seeds):
    target = os.path.join(HERE, "seeds", folder)
    os.makedirs(target, exist_ok=True)
    for name, (choice, data) in seeds.items():
        with open(os.path.join(target, name), "wb") as file:
            file.write(bytes([choice]) + data)


write("gzip", {
    "plain": (0x00, gzip(TEXT)),
    "stored": (0x05, gzip(TEXT, level=0)),
    "fixed": (0x0A, gzip(TEXT, strategy=zlib.Z_FIXED)),
    "huffman-only": (0x03, gzip(TEXT, strategy=zlib.Z_HUFFMAN_ONLY)),
    "all-fields": (0x01, gzip(b"x", 0x1E, b"\x03\0abcname\0comment\0")),
    "members": (0x02, gzip(b"") + gzip(TEXT[:99]) + gzip(b"end", level=0)),
    "padding": (0x01, gzip(b"abc") + bytes(64)),
    "garbage-ignored": (0x41, gzip(b"abc") + b"garbage"),
    "truncated": (0x00, gzip(TEXT)[:60]),
    "raw-dynamic": (0x80, raw(TEXT)),
    "raw-fixed": (0x85, raw(TEXT, strategy=zlib.Z_FIXED)),
    "raw-stored": (0x8A, raw(TEXT, level=0)),
    "raw-zeros": (0x80, raw(bytes(100000))),
})
write("zstd", {
    "plain": (0x00, zstd(TEXT)),
    "no-checksum": (0x01, zstd(TEXT, "--no-check")),
    "level-19": (0x05, zstd(TEXT, "-19")),
    "empty": (0x00, zstd(b"")),
    "frames": (0x0A, skippable(b"table") + zstd(TEXT) + skippable(b"", 0x5F) + zstd(b"x")),
    "padding": (0x01, zstd(b"abc") + bytes(64)),
    "garbage-ignored": (0x41, zstd(b"abc") + b"garbage"),
    "truncated": (0x00, zstd(TEXT)[:40]),
})
