"""Makes power.npy: what NumPy gives for examples/light_curve.weft, every 25th of its 100,000 frequencies, and prints the
best frequency. Needs NumPy.

    python3 make_reference.py
"""
import pathlib

import numpy as np

here = pathlib.Path(__file__).parent
data = here.parent.parent / "examples" / "data"
t, flux = np.load(data / "t.npy"), np.load(data / "flux.npy")

m, s = np.nanmean(flux), np.nanstd(flux)
clean = np.where(np.abs(flux - m) > np.float32(3) * s, np.float32(np.nan), flux)
z = (clean - np.nanmean(clean)) / np.nanstd(clean)
assert z.dtype == np.float32

good = ~np.isnan(z)
freq = np.linspace(0.1, 10, 100_000)
power = np.empty_like(freq)
for i in range(0, len(freq), 1000):
    phase = 2 * np.pi * freq[i : i + 1000, None] * t[good]
    power[i : i + 1000] = (z[good] * np.cos(phase)).sum(1) ** 2 + (z[good] * np.sin(phase)).sum(1) ** 2

np.save(here / "power.npy", power[::25].copy())
print("clipped", np.count_nonzero(~good), "best frequency", freq[power.argmax()], "of power", power.max())
