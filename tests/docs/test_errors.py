"""The page of errors has every error class, and the messages it shows are real."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

import openallen as oa
from openallen import errors, plans
from openallen.errors import MissingExtraError, OpenAllenError, ShortAnswerWarning
from openallen.plans import Plan, RemoteFile
from openallen.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "errors.md"
STACK = "stack:313862022"
if not PAGE.is_file():
    pytest.skip("the documentation is not here", allow_module_level=True)


def classes() -> dict[str, type]:
    """Every public class of errors and warnings."""
    found = {name: getattr(errors, name) for name in errors.__all__}
    found["IncompleteError"] = plans.IncompleteError
    return {n: v for n, v in found.items() if isinstance(v, type) and issubclass(v, Exception)}


def sections() -> dict[str, str]:
    """What the page says of each class."""
    parts = re.split(r"^### `?(\w+)`?$", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.fixture
def ask(archive, tmp_path, sample_url) -> Callable[..., Settings]:
    """Settings that name an archive with faults, and no patience."""

    def make(*faults: str, **more: object) -> Settings:
        url = archive(*faults) if faults else sample_url
        return Settings.load(**{"source": url, "attempts": 1, "store": tmp_path / "store"} | more)

    return make


def _short(ask):
    return list(oa.query("SubImage", source=ask("over=3").source).rows())


def _space(ask):
    from openallen.transfer import check_space

    address = "release:visual-behavior-ophys"
    file = RemoteFile(address=address, url="https://x.org/a", path="a", kind="b", size_bytes=10**15)
    to = Path.cwd() / "sessions"
    check_space(Plan(address=address, title="", source="live", to=to, files=(file,)))


def _refused(ask):
    oa.fetch(STACK, to="cell", downsample=5, settings=ask())
    oa.fetch(STACK, to="cell", downsample=4, settings=ask())


def _truncated(ask):
    head = b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\nspacings: 1 1 1\n\n"
    Path("density.nrrd").write_bytes(head + b"123")
    oa.open("density.nrrd")


def _corrupt(ask):
    Path("session.nwb").write_bytes(b"hello")
    oa.open("session.nwb")


def _store(ask):
    from openallen.store.disk import write_whole

    write_whole(Path("/proc/none/stack.json"), b"{}")


def _missing(ask):
    raise MissingExtraError("images", "reading OME-Zarr")


def _incomplete(ask):
    oa.fetch(STACK, to="cell", downsample=5, settings=ask("truncate@imageservice/40"))


MADE: dict[str, Callable] = {
    "UsageError": lambda ask: oa.list("stack:", specie="Mus musculus", settings=ask()),
    "AddressError": lambda ask: oa.show("stak:313862022"),
    "QueryError": lambda ask: oa.query("model::Gene,rma::criteria,[acronym$eq'Pdyn'"),
    "NotFoundError": lambda ask: oa.show("stack:1", settings=ask()),
    "OfflineError": lambda ask: oa.show("asset:a", settings=Settings.load(offline=True)),
    "UnreachableError": lambda ask: oa.show(STACK, settings=ask(source="http://127.0.0.1:9")),
    "StalledError": lambda ask: oa.show(STACK, settings=ask("hang@query", silence_timeout_s=0.3, head_timeout_s=0.3)),
    "StatusError": lambda ask: oa.show(STACK, settings=ask("error@query")),
    "AnswerError": lambda ask: oa.show(STACK, settings=ask("html@query")),
    "ShortAnswerError": _short,
    "TruncatedError": _truncated,
    "CorruptError": _corrupt,
    "RefusedError": _refused,
    "SpaceError": _space,
    "StoreError": _store,
    "IncompleteError": _incomplete,
    "MissingExtraError": _missing,
}  # fmt: skip


def plain(text: str) -> str:
    """A message without what differs from run to run and machine to machine."""
    text = re.sub(r" --source http://127\.0\.0\.1:\d{4,5}", "", text)
    text = re.sub(r"http://127\.0\.0\.1:\d{4,5}", "https://api.brain-map.org", text)
    text = text.replace(f"{Path.cwd()}/", "").replace(str(Path.cwd()), ".")
    text = re.sub(r"(criteria|list-type)=\S+(?=: )", r"\1=…", text)
    text = re.sub(r"try: .+ install .*(\[\w+\]).*", r"try: pip install 'openallen\1'", text)
    text = re.sub(r"\(Failed to connect.*\)", "(Failed to connect to 127.0.0.1:9 …)", text)
    return re.sub(r"[\d.,]+ (kB|MB|GB|TB) free", "31 GB free", text)


@pytest.mark.parametrize("name", MADE)
def test_the_messages_are_those_of_the_code(name, ask, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(classes()[name]) as caught:
        MADE[name](ask)
    assert type(caught.value).__name__ == name
    shown = re.search(r"^```text\n(.*?)\n```$", sections()[name], re.MULTILINE | re.DOTALL)
    assert shown is not None
    assert shown[1] == f"error: {plain(str(caught.value))}"


def test_every_class_is_on_the_page_with_its_exit_code():
    told = sections()
    assert set(told) == set(classes())
    for name, kind in classes().items():
        if issubclass(kind, OpenAllenError):
            assert f"exit code {int(kind.exit_code)}" in told[name], name
        ours = [k for k in kind.__mro__ if issubclass(k, OpenAllenError)]
        for also in {b for k in ours for b in k.__bases__ if b.__module__ == "builtins"} - {
            Exception
        }:
            assert f"`{also.__name__}`" in told[name], name
    without = set(classes()) - set(MADE) - {"OpenAllenError", "ServiceError", "IntegrityError"}
    assert without == {"ShortAnswerWarning"}


def test_the_warning_is_that_of_the_code(ask):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(oa.query("SubImage", source=ask("over=3").source).rows(short="warn"))
    assert [w.category for w in caught] == [ShortAnswerWarning]
    assert plain(str(caught[0].message)) in sections()["ShortAnswerWarning"]
