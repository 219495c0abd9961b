"""Random models with heads, saved by `transformers`, with a trained tokenizer."""

import torch
import transformers as hf

from lavra.model.families import table as families
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.train import train_tokenizer
from tests.generate.tiny import TEXTS

LABELS = ("no", "maybe", "yes")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
CONFIGS = {
    "bert": (hf.BertConfig, {}, 120),
    "roberta": (hf.RobertaConfig, {"type_vocab_size": 1, "max_position_embeddings": 66}, 300),
    "llama": (hf.LlamaConfig, {}, 300),
    "gpt2": (hf.GPT2Config, {}, 300),
}
CLASSES = {
    "classify": hf.AutoModelForSequenceClassification,
    "several": hf.AutoModelForSequenceClassification,
    "number": hf.AutoModelForSequenceClassification,
    "rerank": hf.AutoModelForSequenceClassification,
    "ner": hf.AutoModelForTokenClassification,
    "qa": hf.AutoModelForQuestionAnswering,
    "choice": hf.AutoModelForMultipleChoice,
}


def _settings(kind):
    if kind in ("classify", "several"):
        problem = {"problem_type": "multi_label_classification"} if kind == "several" else {}
        return {"id2label": dict(enumerate(LABELS)), "label2id": {one: i for i, one in enumerate(LABELS)}, **problem}
    if kind == "ner":
        return {"id2label": dict(enumerate(TAGS)), "label2id": {one: i for i, one in enumerate(TAGS)}}
    if kind in ("number", "rerank"):
        return {"num_labels": 1, **({"finetuning_task": "rerank"} if kind == "rerank" else {})}
    return {}


def head_folder(kind, folder, family="bert", seed=0, texts=TEXTS):
    """A random model of a kind, as `transformers` saves it, with a tokenizer trained on some texts."""
    config, settings, vocab_size = CONFIGS[family]
    tokenizer = train_tokenizer(texts, TokenizerConfig(kind=families.family(family).tokenizer, vocab_size=vocab_size))
    sizes = {
        "vocab_size": tokenizer.vocab_size,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "max_position_embeddings": 64,
        "pad_token_id": tokenizer.pad_id if tokenizer.pad_id is not None else tokenizer.eos_id,
    }
    torch.manual_seed(seed)
    made = CLASSES[kind].from_config(config(**{**sizes, **settings, **_settings(kind)})).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() >= 2:
                parameter.normal_(std=0.15)  # logits far from flat
    made.save_pretrained(folder)
    tokenizer.save(folder)
    return folder


def peer(kind, folder):
    """The model and the tokenizer opened by `transformers`."""
    model, tokenizer = CLASSES[kind].from_pretrained(folder).eval(), hf.AutoTokenizer.from_pretrained(folder)
    if getattr(model.config, "type_vocab_size", 2) < 2:
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return model, tokenizer
