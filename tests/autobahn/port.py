#!/usr/bin/env python3
"""Mechanical half of the Python 3 port of AutobahnTestSuite 25.10.1.

The release on PyPI is Python 2 source (print statements, implicit relative
imports, `raise X, "..."`, str == bytes), although pip installs it on Python 3
without complaint; its `wstest` dies on the first import.  The suite is driven
by `autobahn` 0.10.9, which already runs on both Pythons.

This script rewrites an unpacked copy of the package in place:

  * every source file is read and written as latin-1 and carries a latin-1
    coding line, so that a Python 2 byte literal such as '\\xf4\\x90' or a raw
    UTF-8 literal becomes a str with one character per *byte*; the hand-made
    patch (py3.patch) turns those into bytes at the one place where
    they reach the wire (FuzzingProtocol.sendFrame & co.) and where they are
    compared (Case.compare);
  * lib2to3 does print/except/raise/has_key/xrange/unicode/relative imports;
  * a few regular expressions do the rest (old-style base classes, floor
    division, pkg_resources/binascii shims).

usage: port.py PACKAGE_DIR
"""
import os
import re
import sys

try:
    from lib2to3 import refactor
    FIX = "lib2to3.fixes.fix_"
except ImportError:                      # Python >= 3.13: pip install fissix
    from fissix import refactor
    FIX = "fissix.fixes.fix_"

FIXERS = [FIX + n for n in
          ("print", "except", "raise", "has_key", "xrange", "unicode", "import")]

# Modes that need WAMP, autobahn internals that are gone, or a database.
DROP = {"wampfuzzing.py", "wamptestee.py", "wamptestserver.py", "wsperfcontrol.py",
        "wsperfmaster.py", "testdb.py", "testrun.py", "interfaces.py",
        "rinterfaces.py", "util.py", "serializer.py"}

COOKIE = "# -*- coding: latin-1 -*-\n"

SHIM = '''"""Small stand-ins used by the Python 3 port."""
import binascii as _binascii
import os as _os


def to_bytes(x):
    """A Python 2 style byte string (one char per byte) or bytes -> bytes."""
    if isinstance(x, str):
        return x.encode("latin-1")
    return x


def normalize(x):
    """Recursively turn byte strings into bytes, so that values compare."""
    if isinstance(x, (str, bytes)):
        return to_bytes(x)
    if isinstance(x, (list, tuple)):
        return tuple(normalize(y) for y in x)
    return x


def to_text(x):
    """For reports only."""
    if isinstance(x, (bytes, bytearray)):
        return bytes(x).decode("utf-8", "backslashreplace")
    return str(x)


class binascii:
    @staticmethod
    def b2a_hex(x):
        return _binascii.b2a_hex(to_bytes(x)).decode("ascii")

    hexlify = b2a_hex


class pkg_resources:
    @staticmethod
    def resource_filename(package, path):
        return _os.path.join(_os.path.dirname(_os.path.abspath(__file__)), path)
'''


def fix_imports(src):
    """`import os, binascii, pkg_resources` -> shim for the last two."""
    out = []
    for line in src.split("\n"):
        m = re.match(r"^import ([\w, ]+)$", line)
        if m:
            names = [n.strip() for n in m.group(1).split(",")]
            shim = [n for n in names if n in ("binascii", "pkg_resources")]
            if shim:
                rest = [n for n in names if n not in shim]
                line = "from autobahntestsuite._py3 import " + ", ".join(shim)
                if rest:
                    line = "import " + ", ".join(rest) + "\n" + line
        out.append(line)
    return "\n".join(out)


def port(path, tool):
    with open(path, "rb") as f:
        src = f.read().decode("latin-1")
    src = src.replace("\r\n", "\n")
    src = re.sub(r"^#.*coding[:=].*\n", "", src, count=1) if re.match(r"^#.*coding[:=]", src) else src
    if not src.endswith("\n"):
        src += "\n"
    src = src.replace("from zope.interface import implements\n", "")
    src = src.replace("(object, Case, )", "(Case, )")
    # before the import fixer, which would not know these modules as local
    src = fix_imports(src)
    tree = tool.refactor_string(src, path)
    src = str(tree)
    src = src.replace("len(self.payload) / self.p.autoFragmentSize",
                      "len(self.payload) // self.p.autoFragmentSize")
    src = src.replace("unichr(", "chr(")
    with open(path, "wb") as f:
        f.write((COOKIE + src).encode("latin-1"))


def main():
    pkg = sys.argv[1]
    for root, dirs, files in os.walk(pkg):
        dirs[:] = sorted(d for d in dirs if d not in ("__pycache__", "testdata", "web", "wampcase"))
        names = sorted(f for f in files if f.endswith(".py"))
        if root == pkg:
            for n in list(names):
                if n in DROP:
                    os.unlink(os.path.join(root, n))
                    names.remove(n)
        for n in names:
            p = os.path.join(root, n)
            tool = refactor.RefactoringTool(FIXERS)
            port(p, tool)
    with open(os.path.join(pkg, "_py3.py"), "w") as f:
        f.write(SHIM)


if __name__ == "__main__":
    main()
