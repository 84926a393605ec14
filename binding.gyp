# The addon, and the unit tests of native/ without Node. Sources are found by their folders.
{
  "variables": {
    "core_sources": ["<!@(python3 scripts/sources.py native/base native/source native/decode native/digest native/tar native/tree native/apply native/pipeline native/audit native/host native/metadata native/text)", "native/metadata/lmdb.c"],
    # The C sources of LMDB that the package `lmdb` brings; lmdb.c is compiled from them.
    "lmdb_directory": "<!(node -p \"require('node:path').join(require.resolve('lmdb'), '../../dependencies/lmdb-data-v1/libraries/liblmdb')\")",
    "openssl_fips%": ""
  },
  "target_defaults": {
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-fno-exceptions", "-O3", "-O2"],
    "cflags_cc": ["-std=c++20", "-O2", "-g1", "-Wall", "-Wextra", "-Werror", "-Wno-restrict", "-fvisibility=hidden", "-fno-semantic-interposition", "-isystem <(lmdb_directory)"],
    # -Wrestrict of GCC 12 reports string appends that are right (GCC bug 105651).
    "cflags!": ["-fno-exceptions"],
    # Warnings are for our own sources.
    "cflags_c": ["-w", "-O2", "-fvisibility=hidden", "-isystem <(lmdb_directory)"],
    "include_dirs": ["native"]
  },
  "targets": [
    {
      "target_name": "oci_unpack",
      "sources": ["<@(core_sources)", "<!@(python3 scripts/sources.py native/addon)"],
      # -isystem: warnings as errors are for our own sources.
      "cflags_cc": ["<!(node -p \"'-isystem ' + require('node:path').resolve(require('node-addon-api').include_dir)\")"],
      "defines": ["NAPI_VERSION=9", "NAPI_DISABLE_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      # zlib and OpenSSL are Node's own, which it exports. zstd is linked in and hidden: Node 22 and
      # later export another version of it.
      "libraries": ["-l:libzstd.a", "-ldl", "-lpthread"],
      "ldflags": ["-Wl,--exclude-libs,ALL", "-Wl,-Bsymbolic", "-Wl,--as-needed"]
    },
    {
      "target_name": "native_tests",
      "type": "executable",
      "sources": ["<@(core_sources)", "<!@(python3 scripts/sources.py test/native)"],
      # The system's zlib and OpenSSL, not the headers of Node that node-gyp adds.
      "include_dirs!": ["<(node_root_dir)/include/node", "<(node_root_dir)/src", "<(node_root_dir)/deps/openssl/config", "<(node_root_dir)/deps/openssl/openssl/include", "<(node_root_dir)/deps/uv/include", "<(node_root_dir)/deps/zlib", "<(node_root_dir)/deps/v8/include"],
      "include_dirs": ["."],
      "defines": ["OCIUNPACK_FAULT_INJECTION"],
      "libraries": ["-lz", "-lcrypto", "-l:libzstd.a", "-ldl", "-lpthread"],
      "ldflags!": ["-rdynamic"]
    },
    {
      # The floor that the bench compares with, and its measuring of child processes. OpenSSL is loaded
      # at run time, zlib is part of every Debian.
      "target_name": "bench_floor",
      "type": "executable",
      "sources": ["<!@(python3 scripts/sources.py native/base native/decode native/tar bench/floor)"],
      "include_dirs!": ["<(node_root_dir)/include/node", "<(node_root_dir)/src", "<(node_root_dir)/deps/openssl/config", "<(node_root_dir)/deps/openssl/openssl/include", "<(node_root_dir)/deps/uv/include", "<(node_root_dir)/deps/zlib", "<(node_root_dir)/deps/v8/include"],
      "include_dirs": ["bench"],
      "libraries": ["-lz", "-l:libzstd.a", "-ldl"],
      "ldflags!": ["-rdynamic"]
    }
  ]
}
