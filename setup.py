"""Copies the files that effwb reads into the wheel. All else about the package is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = ("data/pocket/*", "data/frontiers/*", "data/published/*", "notebooks/*.ipynb")


class BuildWithFiles(build_py):
    """Puts data/ and notebooks/ into effwb/_shipped of the wheel; an editable install reads them in place."""

    def run(self) -> None:
        """Copy them after the modules."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, "effwb", "_shipped")
        shutil.rmtree(target, ignore_errors=True)  # a build of before may hold files that are gone now
        for source in (file for pattern in SHIPPED for file in Path().glob(pattern)):
            (target / source.parent).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target / source)


setup(cmdclass={"build_py": BuildWithFiles})
