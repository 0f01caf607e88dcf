"""What a run took in joules, where the machine tells: an NVIDIA GPU by its own counter, a processor by RAPL."""

import contextlib
import importlib
import os
import pathlib
import threading

POWERCAP = pathlib.Path("/sys/class/powercap")
# Counters of processors start again at 0 after 65 or 262 kJ, minutes under load: they are read in between.
SECONDS_BETWEEN_READS = 30.0


class EnergyMeter:
    """Measures while it is entered. It never disturbs: what fails gives None.

    A counter is that of the whole GPU or processor: what others do on it meanwhile is counted as well, and the rest of
    the machine is not.

    Args:
      device: the jax device of the run: platform 'gpu' is asked through NVML (package nvidia-ml-py, optional), 'cpu'
        through the kernel's powercap files (Intel and AMD; many systems let only root read them).

    Attributes:
      joules: None before the end, and where nothing tells.
      counter: which counter it was, for people; '' where nothing tells.
    """

    def __init__(self, device):
        self.joules: float | None = None
        self.counter = ""
        self._device, self._source, self._first = device, None, 0.0
        self._stopping, self._thread = threading.Event(), None

    def __enter__(self) -> "EnergyMeter":
        try:
            self._source = {"gpu": _Nvml, "cpu": _Rapl}[self._device.platform](self._device)
            self._first = self._source.read()
        except Exception:  # no counter, no package, no permission, or whatever a driver raises
            self._source = None
            return self
        self._thread = threading.Thread(target=self._keep_reading, name="energy", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc) -> None:
        if self._source is None:
            return
        self._stopping.set()
        self._thread.join()
        with contextlib.suppress(Exception):
            taken = self._source.read() - self._first
            if taken >= 0:  # a driver that was loaded anew counts from 0
                self.joules, self.counter = taken, self._source.name

    def record(self) -> dict:
        """{'energy_joules', 'energy_from'} for record.json; {} where nothing tells."""
        return {} if self.joules is None else {"energy_joules": round(self.joules, 1), "energy_from": self.counter}

    def _keep_reading(self) -> None:
        while not self._stopping.wait(SECONDS_BETWEEN_READS):
            with contextlib.suppress(Exception):  # tried again at the end
                self._source.read()


class _Nvml:
    """The counter of one NVIDIA GPU since its driver was loaded (Volta and newer)."""

    def __init__(self, device):
        self._nvml = importlib.import_module("pynvml")
        self._nvml.nvmlInit()
        self._handle = self._find(device)
        self.name = f"NVML, the whole {self._model()}"

    def read(self) -> float:
        return self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1e3

    def _find(self, device):
        """NVML counts all GPUs of the machine, CUDA the visible ones, and perhaps in another order."""
        place = getattr(device, "local_hardware_id", None) or 0
        visible = [text.strip() for text in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if text.strip()]
        chosen = visible[place] if visible else str(place)
        if chosen.isdecimal():
            self._handle = self._nvml.nvmlDeviceGetHandleByIndex(int(chosen))
        else:
            self._handle = self._nvml.nvmlDeviceGetHandleByUUID(chosen)
        if self._nvml.nvmlDeviceGetCount() > 1 and self._model() != device.device_kind:
            raise LookupError("another model than the one that computes: the orders differ")
        return self._handle

    def _model(self) -> str:
        name = self._nvml.nvmlDeviceGetName(self._handle)
        return name.decode() if isinstance(name, bytes) else name


class _Rapl:
    """The counters of all processor sockets: the zones called package-N, without memory and platform."""

    def __init__(self, device):
        zones = [zone for zone in sorted(POWERCAP.glob("*-rapl:*")) if _text(zone / "name").startswith("package")]
        if not zones:
            raise LookupError("no zones")
        self._last = {zone: _number(zone / "energy_uj") for zone in zones}
        self._ranges = {zone: _number(zone / "max_energy_range_uj") for zone in zones}
        self._total = 0
        self.name = f"RAPL, the whole {' + '.join(_text(zone / 'name') for zone in zones)}"

    def read(self) -> float:
        """Joules since it was made; called at least once for each time round of a counter."""
        for zone, last in self._last.items():
            now = _number(zone / "energy_uj")
            self._total += now - last + (self._ranges[zone] if now < last else 0)
            self._last[zone] = now
        return self._total / 1e6


def _text(path: pathlib.Path) -> str:
    return path.read_text().strip()


def _number(path: pathlib.Path) -> int:
    return int(_text(path))
