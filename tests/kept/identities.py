"""Identities that are hashes of settings: the code's results for fixed settings.

This is the only file of the folder with imports of lavra's modules: it changes with the code, and its results do not.
`identities.json` holds the results of the code that made the kept files.
"""

from __future__ import annotations

from pathlib import Path

from lavra.base.config import to_mapping
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import stage_key
from lavra.pipeline.up import up_stages
from lavra.train.config import OptimizerConfig, TrainConfig
from lavra.train.schedule import ScheduleConfig
from tests.kept.expected import hash_json, up_settings

ANCESTOR = "0123456789abcdef"  # in the place of every parent's card id
RUNS = {
    "llama": {},
    "llama, other settings": {
        "fim_rate": 0.5,
        "seed": 3,
        "split_seed": 2,
        "step_tokens": 2048,
        "accumulation": 2,
        "optimizer": "adamw",
        "learning_rate": 0.002,
        "activation_checkpointing": True,
        "num_samples": 3,
        "budget": 600.0,
    },
    "bert": {},
    "bert, other settings": {"whole_words": True, "mask_share": 0.3},
    "t5": {},
}
TRAINING = {
    "usual": TrainConfig(num_steps=100),
    "everything": TrainConfig(
        num_steps=7,
        accumulation=2,
        optimizer=OptimizerConfig(kind="adamw", learning_rate=1e-3, embedding_learning_rate=2e-3, weight_decay=0.2),
        schedule=ScheduleConfig(kind="wsd", warmup=0.1, decay=0.5),
        clip_norm=0.5,
        precision="bf16",
        compile="off",
        activation_checkpointing=True,
        eval_every=5,
        patience=2,
        save_every=3,
        keep_checkpoints=1,
        seed=4,
    ),
}


def stage_keys(config: UpConfig) -> dict[str, str]:
    stages = up_stages(config, lambda *_: None)
    return {stage.name: stage_key(stage, dict.fromkeys(stage.needs, ANCESTOR)) for stage in stages}


def identities(text: Path) -> dict[str, object]:
    """Stage keys of several runs of `up` over a text, and hashes of training settings."""
    runs = {
        name: stage_keys(UpConfig(text=text, **{**up_settings(name.partition(",")[0]), **changes}))
        for name, changes in RUNS.items()
    }
    training = {name: hash_json(to_mapping(config)) for name, config in TRAINING.items()}
    return {"stages": runs, "training": training}
