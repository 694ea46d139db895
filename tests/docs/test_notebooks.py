"""The notebooks run against the sample and put out what is committed; their pages follow from them."""

from __future__ import annotations

import base64
import io
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "notebooks"
TOOL = ROOT / "tools" / "make_notebooks.py"
NAMES = ("neuron", "experiment", "gene", "asset")

if not (FOLDER.is_dir() and TOOL.is_file()):
    pytest.skip("the notebooks are not here", allow_module_level=True)


@pytest.fixture(scope="module")
def tool() -> Any:
    spec = spec_from_file_location("make_notebooks", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pictures(book: Any) -> list[np.ndarray]:
    found = []
    for cell in book.cells:
        for output in cell.get("outputs", ()):
            body = output.get("data", {}).get("image/png")
            if body:
                with Image.open(io.BytesIO(base64.b64decode(body))) as image:
                    found.append(np.asarray(image.convert("RGB"), "int16"))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_puts_out_what_is_committed(tool, name, tmp_path):
    kept = tool.read(FOLDER / f"{name}.ipynb")
    made = tool.execute(FOLDER / f"{name}.ipynb", tmp_path)
    assert tool.texts(made) == tool.texts(kept)
    before, after = pictures(kept), pictures(made)
    assert len(before) == len(after) >= 3
    for one, other in zip(before, after, strict=True):
        assert one.shape == other.shape
        # Other versions of the fonts' renderer shade edges of letters in another way.
        away = np.abs(one - other).max(-1)
        assert away.mean() < 3
        assert (away > 64).mean() < 0.02


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_that_of_its_notebook(tool, name):
    text, found = tool.page(tool.read(FOLDER / f"{name}.ipynb"), name)
    told = "run python tools/make_notebooks.py"
    assert (FOLDER / f"{name}.md").read_text("utf-8") == text, told
    assert {p.name for p in (FOLDER / "images").glob(f"{name}-*.png")} == set(found), told
    for file, body in found.items():
        assert (FOLDER / "images" / file).read_bytes() == body, told
    alone = re.findall(r"^!\[(.*)\]", text, re.MULTILINE)
    assert all(len(told) > 40 for told in alone), "each picture needs a line '# Picture: …'"


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_tells_nothing_of_who_ran_it_and_what_is_simulated(tool, name):
    book = tool.read(FOLDER / f"{name}.ipynb")
    text = (FOLDER / f"{name}.ipynb").read_text("utf-8")
    told = "\n".join(text for _, text in tool.texts(book))
    assert not re.search(r"127\.0\.0\.1|localhost|/tmp|/home|/root|/work| at 0x", told)
    assert [c.execution_count for c in book.cells if c.cell_type == "code"] == [
        n + 1 for n, _ in enumerate(c for c in book.cells if c.cell_type == "code")
    ]
    first, last = book.cells[0].source, book.cells[-1].source
    assert "*simulated*" in first
    assert "OPENALLEN_SOURCE" in first
    assert "openallen with the extra `all`" in first
    assert "Where to go next" in last
    assert len(text) < 750_000


def test_each_notebook_has_its_place_in_the_list_of_notebooks():
    page = (FOLDER / "index.md").read_text("utf-8")
    assert {p.stem for p in FOLDER.glob("*.ipynb")} == set(NAMES)
    for name in NAMES:
        assert f"]({name}.md)" in page
        assert f"(images/{name}.png)" in page
    assert "docs/notebooks/index.md" in (ROOT / "README.md").read_text("utf-8")
    assert sum(p.stat().st_size for p in FOLDER.rglob("*") if p.is_file()) < 3_000_000


def test_a_cell_that_fails_is_an_error(tool, tmp_path):
    import nbformat
    from nbclient.exceptions import CellExecutionError

    path = tmp_path / "broken.ipynb"
    cells = [nbformat.v4.new_code_cell("1 + 1"), nbformat.v4.new_code_cell("1 / 0")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        tool.execute(path, tmp_path)
