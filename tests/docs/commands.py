"""The commands that README and documentation tell to type, and how a test types them."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(r"^( *)```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^\1```", re.DOTALL | re.MULTILINE)


class Command(NamedTuple):
    """One line of a shell block, continuation lines joined."""

    page: str
    line: str

    @property
    def words(self):
        """As a shell splits it, without what a comment says."""
        return shlex.split(self.line, comments=True)


def blocks(page, *languages):
    text = page.read_text(encoding="utf-8")
    return [found["body"] for found in _BLOCK.finditer(text) if found["language"] in languages]


def is_script(block):
    """Whether a block is to be read as a whole: loops, variables, jobs in the background."""
    return re.search(r"^(#!|for |done|trap |wait|\w+=\S* *$|\w+=\$)|&$|\$\(", block, re.MULTILINE) is not None


def collect():
    """Every single command of every page, each once."""
    found = {}
    for page in PAGES:
        for block in blocks(page, "sh", "bash", "shell", "console"):
            if is_script(block):
                continue
            for line in re.sub(r"\\\n\s*", " ", block).splitlines():
                if line.strip() and not line.strip().startswith("#"):
                    found.setdefault(line.strip(), Command(page.name, line.strip()))
    return list(found.values())


def scripts():
    """Blocks that are read as a whole."""
    languages = ("sh", "bash", "shell", "console")
    return [(page.name, block) for page in PAGES for block in blocks(page, *languages) if is_script(block)]
