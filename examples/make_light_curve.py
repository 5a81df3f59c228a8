"""Makes data/t.npy and data/flux.npy: a star whose brightness varies with a period of 0.7321 days, observed on 30
irregular nights, with noise, outliers (passing satellites) and missing values. Needs NumPy.

    python3 make_light_curve.py
"""
import pathlib

import numpy as np

PERIOD = 0.7321  # days: 1.36593 a day

random = np.random.default_rng(20120214)
n = 3000
nights = np.sort(random.choice(45, 30, replace=False))
t = np.sort(nights[random.integers(0, len(nights), n)] + random.uniform(0.0, 0.4, n))
flux = 1000 + 12 * np.sin(2 * np.pi * t / PERIOD + 0.4) + 3 * np.sin(4 * np.pi * t / PERIOD) + random.normal(0, 8, n)
flux[random.choice(n, 40, replace=False)] += random.uniform(200, 900, 40)
flux[random.choice(n, 60, replace=False)] = np.nan

data = pathlib.Path(__file__).parent / "data"
data.mkdir(exist_ok=True)
np.save(data / "t.npy", t)
np.save(data / "flux.npy", flux.astype(np.float32))
