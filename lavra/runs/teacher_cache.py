"""What a teacher says of a run, from a folder of `lavra distill --cache`, or written to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lavra.base.card import CARD_FILE
from lavra.base.errors import InputError
from lavra.base.ports import Progress
from lavra.distillation.cache import TeacherCache, TeacherCacheConfig, write_teacher_cache
from lavra.distillation.head_cache import HeadCache, write_head_cache
from lavra.model import Model
from lavra.model.heads import TaskModel
from lavra.train.identity import weights_id


def cached_teacher(
    teacher: Model | TaskModel, batches: Any, folder: Path, config: TeacherCacheConfig, progress: Progress
) -> TeacherCache | HeadCache:
    """The cache that a folder holds, where it is this teacher's; a new one where there is none.

    A task's head is asked about texts that are not there; a language model's cache holds the run, or is refused.

    Args:
        teacher: in this process.
        batches: the run's own.
        folder: of the cache.
        config: the run's batches, and what is kept of a language model's distributions.
        progress: told how many batches the teacher was asked about.

    Raises:
        InputError: the folder holds something else, another teacher's words, or not those of this run.
    """
    if not folder.exists():
        return _write(teacher, batches, folder, config, progress)
    if not (folder / CARD_FILE).exists():
        raise InputError(f"{folder} exists and lavra did not write it; name another folder for the cache")
    found = HeadCache(folder) if isinstance(teacher, TaskModel) else TeacherCache(folder)
    if found.teacher != weights_id(teacher):
        raise InputError(f"{folder} was kept of another teacher; name another folder for the cache, or delete it")
    kept = None if isinstance(found, HeadCache) else (found.top_k, found.temperature)
    if kept is not None and kept != (config.top_k, config.temperature):
        raise InputError(
            f"{folder} has the {kept[0]} likeliest tokens at temperature {kept[1]} and the run wants {config.top_k} at "
            f"{config.temperature}; name another folder for the cache, or delete it"
        )
    if isinstance(found, HeadCache):
        assert isinstance(teacher, TaskModel)
        an_epoch = min(config.num_batches, len(batches))
        if any(found.lacks(batches.batch(number)) for number in range(an_epoch)):
            return write_head_cache(teacher, batches, folder, config.num_batches, progress, known=found)
        return found
    for number in {0, config.num_batches - 1}:
        found.check(batches.batch(number))
    return found


def _write(
    teacher: Model | TaskModel, batches: Any, folder: Path, config: TeacherCacheConfig, progress: Progress
) -> TeacherCache | HeadCache:
    if isinstance(teacher, TaskModel):
        return write_head_cache(teacher, batches, folder, config.num_batches, progress)
    return write_teacher_cache(teacher, batches, folder, config, progress)
