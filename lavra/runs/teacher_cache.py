"""A teacher's outputs for the batches of a run: read from the folder of `lavra distill --cache`, or written to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lavra.base.card import CARD_FILE
from lavra.base.errors import InputError
from lavra.base.ports import Progress
from lavra.distillation.cache import TeacherCache, TeacherCacheConfig, write_teacher_cache
from lavra.distillation.head_cache import HeadCache, write_head_cache
from lavra.model.build import Model
from lavra.model.heads import TaskModel
from lavra.train.identity import weights_id


def cached_teacher(
    teacher: Model | TaskModel, batches: Any, folder: Path, config: TeacherCacheConfig, progress: Progress
) -> TeacherCache | HeadCache:
    """The cache that a folder holds, where it is this teacher's; a new one where there is none.

    The cache of a task's head grows by the texts that it lacks; a language model's cache holds the whole run, or is
    refused.

    Args:
        teacher: in this process.
        batches: the run's own.
        folder: folder of the cache.
        config: the run's batches, and the part of a language model's distributions to keep.
        progress: shows the number of batches that the teacher has computed.

    Raises:
        InputError: the folder holds something else, another teacher's outputs, or those of another run.
    """
    if folder.exists() and not (folder / CARD_FILE).exists():
        raise InputError(f"{folder} exists and lavra did not write it; name another folder for the cache")
    if isinstance(teacher, TaskModel):
        return _head_cache(teacher, batches, folder, config.num_batches, progress)
    return _token_cache(teacher, batches, folder, config, progress)


def _head_cache(teacher: TaskModel, batches: Any, folder: Path, num_batches: int, progress: Progress) -> HeadCache:
    if not folder.exists():
        return write_head_cache(teacher, batches, folder, num_batches, progress)
    found = HeadCache(folder)
    _refuse_other_teacher(found, teacher)
    an_epoch = min(num_batches, len(batches))
    if any(found.lacks(batches.batch(number)) for number in range(an_epoch)):
        return write_head_cache(teacher, batches, folder, num_batches, progress, known=found)
    return found


def _token_cache(
    teacher: Model, batches: Any, folder: Path, config: TeacherCacheConfig, progress: Progress
) -> TeacherCache:
    if not folder.exists():
        return write_teacher_cache(teacher, batches, folder, config, progress)
    found = TeacherCache(folder)
    _refuse_other_teacher(found, teacher)
    if (found.top_k, found.temperature) != (config.top_k, config.temperature):
        raise InputError(
            f"{folder} has the {found.top_k} likeliest tokens at temperature {found.temperature} and the run wants "
            f"{config.top_k} at {config.temperature}; name another folder for the cache, or delete it"
        )
    for number in {0, config.num_batches - 1}:
        found.check(batches.batch(number))
    return found


def _refuse_other_teacher(found: TeacherCache | HeadCache, teacher: Model | TaskModel) -> None:
    if found.teacher != weights_id(teacher):
        raise InputError(
            f"{found.folder} was written for another teacher; name another folder for the cache, or delete it"
        )
