"""Whether a compiled kernel runs on the machines of the engines, by the versions of the C libraries that it asks for. Pure.

Glue 5 and EMR 7 run on Amazon Linux 2023 with x86-64 processors: glibc 2.34, and the C++ library of GCC 11.
Facts: Amazon Linux 2023 User Guide; GCC manual, "ABI Policy and Guidelines" (GLIBCXX_3.4.29 and CXXABI_1.3.13 are of GCC 11).
"""

import re

NEWEST = {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13)}
_ELF, _CLASS_64, _LITTLE_ENDIAN, _X86_64 = b"\x7fELF", 2, 1, 62
_VERSION = re.compile(rb"\0(GLIBC|GLIBCXX|CXXABI)_([0-9]+(?:\.[0-9]+)+)(?=\0)")


def unfit(kernel: bytes) -> str:
    """Why the engines cannot load this extension module, in words; empty when they can."""
    if kernel[:4] != _ELF or len(kernel) < 20:
        return "it is not for Linux"
    if kernel[4] != _CLASS_64 or kernel[5] != _LITTLE_ENDIAN or int.from_bytes(kernel[18:20], "little") != _X86_64:
        return "it is not for x86-64 processors"
    # every version that the module asks for is a text of its own in the table of names
    asked = {(name.decode(), tuple(map(int, version.split(b".")))) for name, version in _VERSION.findall(kernel)}
    for name, version in sorted(asked, reverse=True):
        if version > NEWEST[name]:
            newest = ".".join(map(str, NEWEST[name]))
            return f"it needs {name} {'.'.join(map(str, version))}, and the engines have {newest}"
    return ""
