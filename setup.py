"""The native runner is built when lavra is installed (`native/build.py`); everything else is in pyproject.toml.

Without a C++ compiler the installation succeeds: it says so, and lavra computes with torch.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

sys.path.insert(0, str(Path(__file__).resolve().parent / "native"))

from build import BuildError, build

NAME = "lavra.lavra_native"


class BuildNative(build_ext):
    """Builds the library with its own script: setuptools knows no flags of one source alone."""

    def build_extension(self, ext: Extension) -> None:
        """Into the wheel's folder, or beside the sources for an editable installation."""
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        build(target)

    def get_ext_filename(self, fullname: str) -> str:
        """The same for every Python: the library is no module of Python's."""
        return "/".join(fullname.split(".")) + ".so"

    def run(self) -> None:
        """Build, or say why there is no library and go on without one."""
        try:
            super().run()
        except BuildError as error:
            self.extensions = []
            self.warn(f"lavra is installed without its native runner; torch computes instead, slower. {error}")


class PlatformWheel(bdist_wheel):
    """A wheel for any Python of one platform; for every platform where the library was not built."""

    def get_tag(self) -> tuple[str, str, str]:
        """Of the wheel's name; asked for when everything is built."""
        built: Any = self.get_finalized_command("build_ext")
        return ("py3", "none", super().get_tag()[2] if built.extensions else "any")


setup(ext_modules=[Extension(NAME, [])], cmdclass={"build_ext": BuildNative, "bdist_wheel": PlatformWheel})
