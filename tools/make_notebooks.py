"""Run the notebooks of the documentation against the sample, and make their pages.

    python tools/make_notebooks.py              run them all, write outputs, pages and pictures
    python tools/make_notebooks.py neuron       one of them
    python tools/make_notebooks.py --pages      make the pages of the outputs that are there

The notebooks (``docs/notebooks/*.ipynb``) are the source; beside each lies its page
(``*.md``), as the site shows Markdown only, with its pictures in ``images/``. Each runs in a fresh
kernel, in an empty folder, with an empty store. Needs nbclient, ipykernel and all extras.
"""

from __future__ import annotations

import base64
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import nbformat

__all__ = ["FOLDER", "execute", "page", "read", "texts", "write"]

FOLDER: Final = Path(__file__).parents[1] / "docs" / "notebooks"
PNG: Final = "image/png"
_METADATA: Final = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_STYLE: Final = re.compile(r"<style scoped>.*?</style>\s*", re.DOTALL)
_ALT: Final = re.compile(r"^# Picture: (.+)$", re.MULTILINE)
THUMBNAILS: Final = {"neuron": 2, "experiment": 2, "gene": 1, "asset": 3}
"""The picture of each notebook that stands for it."""
_THUMBNAIL_PX: Final = 420
_TABLE: Final = re.compile(r"<table.*?</table>", re.DOTALL)


def read(path: Path) -> Any:
    """Read a notebook.

    Parameters
    ----------
    path
        Its file.
    """
    return nbformat.read(path, as_version=4)


def execute(path: Path, folder: Path) -> Any:
    """Return a notebook as it is when it was run; a cell that fails is an error.

    Parameters
    ----------
    path
        Its file.
    folder
        Where it works: an empty folder, in which it has its store, too.
    """
    from nbclient import NotebookClient

    book = read(path)
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    where = {"metadata": {"path": str(folder)}}
    with _surroundings(folder):
        NotebookClient(book, timeout=300, kernel_name="python3", resources=where).execute()
    _settle(book, folder)
    return book


@contextmanager
def _surroundings(folder: Path) -> Iterator[None]:
    """Let the kernel see the sample, and nothing of whoever runs this."""
    chosen = {
        "OPENALLEN_SOURCE": "sample",
        "OPENALLEN_STORE": str(folder / "store"),
        "MPLCONFIGDIR": str(folder / "matplotlib"),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    before = {name: os.environ.get(name) for name in chosen}
    os.environ.update(chosen)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _settle(book: Any, folder: Path) -> None:
    """Take away what differs from run to run: times, ids, places of this machine."""
    book.metadata = nbformat.from_dict(_METADATA)
    for number, cell in enumerate(book.cells):
        cell.id = f"cell-{number}"
        cell.metadata = nbformat.from_dict({})
        for output in cell.get("outputs", ()):
            output.get("metadata", {}).clear()
            data = output.get("data", {})
            if "dataframe" not in data.get("text/html", "dataframe"):
                del data["text/html"]  # cards say as text what they say
            for kind in (k for k in data if k.startswith("text/")):
                data[kind] = _placeless(data[kind], folder)
            if PNG in data:
                data[PNG] = base64.b64encode(_smaller(base64.b64decode(data[PNG]))).decode()
                data.pop("text/plain", None)  # the size of the figure
            if "text" in output:
                output["text"] = _placeless(output["text"], folder)


def _placeless(text: str, folder: Path) -> str:
    """Return a text without the folder; a table without the style that pandas gives it."""
    text = _STYLE.sub("", text.replace(f"{folder}/", ""))
    return text.replace('<tr style="text-align: right;">', "<tr>")


def _smaller(picture: bytes) -> bytes:
    """Return a picture with a palette of 256 colours: a third of the bytes, alike to the eye."""
    from PIL import Image

    out = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as image:
        plain = image.convert("RGB")
    plain.quantize(256, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def texts(book: Any) -> list[tuple[int, str]]:
    """Return every text that cells put out, with the number of the cell.

    Parameters
    ----------
    book
        A notebook.
    """
    found = []
    for number, cell in enumerate(book.cells):
        for output in cell.get("outputs", ()):
            text = output.get("text") or output.get("data", {}).get("text/plain")
            if text:
                found.append((number, text))
    return found


# --- pages ----------------------------------------------------------------------------------------


def page(book: Any, name: str) -> tuple[str, dict[str, bytes]]:
    """Return the page of a notebook in Markdown, and its pictures by their names.

    Parameters
    ----------
    book
        The notebook, with outputs.
    name
        Its name, without ending.
    """
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for number, cell in enumerate(book.cells):
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            if number == 0:
                parts.append(f"[Download this notebook]({name}.ipynb){{ download }}")
            continue
        # Named so that the test of blocks leaves it to the test of notebooks.
        parts.append(f"```py\n{cell.source}\n```")
        told = _ALT.search(cell.source)
        parts.extend(_shown(output, name, pictures, told) for output in cell.outputs)
    # After the title: readers of Markdown take the first line for it.
    title, _, first = parts[0].partition("\n")
    parts[0] = f"{title}\n\n<!-- made by tools/make_notebooks.py of {name}.ipynb -->\n{first}"
    return "\n\n".join(parts) + "\n", pictures


def _shown(output: Any, name: str, pictures: dict[str, bytes], told: re.Match[str] | None) -> str:
    data = output.get("data", {})
    if PNG in data:
        file = f"{name}-{len(pictures) + 1}.png"
        pictures[file] = base64.b64decode(data[PNG])
        return f"![{told[1] if told else file}](images/{file})"
    table = _TABLE.search(data.get("text/html", ""))
    if table:
        return re.sub(r"<table[^>]*>", "<table>", table[0])
    text = output.get("text") or data.get("text/plain", "")
    return f"```text\n{text.rstrip()}\n```"


def write(path: Path, book: Any) -> None:
    """Write the page of a notebook and its pictures beside it.

    Parameters
    ----------
    path
        The notebook's file.
    book
        The notebook, with outputs.
    """
    text, pictures = page(book, path.stem)
    path.with_suffix(".md").write_text(text, "utf-8")
    images = path.parent / "images"
    images.mkdir(exist_ok=True)
    for old in images.glob(f"{path.stem}-*.png"):
        old.unlink()
    for file, body in pictures.items():
        (images / file).write_bytes(body)
    _thumbnail(images / f"{path.stem}-{THUMBNAILS[path.stem]}.png", images / f"{path.stem}.png")


def _thumbnail(picture: Path, to: Path) -> None:
    from PIL import Image

    with Image.open(picture) as image:
        height = round(image.height * _THUMBNAIL_PX / image.width)
        small = image.convert("RGB").resize((_THUMBNAIL_PX, height), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "PNG")
    to.write_bytes(_smaller(out.getvalue()))


def main(words: list[str]) -> None:
    """Run notebooks, all or those that are named, and write what belongs to them."""
    names = [word for word in words if not word.startswith("-")]
    for path in sorted(FOLDER.glob("*.ipynb")):
        if names and path.stem not in names:
            continue
        if "--pages" in words:
            write(path, read(path))
            continue
        with tempfile.TemporaryDirectory() as folder:
            book = execute(path, Path(folder))
        nbformat.write(book, path)
        write(path, book)
        print(f"{path.stem}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
