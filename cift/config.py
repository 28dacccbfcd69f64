"""Settings of the package: where it keeps what it can make again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """The folder of generated data and compiled indicators: `CIFT_CACHE`, or the platform's cache folder for users."""
    override = os.environ.get("CIFT_CACHE")
    if override:
        return Path(override).expanduser()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "cift" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "cift"
    base = os.environ.get("XDG_CACHE_HOME")
    # The convention asks to ignore a relative path.
    return (Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache") / "cift"
