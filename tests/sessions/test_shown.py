"""How sessions show themselves: pictures, text, HTML."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

import openallen as oa
from openallen.errors import NotFoundError, UsageError
from openallen.formats.png import inspect_png
from openallen.sessions.across import Answers, Sessions


@pytest.fixture
def changed(tmp_path, files):
    """Open a copy of a file that was changed."""
    opened = []

    def go(kind: str, change):
        path = tmp_path / f"{kind}{len(opened)}.nwb"
        shutil.copy(files[kind], path)
        path.chmod(0o644)
        with h5py.File(path, "r+") as file:
            change(file)
        opened.append(oa.open(path))
        return opened[-1]

    yield go
    for session in opened:
        session.close()


def without(*paths: str):
    def change(file: h5py.File) -> None:
        for path in paths:
            del file[path]

    return change


def labels(figure) -> list[str]:
    """The label of each panel, of the last one its rows."""
    found = []
    for axis in figure.axes:
        text = axis.get_ylabel()
        found.append(text or "+".join(t.get_text() for t in axis.get_yticklabels()))
    return found


def figures(session) -> list:
    made = [session.plot_overview()]
    if session.kind != "behavior_session":
        made.append(session.plot_raster())
    if session.kind == "ophys_experiment":
        made.append(session.plot_max_projection())
    return made


# --- pictures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["behavior", "ophys", "ecephys"])
def test_a_figure_is_shown_once(files, kind):
    import matplotlib.pyplot as plt

    plt.close("all")
    with oa.open(files[kind]) as session:
        made = figures(session)
    assert plt.get_fignums() == []
    for figure in made:
        width, height = inspect_png(figure._repr_png_())
        assert (width, height) == tuple(figure.get_size_inches() * figure.dpi)


def test_pictures_need_no_pyplot(files, tmp_path):
    code = (
        "import sys, openallen as oa\n"
        f"oa.open({str(files['ophys'])!r}).plot_overview().savefig({str(tmp_path / 'x.png')!r})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert inspect_png((tmp_path / "x.png").read_bytes())


def test_the_overview_has_a_panel_for_each_part(files):
    want = {
        "behavior": ["running (cm/s)", "licks+rewards"],
        "ophys": ["ΔF/F, one line per cell", "running (cm/s)", "pupil (px²)", "licks+rewards"],
        "ecephys": ["spikes, 8 good units", "running (cm/s)", "pupil (px²)", "licks+rewards"],
    }
    for kind, panels in want.items():
        with oa.open(files[kind]) as session:
            assert labels(session.plot_overview()) == panels


@pytest.mark.parametrize(
    ("kind", "paths", "gone"),
    [
        ("ophys", ["processing/running"], "running (cm/s)"),
        ("ophys", ["acquisition/EyeTracking"], "pupil (px²)"),
        ("ophys", ["processing/ophys/dff"], "ΔF/F, one line per cell"),
        ("ophys", ["processing/licking", "processing/rewards"], "licks+rewards"),
        ("ecephys", ["processing/running"], "running (cm/s)"),
    ],
)
def test_a_part_that_is_missing_leaves_its_panel_out(files, changed, kind, paths, gone):
    with oa.open(files[kind]) as whole:
        want = [label for label in labels(whole.plot_overview()) if label != gone]
    assert labels(changed(kind, without(*paths)).plot_overview()) == want


def test_licks_without_rewards_have_one_row(changed):
    session = changed("behavior", without("processing/rewards"))
    assert labels(session.plot_overview()) == ["running (cm/s)", "licks"]
    nothing = changed(
        "behavior",
        without("processing/rewards", "processing/licking", "processing/running"),
    )
    with pytest.raises(NotFoundError, match="nothing to draw"):
        nothing.plot_overview()
    with pytest.raises(UsageError, match="no spikes or events"):
        session.plot_raster()
    with pytest.raises(UsageError, match="window"):
        session.plot_overview((20, 10))


def test_spikes_are_drawn_by_probe_and_structure(files):
    with oa.open(files["ecephys"]) as session:
        panel = session.plot_overview((40, 60)).axes[0]
        probes = [text.get_text() for text in panel.texts]
        assert probes == ["probeA", "probeC"]
        names = [text.get_text() for text in panel.get_yticklabels()]
        channels = session.get_channels(filter_by_validity=False)
        good = session.units.query("quality == 'good'")
        places = channels.loc[good["peak_channel_id"], "structure_acronym"].dropna()
        assert set(names) - {"none"} == set(places)
        raster = session.plot_raster((40, 60)).axes[0]
        drawn = {
            int(text.get_text().split()[-1]): line.get_positions()
            for text, line in zip(raster.get_yticklabels(), raster.collections, strict=True)
        }
        assert set(drawn) == set(session.spike_times)
        for unit, times in session.spike_times.items():
            inside = times[(times >= 40) & (times <= 60)]
            assert np.array_equal(np.sort(drawn[unit]), inside)
        few = session.plot_overview((40, 60), units=3).axes[0]
        assert few.get_ylabel() == "spikes, 3 of 8 good units"
        assert len(few.collections) == 3
        assert labels(session.plot_overview(units=0))[0] == "running (cm/s)"


def test_of_few_units_only_theirs_are_read(files):
    with oa.open(files["ecephys"]) as session:
        ids = session.tree.array("units/id").tolist()[2:4]
        found = session.spike_times_of(ids)
        assert "spike_times" not in session.__dict__
        assert list(found) == ids
        assert all(np.array_equal(found[i], session.spike_times[i]) for i in ids)
        for asked in ([5], [*ids, 5]):  # before and after all were read
            with pytest.raises(NotFoundError, match="no unit 5"):
                session.spike_times_of(asked)
    with oa.open(files["ecephys"]) as session, pytest.raises(NotFoundError, match="no unit 5"):
        session.spike_times_of([5])


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("behavior", ["behavior session 883986743", "mouse 457841"]),
        ("ophys", ["ophys experiment 957759562", "VISp, 150 µm", "Sst-IRES-Cre"]),
        ("ecephys", ["ecephys session 1053941483", "EPHYS_1_images_H_3uL_reward"]),
    ],
)
def test_pictures_say_which_session_in_letters_that_can_be_read(files, kind, words):
    import matplotlib.text

    with oa.open(files[kind]) as session:
        overview, *others = figures(session)
    for word in words:
        assert word in overview.get_suptitle()
    for figure in (overview, *others):
        title = figure.get_suptitle() or figure.axes[0].get_title()
        assert words[0] in title
        figure.draw_without_rendering()
        texts = [t for t in figure.findobj(matplotlib.text.Text) if t.get_text()]
        assert min(text.get_fontsize() for text in texts) >= 7


def test_scale_bars_are_as_long_as_they_say(files):
    with oa.open(files["ophys"]) as session:
        axis = session.plot_overview().axes[0]
        (text,) = [t.get_text() for t in axis.texts]
        number, unit = text.split()
        assert unit == "ΔF/F"
        low, high = axis.lines[-1].get_ydata()
        assert high - low == pytest.approx(float(number))
        projection = session.plot_max_projection().axes[0]
        assert "8 cells" in projection.get_title()
        (text,) = [t.get_text() for t in projection.texts]
        left, right = projection.lines[-1].get_xdata()
        size_um = session.max_projection.spacing[1] * 1000
        assert f"{(right - left) * size_um:g} µm" == text


def test_a_projection_without_cells_or_scale(changed):
    def bare(file: h5py.File) -> None:
        del file["processing/ophys/image_segmentation"]
        del file["processing/ophys/images/max_projection"].attrs["resolution"]

    session = changed("ophys", bare)
    axis = session.plot_max_projection().axes[0]
    assert not axis.texts
    assert axis.get_title().endswith("VISp, 150 µm")
    assert "per px" not in repr(session.max_projection)


def test_cells_that_were_not_matched_are_drawn_too(changed):
    def some(file: h5py.File) -> None:
        file["processing/ophys/image_segmentation/cell_specimen_table/cell_specimen_id"][3:5] = -1

    session = changed("ophys", some)
    for figure in (session.plot_overview(), session.plot_raster()):
        names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
        assert len(names) == 8
        assert names.count("unmatched") == 2
        assert names[0] == "1086613385"


def test_a_session_without_probes(changed):
    session = changed("ecephys", without("general/extracellular_ephys"))
    assert session.probes.empty
    assert "spikes" not in "".join(labels(session.plot_overview()))


# --- text and HTML --------------------------------------------------------------------------------


def test_sessions_say_first_which_they_are_and_last_where(files):
    first = {
        "behavior": "behavior session",
        "ophys": "ophys experiment",
        "ecephys": "ecephys session",
    }
    for kind, path in files.items():
        with oa.open(path) as session:
            lines = repr(session).splitlines()
            assert lines[0] == type(session).__name__
            assert lines[1].startswith(f"  {first[kind]}")
            assert lines[-1].endswith(str(path))
            assert len(lines) <= 16
            page = session._repr_html_()
            assert page.count("<tr>") == len(lines) - 1
    assert "VISp, CA1" in repr(oa.open(files["ecephys"]))


def test_images_say_size_axes_and_scale(files):
    with oa.open(files["ophys"]) as session:
        image = session.max_projection
        assert repr(image) == "Image of 64 x 64 px (rows x columns), 0.781 µm per px, uint8"
        page = image._repr_html_()
        picture = re.search(r"data:image/png;base64,([A-Za-z0-9+/=]+)", page)
        assert picture is not None
        assert inspect_png(base64.b64decode(picture[1])) == (64, 64)
        assert "0.781 µm per px" in page
        assert np.asarray(image).shape == (64, 64)


def test_many_sessions_and_their_results_are_short():
    many = Sessions({i: f"release:x/{i}" for i in range(1000)}, oa.open, "ophys_experiment_id")
    for text in (repr(many), many._repr_html_()):
        assert "1,000, none open yet" in text
        assert "0, 1, 2, 3, 4, and 995 more" in text
        assert len(text) < 1500
    answers = Answers({1: "a"}, {2: "ValueError: <b>no</b>\nTraceback"}, "ophys_experiment_id")
    assert "ValueError: <b>no</b>" in repr(answers)
    assert "Traceback" not in repr(answers)
    assert "<b>" not in answers._repr_html_()


def test_long_texts_of_other_files_are_cut(tmp_path):
    path = tmp_path / "x.nwb"
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
        file["session_description"] = "one\n" + "word " * 500
        for n in range(40):
            file[f"processing/p/table{n}/id"] = np.arange(3)
    text = repr(oa.open(path))
    assert "and 28 more" in text
    assert max(map(len, text.splitlines())) < 250


def test_the_names_the_field_uses_work_too(files):
    with oa.open(files["ecephys"]) as session:
        assert session.units.equals(session.get_units())
        assert session.channels.equals(session.get_channels())
        assert session.probes["name"].tolist() == ["probeA", "probeC"]
        names = session.list_data_attributes_and_methods()
        assert "units" not in names  # those are AllenSDK's


@pytest.mark.parametrize(
    ("kind", "asked", "near"),
    [
        ("ecephys", "unit", "units"),
        ("ecephys", "lfp", "get_lfp"),
        ("ecephys", "spikes", "spike_times"),
        ("ophys", "dff", "dff_traces"),
        ("ophys", "max_projections", "max_projection"),
        ("behavior", "trial", "trials"),
        ("behavior", "zzz", "list_data_attributes_and_methods"),
    ],
)
def test_unknown_attributes_name_near_misses(files, kind, asked, near):
    with oa.open(files[kind]) as session:
        with pytest.raises(AttributeError, match=f"no attribute '{asked}'\n  hint: .*{near}"):
            getattr(session, asked)
        assert not hasattr(session, "_ipython_display_")
