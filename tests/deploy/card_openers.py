"""Runtimes that do nothing, for the processes in which a card is measured; see card_test.py."""

import os

import numpy as np


def openable(output, told, name, threads, fails=""):
    """A run that writes down what it is asked; `fails`: when it does not."""
    held = []

    def note(what):
        with open(told, "a") as file:
            file.write(f"{name} {what}\n")

    def run(picture):
        note(f"{output} {len(os.sched_getaffinity(0))} {'x'.join(map(str, picture.shape))}")
        if fails == output:
            raise ValueError("cannot be run\nat all")
        if fails == "dies":
            os._exit(3)
        if output == "labels" and not held:
            held.append(bytearray(b"1") * (60 << 20))
        print("noise that no library should make", flush=True)
        return np.full(picture.shape[:3], threads, np.uint8)

    note(f"loads {output}")
    return run
