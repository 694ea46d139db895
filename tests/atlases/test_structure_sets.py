"""Structure sets, and the ontology under AllenSDK's names; the real AllenSDK where it is there."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import sdkoracle

import openallen as oa
from openallen.errors import AnswerError, NotFoundError, UsageError
from openallen.sources.atlases import Structures, StructureSet, StructureTree
from openallen.sources.atlases.structure_tree import unpack_structure_set_ancestors

DATA = Path(__file__).parents[1] / "data" / "atlases"
SETS = {
    167587189: "Brain – Summary Structures",  # noqa: RUF001 - the dash is the service's
    514166994: "Allen Brain Observatory targeted structure set",
    691663206: "",
}


def rows() -> list[dict]:
    """Return the real ontology as the service answers with sets; who is in which is made up."""
    found = json.loads(gzip.decompress((DATA / "structures_graph1.json.gz").read_bytes()))
    above = {row["id"]: row["parent_structure_id"] for row in found}
    for row in found:
        path = [row["id"]]
        while above[path[0]] is not None:
            path.insert(0, above[path[0]])
        row["structure_id_path"] = "/" + "/".join(map(str, path)) + "/"
        row["graph_id"] = 1
        row["structure_sets"] = [
            {"id": number, "name": name or None, "description": "…"}
            for at, (number, name) in enumerate(SETS.items(), 2)
            if row["id"] % at == 0
        ]
    return found


@pytest.fixture(scope="module")
def mouse() -> Structures:
    return Structures.from_rows(rows(), 1)


@pytest.fixture
def source(sample_url, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("OPENALLEN_SOURCE", sample_url)
    return sample_url


def test_a_set_by_id_name_and_short_name(mouse):
    expected = [s.id for s in mouse if s.id % 2 == 0]
    for what in (167587189, "167587189", "summary", " Summary ", "brain - summary structures", SETS[167587189]):  # fmt: skip
        found = mouse.set(what)
        assert isinstance(found, StructureSet)
        assert (found.id, found.name, found.ids) == (167587189, SETS[167587189], expected)
    assert len(found) == len(expected)
    assert next(iter(found)) in found
    assert mouse["root"] not in found  # 997 is odd
    assert found.acronyms[:2] == [s.acronym for s in found][:2]
    assert found.table().index.tolist() == expected
    assert mouse.set("brain-observatory").ids == [s.id for s in mouse if s.id % 3 == 0]
    # A set without a name in the rows has the one that is known of it.
    assert mouse.set("mouse brain - has surface mesh").id == 691663206
    assert sorted(mouse.sets) == sorted(SETS)
    assert "structures" in repr(found)
    assert found._repr_html_()


def test_rows_with_ids_of_sets_alone(mouse):
    plain = [{**row, "structure_set_ids": [one["id"] for one in row.pop("structure_sets")]} for row in rows()]  # fmt: skip
    found = Structures.from_rows(plain, 1)
    assert found.set("summary").ids == mouse.set("summary").ids
    assert found.set("summary").name == SETS[167587189]
    assert found[2].structure_set_ids == (167587189,)


@pytest.mark.parametrize(
    ("what", "error", "match"),
    [
        ("sumary", NotFoundError, r"similar: 167587189 \(Brain"),
        ("observatory", NotFoundError, "similar: 514166994"),
        ("no set at all", NotFoundError, "no such structure set"),
        (12345, NotFoundError, "known: 167587189"),
        ("9" * 30, NotFoundError, "no such structure set"),
        ("", NotFoundError, "no such structure set"),
        (True, UsageError, "named by id or name"),
        (None, UsageError, "named by id or name"),
        ([167587189], UsageError, "named by id or name"),
    ],
)
def test_what_is_no_set(mouse, what, error, match):
    with pytest.raises(error, match=match):
        mouse.set(what)


def test_an_ontology_without_sets_says_so(mouse):
    graph = Structures.from_rows([{k: v for k, v in row.items() if k != "structure_sets"} for row in rows()], 1)  # fmt: skip
    assert graph.sets == {}
    with pytest.raises(NotFoundError, match="does not say which sets") as caught:
        graph.set("summary")
    assert caught.value.hint == "openallen list structures:1 set=summary"
    assert list(graph) == list(mouse)  # what a structure is does not hang on who asked for sets


@pytest.mark.parametrize("sets", [[1.5, "x"], [{"name": "no id"}], [{"id": "x"}], 3, [None], [[1]]])
def test_damaged_sets_are_refused(sets):
    row = {"id": 1, "acronym": "a", "name": "a", "parent_structure_id": None, "structure_sets": sets}  # fmt: skip
    with pytest.raises(AnswerError, match="not a row of a structure"):
        Structures.from_rows([row])


def test_sets_by_address(source):
    found = oa.open("structures:1?set=brain-observatory")
    assert found.acronyms == ["VISal", "VISam", "VISl", "VISp", "VISpm"]
    assert oa.open("structures:1", set=514166994).ids == found.ids
    assert [row["id"] for row in oa.list("structures:1", set="brain-observatory")] == found.ids
    below = oa.open("structures:1/TH?set=summary")
    whole = oa.open("structures:1")
    inside = {s.id for s in whole.descendants("TH")}
    assert below.ids == [i for i in whole.set("summary").ids if i in inside]
    assert [r["acronym"] for r in oa.list("structures:1/TH", set="summary")] == below.acronyms
    with pytest.raises(NotFoundError, match="similar: 514166994"):
        oa.open("structures:1?set=observatory")
    with pytest.raises(UsageError, match="in a set or not"):
        list(oa.list("structures:1", set__ne="summary"))
    with pytest.raises(UsageError, match="set"):
        list(oa.list("structures:", set="summary"))


def test_what_was_kept_without_sets_is_asked_for_again(source, tmp_path):
    oa.open("structures:1")
    kept = next((tmp_path / "store").rglob("structures.json"))
    old = json.loads(kept.read_text())
    bare = [{k: v for k, v in row.items() if k != "structure_sets"} for row in old["rows"]]
    kept.write_text(json.dumps({"source": old["source"], "rows": bare}))
    assert oa.open("structures:1").sets == {}
    assert len(oa.open("structures:1?set=brain-observatory")) == 5
    assert oa.open("structures:1").set("brain-observatory").acronyms[0] == "VISal"


def test_sets_by_the_command_line(source):
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "openallen", *words], capture_output=True, text=True, check=False)  # fmt: skip

    done = run("show", "structures:1", "--set", "brain-observatory", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [one["acronym"] for one in told["structures"]] == ["VISal", "VISam", "VISl", "VISp", "VISpm"]  # fmt: skip
    done = run("show", "structures:1?set=observatry")
    assert done.returncode == 3
    assert f"openallen list structures:1 set=514166994 --source {source}" in done.stderr


# --- AllenSDK's names -----------------------------------------------------------------------------


def test_the_tree_under_allensdks_names(mouse):
    tree = StructureTree(mouse)
    (visp,) = tree.get_structures_by_acronym(["VISp"])
    assert visp == tree.get_structures_by_id([385])[0] == tree.get_structures_by_name(["Primary visual area"])[0]  # fmt: skip
    assert visp["rgb_triplet"] == [112, 255, 98]
    assert visp["structure_id_path"] == [997, 8, 567, 688, 695, 315, 669, 385]
    assert tree.ancestor_ids([385]) == [visp["structure_id_path"][::-1]]
    assert tree.structure_descends_from(821, 385)
    assert tree.structure_descends_from(385, 385)
    assert not tree.structure_descends_from(385, 821)
    assert tree.has_overlaps([385, 821, 315]) == {385, 315}
    assert tree.parents([997, 821])[0] is None
    assert tree.get_structures_by_id([-5]) == [None]
    assert tree.value_map(lambda n: n["id"], lambda n: n["acronym"])[385] == "VISp"
    for call in (tree.child_ids, tree.descendant_ids, tree.ancestor_ids, tree.parent_ids):
        with pytest.raises(NotFoundError, match="-5"):
            call([-5])
    with pytest.raises(NotFoundError, match="similar: VISp"):
        tree.get_structures_by_acronym(["VISpp"])
    with pytest.raises(UsageError, match="not unique"):
        tree.value_map(lambda n: n["graph_id"], lambda n: n["id"])
    with pytest.raises(UsageError, match="colour"):
        tree.export_label_description(label_key="colour")


def test_paths_of_tables_are_taken_apart():
    table = pd.DataFrame({"id": [8, 997], "structure_id_path": ["/997/8/", "/997/"]})
    unpack_structure_set_ancestors(table)
    assert table["structure_set_ancestor"].tolist() == [[997, 8], [997]]
    for column in ("path", "structure_id_path"):
        with pytest.raises(UsageError, match="path"):
            unpack_structure_set_ancestors(pd.DataFrame({column: ["/x/"]}))


CALLS = {
    "nodes": ("nodes", []),
    "by id": ("get_structures_by_id", [[385, 997, 12345678]]),
    "by acronym": ("get_structures_by_acronym", [["VISp", "TH", "VISp"]]),
    "by name": ("get_structures_by_name", [["Primary visual area", "root"]]),
    "by set": ("get_structures_by_set_id", [[167587189, 514166994]]),
    "by no set": ("get_structures_by_set_id", [[1]]),
    "sets": ("get_structure_sets", []),
    "parents": ("parents", [[385, 997]]),
    "parent ids": ("parent_ids", [[385, 997]]),
    "children": ("children", [[385, 997]]),
    "child ids": ("child_ids", [[385, 821]]),
    "ancestors": ("ancestors", [[821, 997]]),
    "ancestor ids": ("ancestor_ids", [[821, 997]]),
    "descendants": ("descendants", [[669, 821]]),
    "descendant ids": ("descendant_ids", [[997, 669]]),
    "descends": ("structure_descends_from", [821, 315]),
    "not": ("structure_descends_from", [315, 821]),
    "overlaps": ("has_overlaps", [[385, 821, 997, 549]]),
    "colours": ("get_colormap", []),
    "names": ("get_name_map", []),
    "acronyms": ("get_id_acronym_map", []),
    "ancestor map": ("get_ancestor_id_map", []),
    "node ids": ("node_ids", []),
}


@pytest.fixture(scope="module")
def answers():
    script = """
rows = StructureTree.clean_structures(told["rows"])
for row in rows:
    row["structure_set_ids"] = sorted(row["structure_set_ids"])  # of a set, in any order
tree = StructureTree(rows)
answers = {key: getattr(tree, name)(*given) for key, (name, given) in told["calls"].items()}
answers["labels"] = tree.export_label_description({385: 0.5}, [997], [385], "name").to_dict("list")
"""
    ordered = sorted(rows(), key=lambda row: (row["graph_order"], row["id"]))
    for row in ordered:  # some names of the service end in a blank, which ours do not
        row |= {key: row[key].strip() for key in ("name", "acronym")}
    return sdkoracle.theirs(script, {"rows": ordered, "calls": CALLS})


@sdkoracle.with_allensdk
@pytest.mark.parametrize("key", CALLS)
def test_the_same_answer_as_allensdk(mouse, answers, key):
    name, given = CALLS[key]
    ours = getattr(StructureTree(mouse), name)(*given)
    ours = sorted(ours) if isinstance(ours, set) else ours
    assert json.loads(json.dumps(ours)) == answers[key]


@sdkoracle.with_allensdk
def test_the_same_table_of_labels_as_allensdk(mouse, answers):
    ours = StructureTree(mouse).export_label_description({385: 0.5}, [997], [385], "name")
    assert ours.to_dict("list") == answers["labels"]
