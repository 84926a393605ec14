#!/usr/bin/env python3
"""Writes the seeds of tar_fuzz: one small tar for each form that the reader knows.

usage: make_tar_seeds.py FOLDER
"""

import base64
import os
import sys


def octal(value, width):
    return b'%0*o\0' % (width - 1, value)


def header(name, kind=b'0', size=0, link=b'', magic=b'ustar\x0000', prefix=b'', uid=0, patches=()):
    block = bytearray(512)

    def put(at, data):
        block[at : at + len(data)] = data

    put(0, name)
    put(100, octal(0o644, 8))
    put(108, octal(uid, 8))
    put(116, octal(0, 8))
    put(124, octal(size, 12))
    put(136, octal(1700000000, 12))
    put(148, b' ' * 8)
    put(156, kind)
    put(157, link)
    put(257, magic)
    put(329, octal(1, 8) + octal(3, 8))
    put(345, prefix)
    for at, data in patches:
        put(at, data)
    put(148, b'%06o\0 ' % sum(block))
    return bytes(block)


def pad(data):
    return data + b'\0' * (-len(data) % 512)


def entry(name, body=b'', **options):
    return header(name, size=len(body), **options) + pad(body)


def record(key, value):
    content = b' ' + key + b'=' + value + b'\n'
    length = len(content)
    while len(str(length)) + len(content) != length:
        length = len(str(length)) + len(content)
    return str(length).encode() + content


def pax(*records, kind=b'x'):
    return entry(b'pax', b''.join(record(key, value) for key, value in records), kind=kind)


GNU = b'ustar  \0'
END = b'\0' * 1024
pairs = b''.join(octal(at * 10, 12) + octal(1, 12) for at in range(6))
old_gnu = header(
    b'sparse', b'S', 6, magic=GNU, patches=[(386, pairs[:96]), (482, b'\1'), (483, octal(99, 12))]
)
SEEDS = {
    'ustar': entry(b'name', b'hello', prefix=b'prefix') + END,
    'v7': entry(b'dir/', kind=b'\0', magic=b'') + entry(b'dir/file', b'x', magic=b'') + END,
    'types': b''.join(entry(b'n' + bytes([k]), kind=bytes([k]), link=b'to') for k in b'1234567') + END,
    'base256': header(b'a', patches=[(124, b'\x80' + b'\0' * 10 + b'\3'), (136, b'\xff' * 12)])
    + pad(b'abc')
    + END,
    'gnu-long': entry(b'L', b'n' * 120 + b'\0', kind=b'L', magic=GNU)
    + entry(b'K', b'l' * 120 + b'\0', kind=b'K', magic=GNU)
    + entry(b'short', kind=b'2', link=b'short', magic=GNU)
    + END,
    'pax': pax(
        (b'path', b'p' * 20),
        (b'linkpath', b'l'),
        (b'uid', b'70000'),
        (b'gid', b'3'),
        (b'mtime', b'-1.25'),
        (b'hdrcharset', b'BINARY'),
        (b'comment', b'c'),
    )
    + entry(b'a', kind=b'2', link=b'x')
    + END,
    'pax-size': pax((b'size', b'512')) + header(b'outer') + entry(b'inner') + entry(b'last') + END,
    'pax-global': pax((b'uid', b'5'), (b'SCHILY.xattr.user.g', b'1'), kind=b'g')
    + entry(b'a')
    + pax((b'uid', b''), (b'path', b'b'))
    + entry(b'x')
    + pax((b'SCHILY.xattr.user.g', b''), kind=b'g')
    + entry(b'c')
    + END,
    'xattrs': pax(
        (b'SCHILY.xattr.user.a', b'1\0\n=2'),
        (b'SCHILY.xattr.user.a', b'twice'),
        (b'LIBARCHIVE.xattr.user.b%3D', base64.b64encode(b'value\0')),
        (b'SCHILY.acl.access', b'user::rw-,group::r--,other::r--'),
    )
    + entry(b'a')
    + END,
    'sparse-old': old_gnu + pairs[96:].ljust(512, b'\0') + pad(b'abcdef') + END,
    'sparse-0.0': pax(
        (b'GNU.sparse.size', b'50'),
        (b'GNU.sparse.numblocks', b'2'),
        (b'GNU.sparse.offset', b'0'),
        (b'GNU.sparse.numbytes', b'2'),
        (b'GNU.sparse.offset', b'40'),
        (b'GNU.sparse.numbytes', b'1'),
    )
    + entry(b'a', b'xyz')
    + END,
    'sparse-0.1': pax(
        (b'GNU.sparse.size', b'50'), (b'GNU.sparse.name', b's'), (b'GNU.sparse.map', b'0,2,40,1')
    )
    + entry(b'a', b'xyz')
    + END,
    'sparse-1.0': pax(
        (b'GNU.sparse.major', b'1'),
        (b'GNU.sparse.minor', b'0'),
        (b'GNU.sparse.name', b's'),
        (b'GNU.sparse.realsize', b'50'),
    )
    + entry(b'a', pad(b'2\n0\n2\n40\n1\n') + b'xyz')
    + END,
    'link-body': entry(b'link', b'body', kind=b'1', link=b'to')
    + header(b'link', b'1', 900, link=b'to')
    + entry(b'a')
    + pax((b'mtime', b'1'))
    + entry(b'link', b'body', kind=b'1', link=b'to')
    + END,
    'one-zero-block': entry(b'a') + END[:512],
    'no-end': entry(b'a', b'x'),
    'trailer': END + entry(b'a') + b'junk',
}

for name, tar in SEEDS.items():
    with open(os.path.join(sys.argv[1], name + '.tar'), 'wb') as file:
        file.write(tar)
