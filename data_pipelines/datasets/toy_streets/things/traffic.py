"""What is on the road: moving, crossing and parked vehicles, riders, and people who cross."""

from random import Random

from data_pipelines.datasets.toy_streets.drawing.materials import SceneObject
from data_pipelines.datasets.toy_streets.looks import StreetLayout
from data_pipelines.datasets.toy_streets.things import people, vehicles
from data_pipelines.datasets.toy_streets.things.ground_plan import Street

SMALL = ("car", "car", "van")


def traffic(rand: Random, layout: StreetLayout, street: Street) -> list[SceneObject]:
    """Fills the road; whatever would touch something that is there already is left out."""
    lanes = _Road(street.eye_x)
    _large_vehicles(rand, layout, street, lanes)
    if street.junction and rand.random() < 0.6:
        _crossing_vehicle(rand, street, lanes)
    for _ in range(rand.randint(*layout.riders)):
        x, z = rand.choice((-1, 1)) * (street.half_width - rand.uniform(2.3, 2.9)), rand.uniform(6.0, 15)
        if lanes.claim(x - 0.9, x + 0.9, z - 1, z + 1):
            motor = rand.random() < layout.motor_rider
            lanes.things.append(people.rider(rand, x, z, street.eye_x, motor))
    for _ in range(rand.randint(0, 5)):
        if rand.random() < 0.5 and street.oncoming_x is not None:
            lanes.add(rand, rand.choice(SMALL), street.oncoming_x, rand.uniform(9, 45), vehicles.FRONT)
        else:
            kind = rand.choice(SMALL)
            lanes.add(rand, kind, rand.choice(street.forward_lanes), rand.uniform(9, 40), vehicles.REAR)
    _parked_cars(rand, layout, street, lanes)
    if rand.random() < 0.3:
        x, z = street.eye_x + rand.uniform(-4, 4), rand.uniform(8, 16)
        if lanes.claim(x - 0.5, x + 0.5, z - 0.5, z + 0.5):
            lanes.things.append(people.person(rand, x, z, 0.0))
    return lanes.things


class _Road:
    """The things on the road and the rectangles they take, so that they neither touch nor hide wrongly."""

    def __init__(self, eye_x: float):
        self.eye_x, self.things, self._taken = eye_x, [], []
        self.claim(eye_x - 1.2, eye_x + 1.2, -10, 7)  # the ego car and a gap in front of it

    def claim(self, x0: float, x1: float, z0: float, z1: float) -> bool:
        """Takes a rectangle if it is free."""
        if any(x0 < b and a < x1 and z0 < d and c < z1 for a, b, c, d in self._taken):
            return False
        self._taken.append((x0, x1, z0, z1))
        return True

    def add(self, rand: Random, kind: str, x: float, z: float, end: str) -> None:
        """Puts a vehicle on its lane if there is room.

        A long one also takes the road between it and the camera's line: what stood there would be nearer than
        its middle but farther than its end, which no sorting by depth gets right.
        """
        vehicle, eye = vehicles.VEHICLES[kind], self.eye_x
        left, right = (min(x, eye), max(x, eye)) if vehicle.length > 6 else (x, x)
        if self.claim(left - 1.4, right + 1.4, z - 1.0, z + vehicle.length + 1.0):
            self.things.append(vehicles.place(kind, rand, x, z, eye, end))


def _large_vehicles(rand: Random, layout: StreetLayout, street: Street, lanes: _Road) -> None:
    kinds = rand.sample(sorted(layout.large_vehicles.items()), len(layout.large_vehicles))
    for kind, chance in kinds:
        if rand.random() < chance:
            if rand.random() < 0.55 and street.oncoming_x is not None:
                lanes.add(rand, kind, street.oncoming_x, rand.uniform(8, 17), vehicles.FRONT)
            else:
                lanes.add(rand, kind, rand.choice(street.forward_lanes), rand.uniform(10, 22), vehicles.REAR)


def _crossing_vehicle(rand: Random, street: Street, lanes: _Road) -> None:
    kind = rand.choice(("car", "car", "van", "truck", "bus"))
    x, z = street.eye_x + rand.uniform(-7, 7), (street.junction[0] + street.junction[1]) / 2
    if lanes.claim(-30, 30, z - 2, z + 4):
        end = rand.choice((vehicles.FRONT, vehicles.REAR))
        lanes.things.append(vehicles.place(kind, rand, x, z, street.eye_x, end, crossing=True))


def _parked_cars(rand: Random, layout: StreetLayout, street: Street, lanes: _Road) -> None:
    for side, end in ((-1, vehicles.FRONT), (1, vehicles.REAR)):
        z = rand.uniform(4, 9)
        while z < 50:
            kind = "van" if rand.random() < 0.25 else "car"
            wanted = rand.random() < layout.parked_cars
            if wanted and not street.in_junction(z) and not street.in_junction(z + 5):
                lanes.add(rand, kind, side * (street.half_width - 1.05), z, end)
            z += rand.uniform(5.8, 8)
