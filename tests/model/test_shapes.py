"""Shapes from a configuration equal those of torch's modules for it."""

import pytest
import torch

from lavra.model.build import new_model
from lavra.model.config_files import load_config
from lavra.model.shapes import parameter_shapes
from tests.model.variants import ALL, save_theirs, theirs


@pytest.mark.parametrize("variant", ALL, ids=str)
def test_every_parameter_of_every_variant(variant, tmp_path):
    config = load_config(save_theirs(theirs(variant), tmp_path))
    with torch.device("meta"):
        modules = new_model(config)
    assert parameter_shapes(config) == {name: tuple(one.shape) for name, one in modules.named_parameters()}
