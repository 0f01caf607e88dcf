"""The two domains of a run: their data sets, settings, folders and splits.

pairs.py          the known pairs, and what data.source and data.target say in their place
data_settings.py  every value of config.data, checked
places.py         folders of data sets, of prepared records, of class histograms
opening.py        the splits
"""

from data_pipelines.domains.data_settings import check_settings, check_size, teacher_size, training_size
from data_pipelines.domains.opening import Domains, SplitListing, open_domains, target_lacks_labels
from data_pipelines.domains.pairs import PAIRS, benchmark, label_space, licence
from data_pipelines.domains.places import class_counts_dir

__all__ = [
    "PAIRS",
    "Domains",
    "SplitListing",
    "benchmark",
    "check_settings",
    "check_size",
    "class_counts_dir",
    "label_space",
    "licence",
    "open_domains",
    "target_lacks_labels",
    "teacher_size",
    "training_size",
]
