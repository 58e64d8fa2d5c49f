"""How does a test look at a page as a browser does? By the Chromium of the machine, where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WHY_NOT = "no Chromium on this machine: install one, or name it in GA_LINT_CHROMIUM"


def chromium() -> str | None:
    """The program, or None."""
    return os.environ.get("GA_LINT_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)


def run(page: Path, *options: str, profile: Path) -> str:
    """What headless Chromium prints for a page, with the network cut off."""
    program = chromium()
    assert program is not None, WHY_NOT
    done = subprocess.run(
        [
            program,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--proxy-server=127.0.0.1:9",
            f"--user-data-dir={profile}",
            *options,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout
