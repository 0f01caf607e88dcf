"""Makes the committed part of the reference numbers out of the full set: python tests/golden/compact.py FULL_SET

Every file keeps its name and layout. Dropped are the float32 twins of float64 numbers and what no test reads; of large
arrays every so many-th entry stays (a key with the ending `_every<n>` holds the flat array [::n], `_s<n>` each n-th row
and column). The weights are no data: golden_weights.py makes them from seeds, all but the statistics of batch norm.
"""

import pathlib
import re
import shutil
import sys

import numpy as np

HERE = pathlib.Path(__file__).parent
WHOLE = (
    "golden_weights.py", "state_dict_keys.txt", "bnstats_student.npz", "bnstats_teacher.npz",
    "discriminator.npz", "upsample.npz", "eval.npz", "preprocess.npz", "traj_inputs.npz",
)  # fmt: skip
NETWORKS = ("student", "teacher_cd", "teacher_f7")
SIZES = ("2x64x128", "1x100x150")  # of the forward passes that are kept
GRADIENT_STRIDE = 29  # odd, so that it meets every class
MAP_STRIDE = 9  # of log-probabilities, in rows and columns
LAYER_STRIDE = 7
UNREAD = (
    r"x$|f32/|noise_rel/|.*_momentum|.*/(norm|proj|slice|delta_slice)$|.*_bn_full/|grad0/|.*adam|logp_"
    r"|.*official_torch213|.*teacher_bn|keys/(grad0|D\d_)"
)


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files if not re.match(UNREAD, key)}


def compact(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of one file that are kept, thinned out where they are large."""
    kept = {}
    for key, array in arrays.items():
        if re.search(r"/logp\d(_s3)?$", key):
            step = MAP_STRIDE // 3 if key.endswith("_s3") else MAP_STRIDE
            kept[f"{key.removesuffix('_s3')}_s{MAP_STRIDE}"] = array[..., ::step, ::step]
        elif key.startswith("grad_log"):
            kept[f"{key}_every{GRADIENT_STRIDE}"] = array.ravel()[::GRADIENT_STRIDE]
        elif re.match(r"eval/layer\d", key):
            kept[f"{key}_every{LAYER_STRIDE}"] = array.ravel()[::LAYER_STRIDE]
        elif not (re.search(r"/margin2$|/argmax2$", key) or key.startswith("train/layer")):
            kept[key] = array
    return kept


def files(full: pathlib.Path) -> list[str]:
    """Names of the .npz files of the full set that are kept in part."""
    forward = [f"forward_{network}_{size}.npz" for network in NETWORKS for size in SIZES]
    layers = [f"layers_{network}_1x32x64.npz" for network in NETWORKS[:2]]
    return [*forward, *layers, "losses.npz", *sorted(path.name for path in full.glob("traj_[abc]_*.npz"))]


def main(full: pathlib.Path) -> None:
    """Writes the files beside this script."""
    for name in WHOLE:
        shutil.copyfile(full / name, HERE / name)
    for name in files(full):
        np.savez_compressed(HERE / name, **compact(read(full / name)))
    print(f"{sum(path.stat().st_size for path in HERE.iterdir()) / 1e6:.2f} MB in {HERE}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
