"""Predictions as points: what a map of outputs is made of."""

import warnings

import numpy as np
import torch

from landscape_widgets.objective.probe import features


def test_outputs_that_cannot_be_written_to_are_read_without_a_warning_and_left_alone():
    outputs = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
    outputs.flags.writeable = False
    before, always = outputs.copy(), torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = features(outputs, None, lambda: 2.0)
    finally:
        torch.set_warn_always(always)
    np.testing.assert_array_equal(outputs, before)
    np.testing.assert_allclose(found, outputs.reshape(5, 12) / (2.0 * 4**0.5), rtol=1e-6)
