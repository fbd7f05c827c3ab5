"""Gather what the site is built from: README.md, the pages of docs/, and every file beside them that a page links to.

Pages link to files of the repository as they lie there, so that the links work in a checkout. In the site each linked
file is a page in the same place: Markdown as it is, another file as a listing with `.md` behind its name, a directory
as its README or a list of what is in it. A link to what does not exist is an error.

    python docs/site/sources.py DIR
"""

from __future__ import annotations

import ast
import re
import shutil
import sys
from pathlib import Path

from armvcpu.machine.config import MachineConfig
from armvcpu.machine.option_types import MachineOptions

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(
    r"^(?P<fence>`{3,}).*?^(?P=fence)|(?<=\]\()(?!https?:|mailto:|#)(?P<link>[^)#\s]+)", re.DOTALL | re.MULTILINE
)
"""A link inside of the repository; or a block of code, in which what looks like one is none."""
PICTURES = (".svg", ".png")
LANGUAGES = {".py": "python", ".toml": "toml", ".c": "c", ".h": "c"}
CONTENTS = """
```{toctree}
:hidden:
:caption: For users
docs/first-program
docs/recipes
docs/command-line
docs/gdb
docs/scripting
docs/tracing
docs/monitor
docs/testing
docs/report
docs/coverage
docs/fuzzing
docs/profiling
docs/levels
docs/vcpu
```
```{toctree}
:hidden:
:caption: Reference
docs/api/machine
docs/api/testing
docs/api/devices
docs/api/vcpu
docs/api/exits
docs/api/errors
```
```{toctree}
:hidden:
:caption: For developers
docs/architecture
docs/engine
docs/reliability
CONTRIBUTING
BENCHMARKS
{others}
```
"""


def gather(out: Path) -> None:
    """Write all pages into `out`, in the places that they have in the repository. FileNotFoundError for a dead link."""
    waiting = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    seen = set(waiting)
    while waiting:
        path = waiting.pop()
        links = [found["link"] for found in LINK.finditer(text_of(path)) if found["link"]]
        linked = [(base(path) / link).resolve() for link in links]
        missing = [str(other) for other in linked if not other.exists()]
        if missing:
            raise FileNotFoundError(f"{path.relative_to(ROOT)} links to {', '.join(missing)}")
        write(path, out)
        fresh = sorted({readme(other) for other in linked} - seen)
        waiting += fresh
        seen.update(fresh)


def write(path: Path, out: Path) -> None:
    """Write one page."""
    target = out / page_of(path.relative_to(ROOT))
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in PICTURES:
        shutil.copy(path, target)
        return
    text = LINK.sub(lambda found: lead(path, found["link"]) if found["link"] else found[0], text_of(path))
    text = re.sub(r"^```(?:walk \w+|asm)", "```text", text, flags=re.MULTILINE)  # languages that Pygments has not
    text = re.sub(r'^```(\w+) title="(.*?)"$', r"```{code-block} \1\n:caption: \2", text, flags=re.MULTILINE)
    if "{{ options }}" in text:
        text = text.replace("{{ options }}", options())
    target.write_text(text + contents() if path == ROOT / "README.md" else text)


def contents() -> str:
    """The site's contents: pages of docs/ without a place of their own come last."""
    names = (f"docs/{path.stem}" for path in sorted((ROOT / "docs").glob("*.md")))
    return CONTENTS.replace("{others}", "\n".join(name for name in names if f"\n{name}\n" not in CONTENTS))


def page_of(path: Path) -> Path:
    """Where the page of a file or directory is in the site; both relative to the repository."""
    if path == Path("README.md"):
        return Path("index.md")
    return path if path.suffix in (".md", *PICTURES) else path.with_name(path.name + ".md")


def lead(page: Path, link: str) -> str:
    """The link of a page as it is in the site."""
    target = readme((base(page) / link).resolve())
    up = base(page.relative_to(ROOT)) if not page.is_dir() else page.relative_to(ROOT).parent
    return (Path(*[".."] * len(up.parts)) / page_of(target.relative_to(ROOT))).as_posix()


def base(path: Path) -> Path:
    """What the links of a page are relative to."""
    return path if path.is_dir() else path.parent


def readme(path: Path) -> Path:
    """A directory's README, where it has one."""
    return path / "README.md" if (path / "README.md").exists() else path


def text_of(path: Path) -> str:
    """The page of a file, in Markdown."""
    if path.is_dir():
        entries = sorted(entry for entry in path.iterdir() if entry.is_file() and entry.suffix != ".so")
        return f"# {path.name}\n\n" + "".join(f"- {mention(entry)}\n" for entry in entries)
    if path.suffix in PICTURES:
        return ""
    text = path.read_text()
    if path.suffix == ".md":
        return text
    return f"# {path.name}\n\n````{LANGUAGES.get(path.suffix, 'text')}\n{text}\n````\n"


def mention(path: Path) -> str:
    """A file in the list of its directory: of Python with a link and the first line of its docstring."""
    said = ast.get_docstring(ast.parse(path.read_text())) if path.suffix == ".py" else None
    return f"[{path.name}]({path.name}): {said.splitlines()[0]}" if said else f"`{path.name}`"


def options() -> str:
    """The options of a machine as a table: the types are MachineOptions', the rest is from MachineConfig's fields."""
    rows = ["| name | type | default | command line | what it is |", "|---|---|---|---|---|"]
    for name, given in MachineOptions.__annotations__.items():
        option = MachineConfig.options[name]
        kind = given.__forward_arg__.replace("|", "\\|")
        flag = f"`{option.flag}`" if option.flag else ""
        rows.append(f"| `{name}` | `{kind}` | `{option.default!r}` | {flag} | {option.sentence} |")
    return "\n".join(rows)


if __name__ == "__main__":
    directory = Path(sys.argv[1])
    shutil.rmtree(directory, ignore_errors=True)
    try:
        gather(directory)
    except FileNotFoundError as error:
        sys.exit(f"docs: {error}")
