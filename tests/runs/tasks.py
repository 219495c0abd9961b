"""Tiny tasks that can be learned, one for each `--task` of `lavra finetune`, and tiny models to train."""

import json
import random
from functools import cache

import torch

from lavra.adapt.methods.bottleneck import BottleneckConfig
from lavra.adapt.methods.ia3 import IA3Config
from lavra.adapt.methods.lora import LoraConfig
from lavra.adapt.methods.prefix import PrefixConfig
from lavra.adapt.methods.prompt import PromptConfig
from lavra.model.build import build_model
from lavra.model.checkpoint import save_checkpoint
from lavra.model.families import table as families
from lavra.model.families.table import preset
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.train import train_tokenizer

GOOD, BAD = ("good", "fine", "great", "lovely"), ("bad", "poor", "awful", "sad")
NAMES, PLACES = ("ana", "rui", "eva", "leo"), ("lisbon", "porto", "braga", "faro")
WORDS = ("the", "film", "was", "a", "day", "in", "and", "saw", "who", "where", "is", "it")
TEXTS = [" ".join((*GOOD, *BAD, *NAMES, *PLACES, *WORDS))] * 30


@cache
def tokenizer(family):
    made = train_tokenizer(TEXTS, TokenizerConfig(kind=families.family(family).tokenizer, vocab_size=500))
    return made.with_chat_template(DEFAULT_CHAT_TEMPLATE) if family == "llama" else made


def base_folder(folder, family="bert", seed=0):
    """A fresh tiny model with its tokenizer."""
    words = tokenizer(family)
    config = preset(family, vocab_size=words.vocab_size, hidden_size=32, num_layers=2, num_heads=2, max_positions=96)
    ids = {"pad_id": words.pad_id, "bos_id": words.bos_id, "eos_ids": () if words.eos_id is None else (words.eos_id,)}
    if family == "t5":
        ids["decoder_start_id"] = words.pad_id
    torch.manual_seed(seed)
    save_checkpoint(build_model(type(config)(**{**vars(config), **ids})), folder)
    words.save(folder)
    return folder


def rows(task, count=160, seed=0):
    """Labelled rows as in a user's jsonl file."""
    draw = random.Random(seed)
    return [_MAKERS[task](draw) for _ in range(count)]


def write(path, found):
    path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    return path


def _sentiment(draw):
    label = draw.choice(["yes", "no"])
    words = [draw.choice(WORDS) for _ in range(draw.randint(2, 8))]
    words.insert(draw.randint(0, len(words)), draw.choice(GOOD if label == "yes" else BAD))
    return {"text": " ".join(words), "label": label}


def _several(draw):
    labels = [name for name, words in (("good", GOOD), ("bad", BAD)) if draw.random() < 0.5]
    words = [draw.choice(WORDS) for _ in range(4)]
    words += [draw.choice({"good": GOOD, "bad": BAD}[label]) for label in labels]
    return {"text": " ".join(words), "labels": labels}


def _number(draw):
    words = [draw.choice(GOOD if draw.random() < 0.5 else BAD) for _ in range(4)]
    return {"text": " ".join(words), "label": sum(word in GOOD for word in words) / 4 + 0.001}


def _pair(draw):
    first, second = draw.choice([*GOOD, *BAD]), draw.choice([GOOD, BAD])
    pair = {"sentence1": f"the {first} day", "sentence2": f"it was {draw.choice(second)}"}
    return {**pair, "label": "yes" if second is GOOD else "no"}


def _names(draw):
    words, tags = [], []
    for _ in range(draw.randint(3, 8)):
        kind = draw.random()
        word, tag = draw.choice(WORDS), "O"
        if kind < 0.2:
            word, tag = draw.choice(NAMES), "B-PER"
        elif kind < 0.4:
            word, tag = draw.choice(PLACES), "B-LOC"
        words.append(word)
        tags.append(tag)
    return {"tokens": words, "ner_tags": tags}


def _question(draw):
    words = [draw.choice(WORDS) for _ in range(5)]
    words.insert(draw.randint(0, 4), draw.choice(NAMES))
    context = " ".join(words)
    name = next(word for word in words if word in NAMES)
    answers = {"text": [name], "answer_start": [context.index(name)]}
    return {"id": str(draw.random()), "question": "who is it", "context": context, "answers": answers}


def _choice(draw):
    label = draw.randint(0, 1)
    endings = [draw.choice(BAD), draw.choice(BAD)]
    endings[label] = draw.choice(GOOD)
    return {"question": "the film was", "choices": endings, "label": label}


def _near(draw):
    place = draw.randrange(4)
    extra = " ".join(draw.choice(WORDS) for _ in range(3))
    return {"anchor": f"{NAMES[place]} {extra}", "positive": f"{PLACES[place]} {draw.choice(WORDS)} {extra}"}


def _relevant(draw):
    right = draw.random() < 0.5
    passage = f"in {draw.choice(PLACES)} a {draw.choice(GOOD if right else BAD)} day"
    return {"query": f"where is {draw.choice(NAMES)}", "passage": passage, "label": int(right)}


def _chat(draw):
    place = draw.randrange(4)
    ask = {"role": "user", "content": f"where is {NAMES[place]} {draw.choice(WORDS)} {draw.choice(WORDS)}"}
    return {"messages": [ask, {"role": "assistant", "content": f"in {PLACES[place]}"}]}


def _rewrite(draw):
    place = draw.randrange(4)
    return {"source": f"where is {NAMES[place]} {draw.choice(WORDS)}", "target": f"in {PLACES[place]}"}


METHODS = {
    "lora": LoraConfig(),
    "dora": LoraConfig(dora=True),
    "ia3": IA3Config(),
    "houlsby": BottleneckConfig.houlsby(8),
    "pfeiffer": BottleneckConfig.pfeiffer(8),
    "prompt": PromptConfig(num_tokens=4),
    "prefix": PrefixConfig(num_tokens=4),
}
"""Every method of `lavra finetune` that trains an adapter, small."""

_MAKERS = {
    "classify": _sentiment,
    "several": _several,
    "number": _number,
    "pair": _pair,
    "ner": _names,
    "qa": _question,
    "choice": _choice,
    "embed": _near,
    "rerank": _relevant,
    "chat": _chat,
    "text2text": _rewrite,
}
