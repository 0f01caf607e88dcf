"""What makes two stages the same: all that changes their numbers, and nothing else."""

from dakd_jax import paradigms, records, weights

# Raise it when the code changes the numbers of an unchanged config: finished stages are then trained anew.
NUMERICS_VERSION = 1

DATA_FIELDS = ("batch_size", "mirror", "scale", "crop", "colour_jitter", "blur", "rare_class_temperature")
ADVERSARIAL_FIELDS = ("adversarial", "levels", "adversarial_auxiliary", "adversarial_main")
DISTILLATION_FIELDS = ("kl", "kl_reduction", "mse", "mse_on", "ce")


def identity(
    config, stage: paradigms.Stage, data_fingerprint: str, parents: dict[str, str], selection: dict | None = None
) -> dict:
    """The identity of a stage as plain data: paths, logging and fields that it does not use are left out.

    Args:
      data_fingerprint: of the files behind it.
      parents: {stage name: hash} of what it needs.
      selection: by what its weights are chosen among several, see selection.rule; None where the last ones count.
    """
    network, loss = config[stage.network], config.loss
    fields = {
        "numerics": NUMERICS_VERSION,
        "labelled": stage.labelled,
        "adapt": stage.adapt,
        "distil": [stage.distil_source, stage.distil_target],
        "start": stage.start,
        "network": weights.network_fields(network),
        "trunk": weights.hash_file(network.pretrained) if network.pretrained and not stage.start else "",
        "seed": config.seed,
        "data": _data(config.data, stage) | {"fingerprint": data_fingerprint},
        "seg_auxiliary": loss.seg_auxiliary,
        "optim": {k: v for k, v in config.optim.items() if stage.adapt or not k.startswith("discriminator_")},
        "steps": config.train.teacher_steps if stage.network == "teacher" else config.train.steps,
        "parents": parents,
    }
    if stage.adapt:
        fields["adversarial"] = {k: loss[k] for k in ADVERSARIAL_FIELDS} | {"width": config.discriminator.width}
    if stage.distils:
        fields["distillation"] = {k: loss[k] for k in DISTILLATION_FIELDS} | {
            "target": loss.target if stage.distil_target else 0.0,
            "teacher_statistics": config.teacher.statistics,
            "teacher_auxiliary_layer": config.teacher.auxiliary_layer,
            "teacher_normaliser": config.teacher.normaliser,
        }
    if selection:
        fields["selection"] = selection
    if config.train.on_nonfinite == "skip":
        fields["max_skipped"] = config.train.max_skipped
    if config.train.precision != "float32":
        fields["precision"] = config.train.precision
    return records.plain(fields)


def _data(data, stage: paradigms.Stage) -> dict:
    domains = {stage.labelled} | ({"target"} if stage.adapt else set())
    fields = {k: data[k] for k in DATA_FIELDS} | {f"{domain}_size": data[f"{domain}_size"] for domain in domains}
    return fields | ({"class_mix": data.class_mix} if stage.distil_target else {})
