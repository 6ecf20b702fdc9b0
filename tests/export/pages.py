"""What a page shows in Chrome without a network."""

import subprocess

import numpy as np
import pytest
from PIL import Image, ImageColor

from effwb.export.chrome import find_chrome

OFFLINE = ("--host-resolver-rules=MAP * ~NOTFOUND", "--headless", "--no-sandbox", "--disable-gpu")


def need_chrome_or_skip():
    """The path of Chrome, or a skipped test."""
    if find_chrome() is None:
        pytest.skip("no Chrome or Chromium is installed")
    return find_chrome()


def screenshot(page, size=(1000, 1400)):
    """The picture of an HTML file, whose scripts had five seconds."""
    picture = page.with_suffix(".page.png")
    options = (f"--screenshot={picture}", f"--window-size={size[0]},{size[1]}", "--virtual-time-budget=5000")
    command = [
        need_chrome_or_skip(),
        *OFFLINE,
        *options,
        f"--user-data-dir={page.parent}/chrome",
        page.as_uri(),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return np.asarray(Image.open(picture).convert("RGB"), dtype=int)


def count(picture, colour):
    """How many pixels of a picture have about a colour."""
    return int((np.abs(picture - ImageColor.getrgb(colour)).max(axis=-1) < 24).sum())


def pixels_of(page, colour):
    """How many pixels of an HTML file have about a colour when it is opened without a network."""
    return count(screenshot(page), colour)
