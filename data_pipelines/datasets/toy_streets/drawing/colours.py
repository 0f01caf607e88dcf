"""The colours of surfaces: those that all looks share, and those of each look; and how rough surfaces are."""

import functools

import numpy as np

from data_pipelines.datasets.toy_streets.drawing.materials import Role

MAX_TINTS = 8

# The colours of a role that all looks share: RGB in hexadecimal; a tint chooses one of them.
COMMON = {
    Role.SKY: "ffffff",
    Role.SHADOW: "222226",
    Role.SHOP: "343c46 5c3e2c 28463e 4a4e58",
    Role.AWNING: "be302c 286e54 e2be5a 3c5496",
    Role.FENCE_POST: "464a4e ece8e0 705238",
    Role.FENCE_PANEL: "70767a cec8be 96704e",
    Role.POLE_METAL: "606468",
    Role.SIGN_FACE: "f4f4f4 2854ba fad628 c42422",
    Role.SIGN_RIM: "ce2020 ececf0 1e1e1e f0f0f0",
    Role.SIGNAL_BOX: "181a1a",
    Role.LAMP_RED: "ff3828",
    Role.LAMP_GREEN: "46fa96",
    Role.LAMP_OFF: "423a30",
    Role.TRUNK: "5c4632 4e4236",
    Role.SKIN: "e8bea0 c49270 8e6044 644230",
    Role.HAIR: "281e18 604026 c4a060 1e1e22",
    Role.GLASS: "28323e",
    Role.TYRE: "18181a",
    Role.RIM: "96989c",
    Role.HEADLAMP: "fffae2",
    Role.TAIL_LAMP: "d61a1a",
    Role.DARK_TRIM: "242428",
    Role.PLATE: "ecece2",
    Role.CYCLE_FRAME: "c42828 2850aa 1e1e20 e6e6e6 288c5a",
    Role.HELMET: "e6e6ea 28282c c82c28 fac828",
    Role.STRIPE: "ececec d8342c 2c5cb4 fac428 288250",
}

LOOK_NAMES = ("synthetic", "american", "european")
# Of the others what each look has, in the order of LOOK_NAMES.
OF_EACH_LOOK = {
    Role.ASPHALT: ("54565e", "74706c 605e5e", "8e9092 808282"),
    Role.LANE_MARK: ("f4f4f4", "e2ded2", "d8dad6"),
    Role.CENTRE_MARK: ("face3c", "e2ac24", "d4d6d2"),
    Role.RAIL: ("969aa4", "8c867e", "5c5a58"),
    Role.PAVING: ("bab2aa", "beb6a8", "787070 887c76"),
    Role.KERB: ("dcd8d2", "cec8bc", "a8a6a4"),
    Role.GRASS: ("68b03e", "8a8e4e", "707446"),
    Role.FACADE: (
        "eece96 d67052 f0e2c8 9cbedc e6a08c faeedc cc8c5a b2a0c8",
        "ceb896 96523e e2d8c6 ac967c 806858 c4a886 a4644a 9ca4a2",
        "968c7c 706862 b2a892 866454 606064 a69676 80807c beb8ac",
    ),
    Role.FACADE_TRIM: ("d6cec0 b4aca0 e8e4dc", "d6cec0 b4aca0 e8e4dc", "96928a 787470 b0aca4"),
    Role.WINDOW: ("2c3a4c 3a4c62 242e3c 566c82", "2c3a4c 3a4c62 242e3c 566c82", "343a3e 545c60 788082 282c30"),
    Role.ROOF: ("a84836 605c68", "5c524c 786050", "704236 4c4646"),
    Role.MASONRY: ("c66848 beb096", "b0967a 965c48", "746e66 785446"),
    Role.COPING: ("e2d6c4", "cec2ae", "928e86"),
    Role.LEAF: ("368c2c 4ea434 2a7634 60a028", "46602e 5c7038 3c5432 70743a", "5c5c2c 464e30 78642e 3a422c"),
    Role.SHIRT: (
        "de3232 326edc fad23c f0f0f0 3caa64 e66ebe",
        "b43c38 46608c dcd8ce 32343a 78825a c8a05a",
        "2e3038 5a282c 3c4a64 827c70 242428 aa3c32",
    ),
    Role.TROUSERS: ("28366e 3c3c42 786046 1e1e24", "3a4664 323032 827058 222226", "242836 1c1c20 54504a 323846"),
    Role.CAR_PAINT: (
        "d62226 2860d6 f0f0f4 fabe1e 24262c 3ca05a b4bac4 e66e28",
        "e8e8e6 282a2e 96989c 822424 344668 c4beb2 5a5c60 465246",
        "24262a 9ea2a6 3c4250 ced0d0 5a1e22 4e5254 243454 787c7a",
    ),
    Role.CARGO_BOX: ("f0f0f0 4682d2 f0c846 d2503c", "e8e6e0 d6be78 96a0aa b4503c", "c4c6c4 60748c beaa5a 828280"),
    Role.BUS_PAINT: ("ec3c32 3c78d2 fac832", "f0b028 e2e2de 466e96", "c4ba78 aa3c36 bec0be"),
    Role.TRAM_PAINT: ("f0ecd2 3c9678 dc463c", "cececa 963c38 5a788c", "beaa50 96282c bebeb2"),
    Role.MOTO_PAINT: ("dc2828 2850d2 1e1e22 faaa1e", "28282c 962826 3c4664 be8232", "222226 782424 38425a 96989a"),
    Role.BONNET: ("3c3c42", "343232", "383c3c"),
    Role.FAR_HILL: ("568a70 689682", "70745c 7e7868", "788074 848880"),
}

# Standard deviation of the surface's brightness, as a share of it: (fine grain, blotches of some 16 pixels).
_ROUGHNESS = {
    Role.ASPHALT: (0.05, 0.06),
    Role.PAVING: (0.07, 0.05),
    Role.GRASS: (0.12, 0.10),
    Role.LEAF: (0.20, 0.12),
    Role.FAR_HILL: (0.08, 0.08),
    Role.FACADE: (0.04, 0.05),
    Role.ROOF: (0.08, 0.04),
    Role.MASONRY: (0.12, 0.08),
    Role.FENCE_PANEL: (0.12, 0.02),
}

GROUND_ROLES = (Role.ASPHALT, Role.LANE_MARK, Role.CENTRE_MARK, Role.RAIL, Role.PAVING, Role.KERB, Role.GRASS)


@functools.cache
def colour_table(look: str) -> np.ndarray:
    """Colours of a look, uint8 [roles, MAX_TINTS, 3]; shorter lists repeat."""
    colours = COMMON | {role: of_looks[LOOK_NAMES.index(look)] for role, of_looks in OF_EACH_LOOK.items()}
    table = np.zeros((len(Role), MAX_TINTS, 3), np.uint8)
    for role, choices in colours.items():
        table[role] = np.resize(np.frombuffer(bytes.fromhex(choices), np.uint8), table[role].shape)
    return table


@functools.cache
def roughness_table() -> np.ndarray:
    """Texture of each role, float32 [roles, 2]: fine grain and blotches."""
    table = np.full((len(Role), 2), 0.015, np.float32)
    for role, amounts in _ROUGHNESS.items():
        table[role] = amounts
    return table
