"""How do the README and the rules' pages become one site? A hook of MkDocs; what they say is changed nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
SOURCES = "https://github.com/ga-lint/ga-lint/blob/main/"
_PICTURES = "pictures"
_GROUPS = {
    "GA0": "The run itself",
    "GA1": "Hand-written loops",
    "GA2": "Hugging Face's Trainer",
    "GA3": "Lightning",
    "GA4": "Releases",
}
_SOURCE = re.compile(r'(?<=(?:src|set)=")(\.github/[^"]+)(?=")')
_LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)]+)(?=\))")
_ROLE = re.compile(r"^```python (?:bad|good)\b.*$", re.MULTILINE)
_FILE = re.compile(r"^(?P<fence>`{3,4}\w+) file=(?P<name>\S+)$", re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Pages by the first digit of their codes, whatever rules there are."""
    names = sorted(path.name for path in (ROOT / "rules").glob("GA*.md"))
    groups = {title: [name for name in names if name.startswith(prefix)] for prefix, title in _GROUPS.items()}
    left = sorted(set(names).difference(*groups.values()))
    if left:
        raise ValueError(f"{left} belong to no group of {__file__}")
    rules = [{title: pages} for title, pages in groups.items()]
    last = [{"Write a rule": "CONTRIBUTING.md"}, {"Changes": "changelog.md"}]
    config.nav = [{"Overview": "index.md"}, *rules, *last]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The README and the changelog, which lie outside the folder of the pages, and room for lines of 100 characters."""
    files.append(File.generated(config, "wide.css", content=".md-grid { max-width: 78rem }"))
    for name, source in (("index.md", "README.md"), ("changelog.md", "CHANGELOG.md")):
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=_SOURCE.sub(_picture, _LINK.sub(_moved, text))))
    for picture in sorted((ROOT / ".github" / "pictures").iterdir()):
        files.append(File.generated(config, f"{_PICTURES}/{picture.name}", content=picture.read_bytes()))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """What stands behind a block's language is for the tests; a file's name is for the reader too."""
    return _FILE.sub(r'\g<fence> title="\g<name>"', _ROLE.sub("```python", markdown))


def _picture(link: re.Match[str]) -> str:
    """A folder that begins with a dot is none of the site's."""
    return f"{_PICTURES}/{Path(link.group()).name}"


def _moved(link: re.Match[str]) -> str:
    """Where a path of the README leads on the site: into it for the pages, to the sources for everything else."""
    path = link.group()
    if path.startswith(".github/pictures/"):
        return _picture(link)
    below = path.removeprefix("rules/")
    return below if path != below and (ROOT / path).is_file() else SOURCES + path
