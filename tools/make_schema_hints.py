"""Make the schema hints of the package from the service's description of all models.

    python tools/make_schema_hints.py enumerate.json src/openallen/brainmap/schema-hints.json

The description (``/api/v2/data/enumerate.json``) that could be had is older than the Cell Types
Database; what public queries and answers use beyond it is added here, from the answers kept in
``tests/data`` and the columns of the site's own CSV export. Names and types are facts of the
service; nothing else of it is kept.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from openallen.brainmap.schema import Schema

SUB_IMAGE = (
    "axes:s bits_per_component:i expression:b isi_experiment_id:i number_of_components:i"
    " ophys_experiment_id:i projection_function:s"
)
DETAIL = (
    "line_name:s specimen__id:i specimen__name:s specimen__hemisphere:s structure__id:i"
    " structure__name:s structure__acronym:s structure_parent__id:i structure_parent__acronym:s"
    " structure__layer:s nr__max_euclidean_distance:f nr__number_stems:i"
    " nr__number_bifurcations:i nr__average_contraction:f nr__average_parent_daughter_ratio:f"
    " nr__reconstruction_type:s nrwkf__id:i erwkf__id:i ef__fast_trough_v_long_square:f"
    " ef__upstroke_downstroke_ratio_long_square:f ef__adaptation:f ef__f_i_curve_slope:f"
    " ef__threshold_i_long_square:f ef__tau:f ef__avg_isi:f ef__avg_firing_rate:f ef__ri:f"
    " ef__peak_t_ramp:f ef__vrest:f si__height:i si__width:i si__path:s csl__x:f csl__y:f"
    " csl__z:f csl__normalized_depth:f cell_reporter_status:s m__glif:i m__biophys:i"
    " m__biophys_perisomatic:i m__biophys_all_active:i tag__apical:s tag__dendrite_type:s"
    " morph_thumb_path:s ephys_thumb_path:s ephys_inst_thresh_thumb_path:s donor__age:s"
    " donor__sex:s donor__disease_state:s donor__race:s donor__years_of_seizure_history:s"
    " donor__species:s donor__id:i donor__name:s"
)
RECONSTRUCTION = (
    "id:i specimen_id:i neuron_reconstruction_type:s tags:s average_bifurcation_angle_local:f"
    " average_bifurcation_angle_remote:f average_contraction:f average_diameter:f"
    " average_fragmentation:f average_parent_daughter_ratio:f hausdorff_dimension:f"
    " max_branch_order:f max_euclidean_distance:f max_path_distance:f number_bifurcations:i"
    " number_branches:i number_nodes:i number_stems:i number_tips:i overall_depth:f"
    " overall_height:f overall_width:f scale_factor_x:f scale_factor_y:f scale_factor_z:f"
    " soma_surface:f total_length:f total_surface:f total_volume:f"
)
# model -> table, columns, associations (name:kind:model; an empty model is the usual one)
ADDED: dict[str, tuple[str, str, str]] = {
    "ApiCellTypesSpecimenDetail": ("api_cell_types_specimen_details", DETAIL, ""),
    "NeuronReconstruction": (
        "neuron_reconstructions",
        RECONSTRUCTION,
        "specimen:1:Specimen well_known_files:n:",
    ),
    "ProjectionImage": ("sub_images", "", "specimen:1:Specimen"),
    "NeuronalModel": (
        "neuronal_models",
        "id:i name:s neuron_reconstruction_id:i neuronal_model_template_id:i specimen_id:i",
        "specimen:1:Specimen neuron_reconstruction:1:NeuronReconstruction"
        " neuronal_model_template:1:NeuronalModelTemplate neuronal_model_runs:n:"
        " well_known_files:n:",
    ),
    "NeuronalModelTemplate": ("neuronal_model_templates", "id:i name:s", "neuronal_models:n:"),
    "NeuronalModelRun": (
        "neuronal_model_runs",
        "id:i neuronal_model_id:i",
        "neuronal_model:1:NeuronalModel well_known_files:n:",
    ),
    "EphysResult": ("ephys_results", "id:i failed:b", "well_known_files:n: specimens:n:"),
    "EphysFeature": ("ephys_features", "id:i specimen_id:i", "specimen:1:Specimen"),
    "EphysSweep": (
        "ephys_sweeps",
        "id:i specimen_id:i sweep_number:i stimulus_name:s num_spikes:i",
        "specimen:1:Specimen",
    ),
    "CellSomaLocation": (
        "cell_soma_locations",
        "id:i specimen_id:i x:f y:f z:f normalized_depth:f",
        "specimen:1:Specimen",
    ),
    "SpecimenTag": ("specimen_tags", "id:i specimen_id:i name:s", "specimen:1:Specimen"),
    "StereotaxicInjection": (
        "stereotaxic_injections",
        "id:i specimen_id:i",
        "specimen:1:Specimen primary_injection_structure:1:Structure structures:m:"
        " stereotaxic_injection_coordinates:n:",
    ),
    "StereotaxicInjectionCoordinate": (
        "stereotaxic_injection_coordinates",
        "id:i stereotaxic_injection_id:i",
        "",
    ),
    "ProjectionStructureUnionize": (
        "projection_structure_unionizes",
        "id:i section_data_set_id:i structure_id:i hemisphere_id:i is_injection:b"
        " normalized_projection_volume:f projection_density:f projection_energy:f",
        "section_data_set:1:SectionDataSet structure:1:Structure hemisphere:1:Hemisphere",
    ),
    "ApiConnectivity": ("api_connectivity", "id:i", ""),
    "ApiCamStimulusMapping": (
        "api_cam_stimulus_mappings",
        "id:i item:s item_type:s level:s stimulus:s",
        "",
    ),
    "ApiCamCellMetric": (
        "api_cam_cell_metrics",
        "cell_specimen_id:i experiment_container_id:i",
        "",
    ),
    "ExperimentContainer": (
        "experiment_containers",
        "id:i failed:b imaging_depth:i isi_experiment_id:i specimen_id:i targeted_structure_id:i",
        "specimen:1:Specimen targeted_structure:1:Structure isi_experiment:1:IsiExperiment"
        " ophys_experiments:n:",
    ),
    "OphysExperiment": (
        "ophys_experiments",
        "id:i experiment_container_id:i imaging_depth:i name:s specimen_id:i stimulus_name:s"
        " storage_directory:s targeted_structure_id:i ophys_session_id:i fail_eye_tracking:b",
        "experiment_container:1:ExperimentContainer specimen:1:Specimen"
        " targeted_structure:1:Structure well_known_files:n:",
    ),
    "IsiExperiment": ("isi_experiments", "id:i specimen_id:i", "specimen:1:Specimen"),
}
# more associations of models the description does have
ALSO = {
    "Specimen": "cell_soma_locations:n: ephys_features:n: ephys_result:1:EphysResult"
    " ephys_sweeps:n: neuron_reconstructions:n: neuronal_models:n: specimen_tags:n:"
    " stereotaxic_injections:n: products:m:",
    "Atlas": "graphic_group_labels:m: structure_graph:1:StructureGraph",
    "AtlasImage": "atlas_data_set:1:AtlasDataSet",
    "MicroarraySlide": "microarray_data_sets:n:",
}
MORE_FIELDS = {
    "Specimen": "cell_prep_sample_id:i cell_reporter_id:i cortex_layer_id:i ephys_result_id:i"
    " is_cell_specimen:b is_ish:b pinned_radius:f sphinx_id:i treatment_id:i weight:i",
    "SubImage": SUB_IMAGE,
    "SectionImage": SUB_IMAGE,
    "AtlasImage": SUB_IMAGE,
}


def main() -> None:
    """Read the description, add what is known beyond it, write the compact form."""
    source, target = map(Path, sys.argv[1:3])
    compact = Schema.from_enumerate(json.loads(source.read_text("utf-8"))).to_compact()
    for name, text in MORE_FIELDS.items():
        compact[name][1] = _joined(compact[name][1], text)
    for name, text in ALSO.items():
        compact[name][2] = _joined(compact[name][2], text)
    for name, (table, columns, associations) in ADDED.items():
        compact[name] = [table, columns, associations]
    compact["ProjectionImage"][1] = compact["SubImage"][1]
    lines = (f"{json.dumps(k)}:{json.dumps(v)}" for k, v in sorted(compact.items()))
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
    Schema.from_compact(json.loads(target.read_text("utf-8")))


def _joined(known: str, more: str) -> str:
    names = {text.partition(":")[0] for text in known.split()}
    return " ".join([known, *(t for t in more.split() if t.partition(":")[0] not in names)])


if __name__ == "__main__":
    main()
