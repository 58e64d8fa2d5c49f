"""Makes the pictures of the README: `python tests/testbed/pictures.py`. The page's needs a Chromium."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github" / "pictures"
MOST = 150_000  # bytes of a picture
TERMINALS = {"verify": "ga-lint verify --impact lengths.txt --accumulation-steps 8 --batch-size 2 trainer.py"}
PAGES = {"report": "", "report-dark": "--blink-settings=preferredColorScheme=0"}
_COLUMNS = 120
PAGE = ROOT / "fixtures" / "verify" / "trainer_unforwarded.py"  # a short diff leaves room for the pictures
_SIZE = (1100, 1560)
_SCALE = 1  # keeps a picture below `MOST`
_FONT_FACE = re.compile(r"@font-face \{\{.*?\}\}\s*", re.DOTALL)
# Targets of a small training set, from short answers to long ones.
_LENGTHS = [3, 5, 8, 12, 18, 25, 33, 40, 52, 65, 80, 95, 120, 150, 190, 240, 300, 380, 500, 900]


def files() -> dict[str, str]:
    """The README's own example, and the lengths of a training set."""
    from testbed import readme

    text = readme.README.read_text(encoding="utf-8")
    return {**dict(readme._FILE.findall(text)), "lengths.txt": "".join(f"{count}\n" for count in _LENGTHS)}


def lay(folder: Path) -> None:
    """Lay the files down."""
    for name, content in files().items():
        (folder / name).write_text(content, encoding="utf-8")


def printed(command: str, folder: Path) -> str:
    """What the command prints to stdout there."""
    program, *words = command.split()
    assert program == "ga-lint"
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("GITHUB_", "FORCE_COLOR"))}
    environment = {**clean, "PYTHONPATH": str(ROOT), "COLUMNS": str(_COLUMNS), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-m", "ga_lint", *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def terminal(name: str, text: str) -> str:
    """The text as it looks on a terminal, as SVG that loads no fonts."""
    from rich._export_format import CONSOLE_SVG_FORMAT
    from rich.console import Console
    from rich.text import Text

    from ga_lint.cli.console import _painted

    console = Console(record=True, width=_COLUMNS, force_terminal=True, file=io.StringIO(), highlight=False)
    console.print(Text(f"$ {TERMINALS[name]}", style="bold"))
    for line in _painted(text):
        console.print(line)
    plain = _FONT_FACE.sub("", CONSOLE_SVG_FORMAT).replace("Fira Code", "ui-monospace, Menlo, Consolas")
    return console.export_svg(title=f"ga-lint {name}", code_format=plain, unique_id=f"ga-lint-{name}")


def main() -> None:
    """Write every picture that can be made here."""
    from testbed import browser

    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lay(folder)
        for kind, command in TERMINALS.items():
            (FOLDER / f"{kind}.svg").write_text(terminal(kind, printed(command, folder)), encoding="utf-8")
        if browser.chromium() is None:
            print(browser.WHY_NOT)
            return
        page = folder / "report.html"
        (folder / PAGE.name).write_bytes(PAGE.read_bytes())
        printed(f"ga-lint verify --report {page.name} {PAGE.name}", folder)
        for kind, option in PAGES.items():
            target = FOLDER / f"{kind}.webp"
            size = f"--window-size={_SIZE[0]},{_SIZE[1]}"
            scale = f"--force-device-scale-factor={_SCALE}"
            browser.run(page, size, scale, f"--screenshot={target}", *filter(None, [option]), profile=folder / kind)


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    main()
