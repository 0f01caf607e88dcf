"""Joules from fake counters, and None from everything that does not tell."""

import sys
import time
import types

import pytest

from dakd_jax.training.watch import energy
from dakd_jax.training.watch.energy import EnergyMeter

CPU = types.SimpleNamespace(platform="cpu", device_kind="cpu")


@pytest.fixture
def zones(tmp_path, monkeypatch):
    """{name: counter file} of two sockets, one with a zone of its memory inside, and of the platform around them."""
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    files = {}
    for zone, name, range_uj in (
        ("intel-rapl:0", "package-0", 1000_000_000),
        ("intel-rapl:0:0", "dram", 1000_000_000),
        ("intel-rapl:1", "package-1", 500_000_000),
        ("intel-rapl:2", "psys", 1000_000_000),
        ("intel-rapl-mmio:0", "package-0", 1000_000_000),
    ):
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "name").write_text(f"{name}\n")
        (tmp_path / zone / "max_energy_range_uj").write_text(f"{range_uj}\n")
        files[zone] = tmp_path / zone / "energy_uj"
        files[zone].write_text("400000000\n")
    return files


def test_sockets_are_added_and_zones_inside_or_around_them_are_not(zones):
    with EnergyMeter(CPU) as meter:
        for zone, joules in (("0", 430), ("0:0", 500), ("1", 412), ("2", 900)):
            zones[f"intel-rapl:{zone}"].write_text(f"{joules}000000\n")
    assert meter.record() == {"energy_joules": 42.0, "energy_from": "RAPL, the whole package-0 + package-1"}


def test_a_counter_that_goes_round_several_times_is_followed(zones, monkeypatch):
    """Read in between by the meter itself; the second socket goes round at 500 J."""
    monkeypatch.setattr(energy, "SECONDS_BETWEEN_READS", 0.001)
    counter = energy._Rapl(CPU)
    for joules in (100, 450, 50):  # +200 round, +350, +100 round
        zones["intel-rapl:1"].write_text(f"{joules}000000")
        assert counter.read() >= 200
    assert counter.read() == 650

    reads = []
    monkeypatch.setattr(energy._Rapl, "read", lambda self: reads.append(1) or float(len(reads)))
    with EnergyMeter(CPU) as meter:
        deadline = time.monotonic() + 10
        while len(reads) < 5 and time.monotonic() < deadline:
            time.sleep(0.001)
    assert meter.joules >= 4


def test_nothing_is_told_where_nothing_tells(zones, monkeypatch):
    for broken in ("unreadable", "no zones", "no counters"):
        if broken == "unreadable":  # as for all but root; a folder cannot be read by root either
            zones["intel-rapl:0"].unlink()
            zones["intel-rapl:0"].mkdir()
        elif broken == "no zones":
            monkeypatch.setattr(energy, "POWERCAP", energy.POWERCAP / "nowhere")
        device = types.SimpleNamespace(platform="tpu") if broken == "no counters" else CPU
        with EnergyMeter(device) as meter:
            pass
        assert meter.joules is None and meter.counter == "" and meter.record() == {}


def test_a_counter_that_is_lost_on_the_way_gives_none(zones):
    with EnergyMeter(CPU) as meter:
        zones["intel-rapl:1"].unlink()
    assert meter.record() == {}


class FakeNvml(types.ModuleType):
    """Two GPUs as NVML numbers them, with counters in millijoules."""

    class NVMLError(Exception):
        pass

    def __init__(self, names=("NVIDIA A", "NVIDIA B"), millijoules=(5_000, 70_000), tells=True):
        super().__init__("pynvml")
        self.names, self.millijoules, self.tells = names, list(millijoules), tells

    def nvmlInit(self):
        pass

    def nvmlDeviceGetCount(self):
        return len(self.names)

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid):
        return {"GPU-aaaa": 0, "GPU-bbbb": 1}[uuid]

    def nvmlDeviceGetName(self, handle):
        return self.names[handle]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        if not self.tells:
            raise self.NVMLError("Not Supported")
        return self.millijoules[handle]


def gpu(kind, place=0):
    return types.SimpleNamespace(platform="gpu", device_kind=kind, local_hardware_id=place)


@pytest.mark.parametrize(
    ("visible", "device", "joules"),
    [
        (None, gpu("NVIDIA A"), 1.5),
        (None, gpu("NVIDIA B", 1), 2.5),
        ("1", gpu("NVIDIA B"), 2.5),
        ("1, 0", gpu("NVIDIA A", 1), 1.5),
        ("GPU-bbbb", gpu("NVIDIA B"), 2.5),
        (None, gpu("NVIDIA B"), None),  # CUDA puts the faster one first, NVML the first slot
        ("GPU-cccc", gpu("NVIDIA B"), None),
    ],
)
def test_the_gpu_that_computes_is_asked(monkeypatch, visible, device, joules):
    nvml = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with EnergyMeter(device) as meter:
        nvml.millijoules = [5_000 + 1_500, 70_000 + 2_500]
    told = {} if joules is None else {"energy_joules": joules, "energy_from": f"NVML, the whole {device.device_kind}"}
    assert meter.record() == told


def test_a_single_gpu_needs_no_name_and_an_old_one_does_not_tell(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for nvml, expected in (
        (
            FakeNvml(names=(b"Graphics Device",)),
            {"energy_joules": 0.0, "energy_from": "NVML, the whole Graphics Device"},
        ),
        (FakeNvml(tells=False), {}),
        (None, {}),  # the package is not there
    ):
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        with EnergyMeter(gpu("NVIDIA A")) as meter:
            pass
        assert meter.record() == expected


def test_a_driver_that_was_loaded_anew_gives_none(monkeypatch):
    nvml = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with EnergyMeter(gpu("NVIDIA A")) as meter:
        nvml.millijoules = [10, 10]
    assert meter.joules is None
