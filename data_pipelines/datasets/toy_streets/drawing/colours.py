"""The colours of surfaces: a common set, and what each look changes of it; and how rough surfaces are."""

import functools

import numpy as np

from data_pipelines.datasets.toy_streets.drawing.materials import Role

MAX_TINTS = 8

COMMON = {
    Role.SKY: [(255, 255, 255)],
    Role.SHADOW: [(34, 34, 38)],
    Role.FACADE_TRIM: [(214, 206, 192), (180, 172, 160), (232, 228, 220)],
    Role.WINDOW: [(44, 58, 76), (58, 76, 98), (36, 46, 60), (86, 108, 130)],
    Role.SHOP: [(52, 60, 70), (92, 62, 44), (40, 70, 62), (74, 78, 88)],
    Role.AWNING: [(190, 48, 44), (40, 110, 84), (226, 190, 90), (60, 84, 150)],
    Role.FENCE_POST: [(70, 74, 78), (236, 232, 224), (112, 82, 56)],
    Role.FENCE_PANEL: [(112, 118, 122), (206, 200, 190), (150, 112, 78)],
    Role.POLE_METAL: [(96, 100, 104)],
    Role.SIGN_FACE: [(244, 244, 244), (40, 84, 186), (250, 214, 40), (196, 36, 34)],
    Role.SIGN_RIM: [(206, 32, 32), (236, 236, 240), (30, 30, 30), (240, 240, 240)],
    Role.SIGNAL_BOX: [(24, 26, 26)],
    Role.LAMP_RED: [(255, 56, 40)],
    Role.LAMP_GREEN: [(70, 250, 150)],
    Role.LAMP_OFF: [(66, 58, 48)],
    Role.TRUNK: [(92, 70, 50), (78, 66, 54)],
    Role.SKIN: [(232, 190, 160), (196, 146, 112), (142, 96, 68), (100, 66, 48)],
    Role.HAIR: [(40, 30, 24), (96, 64, 38), (196, 160, 96), (30, 30, 34)],
    Role.GLASS: [(40, 50, 62)],
    Role.TYRE: [(24, 24, 26)],
    Role.RIM: [(150, 152, 156)],
    Role.HEADLAMP: [(255, 250, 226)],
    Role.TAIL_LAMP: [(214, 26, 26)],
    Role.DARK_TRIM: [(36, 36, 40)],
    Role.PLATE: [(236, 236, 226)],
    Role.CYCLE_FRAME: [(196, 40, 40), (40, 80, 170), (30, 30, 32), (230, 230, 230), (40, 140, 90)],
    Role.HELMET: [(230, 230, 234), (40, 40, 44), (200, 44, 40), (250, 200, 40)],
    Role.STRIPE: [(236, 236, 236), (216, 52, 44), (44, 92, 180), (250, 196, 40), (40, 130, 80)],
}

SYNTHETIC = {
    Role.ASPHALT: [(84, 86, 94)],
    Role.LANE_MARK: [(244, 244, 244)],
    Role.CENTRE_MARK: [(250, 206, 60)],
    Role.RAIL: [(150, 154, 164)],
    Role.PAVING: [(186, 178, 170)],
    Role.KERB: [(220, 216, 210)],
    Role.GRASS: [(104, 176, 62)],
    Role.FACADE: [
        (238, 206, 150),
        (214, 112, 82),
        (240, 226, 200),
        (156, 190, 220),
        (230, 160, 140),
        (250, 238, 220),
        (204, 140, 90),
        (178, 160, 200),
    ],
    Role.ROOF: [(168, 72, 54), (96, 92, 104)],
    Role.MASONRY: [(198, 104, 72), (190, 176, 150)],
    Role.COPING: [(226, 214, 196)],
    Role.LEAF: [(54, 140, 44), (78, 164, 52), (42, 118, 52), (96, 160, 40)],
    Role.FAR_HILL: [(86, 138, 112), (104, 150, 130)],
    Role.SHIRT: [
        (222, 50, 50),
        (50, 110, 220),
        (250, 210, 60),
        (240, 240, 240),
        (60, 170, 100),
        (230, 110, 190),
    ],
    Role.TROUSERS: [(40, 54, 110), (60, 60, 66), (120, 96, 70), (30, 30, 36)],
    Role.CAR_PAINT: [
        (214, 34, 38),
        (40, 96, 214),
        (240, 240, 244),
        (250, 190, 30),
        (36, 38, 44),
        (60, 160, 90),
        (180, 186, 196),
        (230, 110, 40),
    ],
    Role.CARGO_BOX: [(240, 240, 240), (70, 130, 210), (240, 200, 70), (210, 80, 60)],
    Role.BUS_PAINT: [(236, 60, 50), (60, 120, 210), (250, 200, 50)],
    Role.TRAM_PAINT: [(240, 236, 210), (60, 150, 120), (220, 70, 60)],
    Role.MOTO_PAINT: [(220, 40, 40), (40, 80, 210), (30, 30, 34), (250, 170, 30)],
    Role.BONNET: [(60, 60, 66)],
}

AMERICAN = {
    Role.ASPHALT: [(116, 112, 108), (96, 94, 94)],
    Role.LANE_MARK: [(226, 222, 210)],
    Role.CENTRE_MARK: [(226, 172, 36)],
    Role.RAIL: [(140, 134, 126)],
    Role.PAVING: [(190, 182, 168)],
    Role.KERB: [(206, 200, 188)],
    Role.GRASS: [(138, 142, 78)],
    Role.FACADE: [
        (206, 184, 150),
        (150, 82, 62),
        (226, 216, 198),
        (172, 150, 124),
        (128, 104, 88),
        (196, 168, 134),
        (164, 100, 74),
        (156, 164, 162),
    ],
    Role.ROOF: [(92, 82, 76), (120, 96, 80)],
    Role.MASONRY: [(176, 150, 122), (150, 92, 72)],
    Role.COPING: [(206, 194, 174)],
    Role.LEAF: [(70, 96, 46), (92, 112, 56), (60, 84, 50), (112, 116, 58)],
    Role.FAR_HILL: [(112, 116, 92), (126, 120, 104)],
    Role.SHIRT: [(180, 60, 56), (70, 96, 140), (220, 216, 206), (50, 52, 58), (120, 130, 90), (200, 160, 90)],
    Role.TROUSERS: [(58, 70, 100), (50, 48, 50), (130, 112, 88), (34, 34, 38)],
    Role.CAR_PAINT: [
        (232, 232, 230),
        (40, 42, 46),
        (150, 152, 156),
        (130, 36, 36),
        (52, 70, 104),
        (196, 190, 178),
        (90, 92, 96),
        (70, 82, 70),
    ],
    Role.CARGO_BOX: [(232, 230, 224), (214, 190, 120), (150, 160, 170), (180, 80, 60)],
    Role.BUS_PAINT: [(240, 176, 40), (226, 226, 222), (70, 110, 150)],
    Role.TRAM_PAINT: [(206, 206, 202), (150, 60, 56), (90, 120, 140)],
    Role.MOTO_PAINT: [(40, 40, 44), (150, 40, 38), (60, 70, 100), (190, 130, 50)],
    Role.BONNET: [(52, 50, 50)],
}

EUROPEAN = {
    Role.ASPHALT: [(142, 144, 146), (128, 130, 130)],
    Role.LANE_MARK: [(216, 218, 214)],
    Role.CENTRE_MARK: [(212, 214, 210)],
    Role.RAIL: [(92, 90, 88)],
    Role.PAVING: [(120, 112, 112), (136, 124, 118)],
    Role.KERB: [(168, 166, 164)],
    Role.GRASS: [(112, 116, 70)],
    Role.FACADE: [
        (150, 140, 124),
        (112, 104, 98),
        (178, 168, 146),
        (134, 100, 84),
        (96, 96, 100),
        (166, 150, 118),
        (128, 128, 124),
        (190, 184, 172),
    ],
    Role.FACADE_TRIM: [(150, 146, 138), (120, 116, 112), (176, 172, 164)],
    Role.WINDOW: [(52, 58, 62), (84, 92, 96), (120, 128, 130), (40, 44, 48)],
    Role.ROOF: [(112, 66, 54), (76, 70, 70)],
    Role.MASONRY: [(116, 110, 102), (120, 84, 70)],
    Role.COPING: [(146, 142, 134)],
    Role.LEAF: [(92, 92, 44), (70, 78, 48), (120, 100, 46), (58, 66, 44)],
    Role.FAR_HILL: [(120, 128, 116), (132, 136, 128)],
    Role.SHIRT: [(46, 48, 56), (90, 40, 44), (60, 74, 100), (130, 124, 112), (36, 36, 40), (170, 60, 50)],
    Role.TROUSERS: [(36, 40, 54), (28, 28, 32), (84, 80, 74), (50, 56, 70)],
    Role.CAR_PAINT: [
        (36, 38, 42),
        (158, 162, 166),
        (60, 66, 80),
        (206, 208, 208),
        (90, 30, 34),
        (78, 82, 84),
        (36, 52, 84),
        (120, 124, 122),
    ],
    Role.CARGO_BOX: [(196, 198, 196), (96, 116, 140), (190, 170, 90), (130, 130, 128)],
    Role.BUS_PAINT: [(196, 186, 120), (170, 60, 54), (190, 192, 190)],
    Role.TRAM_PAINT: [(190, 170, 80), (150, 40, 44), (190, 190, 178)],
    Role.MOTO_PAINT: [(34, 34, 38), (120, 36, 36), (56, 66, 90), (150, 152, 154)],
    Role.BONNET: [(56, 60, 60)],
}

_BY_LOOK = {"synthetic": SYNTHETIC, "american": AMERICAN, "european": EUROPEAN}

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
    colours = COMMON | _BY_LOOK[look]
    table = np.zeros((len(Role), MAX_TINTS, 3), np.uint8)
    for role in Role:
        choices = colours[role]
        table[role] = [choices[i % len(choices)] for i in range(MAX_TINTS)]
    return table


@functools.cache
def roughness_table() -> np.ndarray:
    """Texture of each role, float32 [roles, 2]: fine grain and blotches."""
    table = np.full((len(Role), 2), 0.015, np.float32)
    for role, amounts in _ROUGHNESS.items():
        table[role] = amounts
    return table
