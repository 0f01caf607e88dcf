"""Every default of dakd_jax, once.

Any field can be overridden on the command line: --config.optim.learning_rate=1e-3. A config file may be given a
preset after a colon, --config=configs/bdd_case_a.py:released_code, see `PRESETS`; benchmark.py takes more words there.
"""

from ml_collections import ConfigDict

from dakd_jax.basics.errors import UserError
from dakd_jax.objectives.options import fill_defaults


def get_config(preset: str = "") -> ConfigDict:
    """The paper's settings; `preset` 'released_code' is what its code did where the two disagree."""
    config = ConfigDict()
    config.title = ""  # of the report; '' names the pair of domains
    config.goal = ("case_d",)  # stages that are wanted; what they need is trained or reused before them
    config.seed = 0
    config.workdir = ""  # '' = runs/<data.name>; --workdir overrides it

    config.plugins = ()  # modules, or .py files, of your own: backbones, losses, methods, data sets; docs/EXTENDING.md

    config.data = _data()
    config.student = _network("drn_d_22")
    config.student.init_from = ""  # 'student': cases (a), (b), (c) start from the finished adapted student
    config.teacher = _network("drn_d_38")
    config.teacher.statistics = "running"  # batch norm of the frozen teacher: 'running' or 'batch'
    # What it is shown of a picture when it teaches: its answer is the mean of all views; `clean`: the picture as it is
    # before data.colour_jitter and data.blur, which only the student sees then.
    config.teacher.views = ConfigDict({"mirror": False, "scales": (1.0,), "clean": False})
    # Where it is shown the same pictures again and again its answers are kept on disk, docs/any_teacher.md.
    config.teacher.cache_gb = 4.0  # at most so much; what does not fit is asked for every time; 0 = inside every step
    config.teacher.cache_dtype = "float32"  # or 'float16': half the space, and answers that are rounded to it

    # The weights and options of loss terms (objectives/terms) and adaptation methods (objectives/adaptation) stand in
    # their files: loss.kl, loss.kl_reduction, loss.adversarial_main, ...; see also `python run.py --help`.
    config.loss = ConfigDict()
    config.loss.seg_auxiliary = 0.1  # weighs the auxiliary head's segmentation and KL terms
    config.loss.target = 1.0  # lambda_target: weight of the distillation on target pictures
    config.loss.watch_inactive = False  # also compute the distillation terms of a domain that does not distil
    config.adaptation = ConfigDict()
    config.adaptation.methods = ("adversarial",)  # in the order in which they act; () = none; docs/EXTENDING.md
    config.adaptation.in_cases = ("same",)  # those of stages that are distilled; ('same',) = the same as above

    config.optim = ConfigDict()
    config.optim.learning_rate = 2.5e-4
    config.optim.momentum = 0.9
    config.optim.nesterov = True
    config.optim.weight_decay = 1e-4
    config.optim.power = 0.9  # of the polynomial decay
    config.optim.decay_steps = 0  # horizon of the decay; 0 = the steps of the stage
    config.optim.warmup_steps = 0  # over which all learning rates rise; trunks that have learnt something want some 50
    config.optim.head_learning_rate_factor = 1.0  # learning rate of the segmenter's heads, of the trunk's
    config.optim.clip_norm = 0.0  # gradients are scaled down to this norm; 0 = never
    config.optim.optimizer = "sgd"  # of the segmenter; or 'adamw'

    config.train = ConfigDict()
    config.train.steps = 50_000  # of every student
    config.train.teacher_steps = 100_000
    config.train.log_every = 50
    config.train.eval_every = 5_000  # on target val, and candidates to choose from; 0 = at the end only
    config.train.select = (
        "source"  # the candidate that counts, see dakd_jax/evaluation/checkpoint_choice.py; or 'entropy', ..., 'last'
    )
    config.train.select_pictures = 100  # of source val, and of target train, that it is chosen by
    config.train.checkpoint_every = 1_000
    config.train.keep_checkpoints = 2  # the newest ones
    config.train.precision = "float32"  # of the networks' computing; or 'bfloat16': less memory; speed: docs/GPU.md
    config.train.devices = 0  # that share a step (docs/SCALE.md); 0 = as many as there are and divide data.batch_size
    # Of a device, in GB; a step that needs more saves memory for time (docs/PERFORMANCE.md). 0 = no limit.
    config.train.memory_budget_gb = 0.0
    # Batch norm's, of the whole batch, whatever devices share it; 'device': of each device's part, as DataParallel;
    # a number: of each of so many equal parts, on any devices.
    config.train.batch_statistics = "synchronised"
    config.train.deterministic = False  # the same bits from run to run on a GPU too, for a price; a CPU has them anyway
    config.train.on_nonfinite = "stop"  # or 'skip': leave a step out that gives a value that is not finite
    config.train.max_skipped = 10  # so many at most, and never all of a stage: the next one ends the run (exit code 3)
    config.train.keep_every = 0  # also keep those at multiples of so many steps; 0 = none

    config.eval = ConfigDict()
    config.eval.protocol = "native"  # see dakd_jax/evaluation/predict.py: PROTOCOLS
    config.eval.batch_size = 2
    config.eval.metric = "miou"  # the benchmark's number: 'miou' or 'miou_present'
    config.eval.pictures = 6  # in the report's grid, spread evenly over target val
    config.eval.checkpoint = ""  # --mode=evaluate, protocols, submit: weights, see docs/weights.md
    config.eval.network = "student"  # of that checkpoint: 'student' or 'teacher'; a stage folder tells it itself
    config.eval.scales = (0.75, 1.0, 1.25)  # --mode=protocols: of the multi-scale protocols
    config.eval.split = "val"  # --mode=submit: 'val' or 'test'
    config.eval.submit_protocol = ""  # --mode=submit: one of docs/protocols.md; '' = eval.protocol

    config.figures = ConfigDict()  # --mode=figures, see docs/figures.md
    config.figures.select = ("most_improved", "least_improved", "random")
    config.figures.count = 4  # pictures of each selection
    config.figures.pictures = ()  # names of more, in a figure of their own
    config.figures.case = ""  # whose gain pictures are selected by; '' = the last case of the plan

    # Weights (a stage folder, FILE or FILE#KEY: docs/weights.md) that take the place of a stage, by name.
    config.replace = ConfigDict(dict.fromkeys(("teacher", "student", "case_c"), ""))
    fill_defaults(config)
    if preset not in PRESETS:
        raise UserError(f"config preset {preset!r} is unknown: expected one of {', '.join(filter(None, PRESETS))}")
    PRESETS[preset](config)
    return config


def _data() -> ConfigDict:
    data = ConfigDict()
    data.name = "bdd"  # pair of domains: 'bdd', 'gta5', 'camvid' or 'toy'; it says what source and target leave open
    data.source = ()  # names of data sets, as ('gta5',): docs/EXTENDING.md; several are joined; () = those of data.name
    data.target = ""  # name of a data set, or a folder of your own unlabelled pictures; '' = that of data.name
    data.root = "data"  # holds cityscapes/, gta5/, bdd100k/, a folder for each data set
    data.dirs = ConfigDict()  # where a data set lies, by its name: data.dirs.gta5; what is not there, or '' = root/NAME
    data.cityscapes_dir = ""  # older names of dirs.cityscapes, dirs.gta5, dirs.bdd100k
    data.gta5_dir = ""
    data.bdd100k_dir = ""
    data.target_dir = ""  # older name of target, where that is a folder of your own pictures
    data.target_recursive = False  # whether those in the folders below it are taken too
    data.source_list = ""  # a text file that restricts the source's training pictures
    data.records_dir = ""  # sets of prepared records; '' = runs/prepared, where prepare puts them, and root/prepared
    data.source_size = (1024, 512)  # width, height that training pictures are resized to
    data.target_size = (1280, 720)
    data.teacher_size = (0, 0)  # that the teacher is trained on, evaluated at and asked at; (0, 0): those above
    data.batch_size = 2  # pictures of each domain in a step
    data.mirror = False  # random horizontal mirror
    data.scale = (1.0, 1.0)  # range of the random zoom
    data.crop = (0, 0)  # width, height of a random window cut out after the zoom; (0, 0) = the whole picture
    data.colour_jitter = (0.0, 0.0, 0.0, 0.0)  # strengths of brightness, contrast, saturation, hue
    data.blur = (0.0, 0.0)  # range of the Gaussian's sigma, pixels
    data.class_mix = 0.0  # probability that source classes are pasted onto a target picture that is learnt from
    data.rare_class_temperature = 0.0  # > 0 draws source pictures by their rare classes, more so the lower it is
    data.bit_depth = 0  # of 16-bit pictures: bits that their values use, 9 to 16, scaled to 8; 0 = such are refused
    data.loader = "tf"  # 'numpy' gives the same batches without tensorflow, and takes its place where there is none
    data.num_parallel_calls = 0  # threads that read pictures; 0 = one for each core, at most 16
    data.prefetch = 4
    data.cache_mb = 512  # decoded pictures kept in memory, MiB
    data.max_unreadable = 10  # training pictures that a stage may leave out when they cannot be read; 0 = stop at once
    # The procedural city (data.name = 'toy') and which of its looks is the source.
    data.toy = ConfigDict({"source": "gta5", "seed": 0, "size": (256, 128), "num_train": 240, "num_val": 60})
    return data


def _network(arch: str) -> ConfigDict:
    return ConfigDict({
        "arch": arch,  # of a file in dakd_jax/models/backbones/, or of a plugin; '' and 0 below: the backbone's own
        "width": 1.0,  # multiplies all channel counts
        "main_tap": "",  # names of the features under the main and the auxiliary head, as 'layer8' and 'layer6'
        "auxiliary_tap": "",
        "output_stride": 0,  # of the deepest features: one that the backbone offers
        "decoder": "",  # 'linear': the heads alone (the paper); 'skip': logits of a shallower feature are added
        "normaliser": "",  # what the trunk was trained with: DRN's own 'bgr_minus_mean', most others' 'rgb_mean_std'
        "batch_norm": "trained",  # or 'frozen': the statistics that the network starts with stay, scale and bias learn
        # Weights of an ImageNet trunk or of a whole segmenter (docs/weights.md); '' = random; 'imagenet' = the trunk
        # that a package has brought, as requirements.txt does for efficientnet_lite0 and 2.
        "pretrained": "",
    })  # fmt: skip


def _released_code(config: ConfigDict) -> None:
    """What the released code did, where it differs from the paper (docs/METHOD.md)."""
    config.optim.nesterov = False
    config.optim.weight_decay = 5e-4
    config.optim.discriminator_learning_rate = 1e-4
    config.loss.kl_reduction = "off"
    config.teacher.statistics = "batch"
    config.teacher.auxiliary_tap = "layer7"
    config.eval.protocol = "released"
    config.train.select = "last"


PRESETS = {"": lambda config: None, "released_code": _released_code}
