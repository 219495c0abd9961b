"""Flags of other programs (transformers, vLLM, llama.cpp, ollama, axolotl), and lavra's flag for each.

The module is one table.  A word leads to the first of its flags that the verb has; where the verb has none of them, to
a sentence that describes lavra's way.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

PLACE: Final = "is given by place, as the first argument"


class Synonym(NamedTuple):
    """Words of other programs, and the flags of lavra for them.

    Attributes:
        words: other programs' flags, separated by blanks.
        flags: lavra's flags, the likeliest first, separated by blanks.
        otherwise: lavra's way where the verb has none of the flags; empty where there is nothing to say.
    """

    words: str
    flags: str = ""
    otherwise: str = ""


_DEVICE: Final = "training runs on a GPU where torch finds one; CUDA_VISIBLE_DEVICES chooses it, or hides it"
_HALF: Final = "a model computes in the type it is stored in; `lavra compress MODEL --to bf16` makes a smaller one"
_PACKED: Final = "`lavra compress MODEL --to int8` (or int4) makes a smaller model, which every verb opens"
_PROCESSES: Final = "one process computes on one device; `lavra pretrain --parallel ddp` under torchrun uses several"
_RESUME: Final = "the same command again goes on from the last checkpoint"
_THREADS: Final = "as many threads as cores are free; OMP_NUM_THREADS sets another number"

SYNONYMS: Final = (
    # Subject, length and speed of training.
    Synonym("lr learning-rate peak-lr max-lr", "--learning-rate", "nothing is trained here"),
    Synonym("epochs num-epochs num-train-epochs n-epochs epoch", "--epochs --budget", "nothing is trained here"),
    Synonym("steps max-steps num-steps train-steps iters max-iters iterations total-steps", "--steps --budget"),
    Synonym("time max-time time-limit minutes hours", "--budget", "--epochs or --steps say how long"),
    Synonym(
        "batch-size batchsize bs b per-device-train-batch-size train-batch-size micro-batch-size ubatch-size"
        " per-gpu-train-batch-size",
        "--batch-size --step-tokens --max-running",
    ),
    Synonym(
        "gradient-accumulation-steps grad-accum gradient-accumulation accumulate-grad-batches grad-accum-steps",
        "--accumulation",
    ),
    Synonym("wd decay", "--weight-decay"),
    Synonym("warmup-ratio warmup-steps lr-warmup", "--warmup", "the schedule belongs to the plan of the budget"),
    Synonym("optim opt", "--optimizer", "matrices are trained by AdamW"),
    Synonym(
        "gradient-checkpointing grad-checkpointing grad-checkpoint activation-checkpoint recompute",
        "--activation-checkpointing",
        "--accumulation with a smaller --batch-size saves memory",
    ),
    Synonym("torch-compile compile-model", "--compile"),
    Synonym("val-size validation-split val-set-size test-size eval-split dev-size", "--heldout-fraction"),
    Synonym("validation-file eval-file val-file val-data test-file test-data dev-file", "--heldout --text"),
    Synonym("eval-steps eval-interval val-check-interval evaluation-steps", "--eval-every", "four looks are taken"),
    Synonym("save-steps save-interval checkpoint-every save-freq", "--save-every", "checkpoints come by themselves"),
    Synonym("early-stopping-patience early-stopping", "--patience", "the budget says when it ends"),
    Synonym("logging-steps log-every log-interval", "", "every step is a line of metrics.jsonl in the run's folder"),
    Synonym("report-to logger log-dir logging-dir tensorboard-dir", "--tensorboard", "metrics.jsonl has every step"),
    Synonym("wandb use-wandb wandb-project mlflow", "--tensorboard", "nothing is sent; metrics.jsonl has it all"),
    Synonym("resume resume-from-checkpoint resume-from continue checkpoint", "", _RESUME),
    Synonym("dry-run check-only validate", "--check", "`lavra doctor` checks a run before it is made"),
    # Methods.
    Synonym("lora-r lora-rank r", "--rank"),
    Synonym("lora-alpha", "--alpha"),
    Synonym("lora-dropout", "--dropout"),
    Synonym("lora-target-modules target-modules lora-target", "--targets"),
    Synonym("use-lora lora peft use-peft qlora tuner finetuning-type peft-type", "--method --adapter"),
    Synonym("lora-modules lora-path adapter-path adapter-name-or-path", "--adapter --base"),
    Synonym("objective task-type problem-type", "--task --family"),
    # Sizes of a model.
    Synonym("d-model n-embd embedding-dim width dim dmodel emb-dim", "--hidden-size"),
    Synonym("n-layer n-layers layers depth num-hidden-layers", "--num-layers"),
    Synonym("vocab vocabulary-size n-vocab", "--vocab-size", "the tokenizer of the model says it"),
    Synonym("arch architecture model-type", "--family", "config.json of the model says it"),
    Synonym("algorithm tokenizer-type model-kind", "--kind"),
    # Lengths.
    Synonym("max-new-tokens n-predict num-predict max-gen-len max-completion-tokens predict", "--max-tokens"),
    Synonym("min-new-tokens min-length", "", "a text may end when the model ends it"),
    Synonym(
        "max-length max-seq-length max-seq-len seq-length seq-len ctx-size context-length max-model-len n-ctx num-ctx"
        " cutoff-len sequence-len block-length model-max-length max-position-embeddings",
        "--sequence-length --context --max-tokens --cache-tokens",
        "the model's own context is used",
    ),
    # Numbers, devices, processes.
    Synonym("fp16 half float16", "--dtype --precision", _HALF),
    Synonym("bf16 bfloat16", "--dtype --precision", _HALF),
    Synonym("fp32 float32 tf32", "--dtype --precision", _HALF),
    Synonym("torch-dtype load-dtype data-type mixed-precision amp", "--dtype --precision", _HALF),
    Synonym("device cuda gpu cpu no-cuda use-cpu use-cuda mps device-map", "--device", _DEVICE),
    Synonym(
        "quantize quantization load-in-4bit load-in-8bit quant bits wbits int8 int4 type format outtype",
        "--to",
        _PACKED,
    ),
    Synonym("kv-cache-dtype cache-type-k cache-type-v ctk ctv kv-cache-type", "--cache-type", _PACKED),
    Synonym(
        "num-gpus gpus n-gpus tensor-parallel-size tp data-parallel-size nproc-per-node num-processes world-size"
        " fsdp ddp deepspeed",
        "--parallel",
        _PROCESSES,
    ),
    Synonym("n-gpu-layers gpu-layers ngl num-gpu", "--device", "a model is on one device as a whole"),
    Synonym("gpu-memory-utilization swap-space kv-cache-memory", "--cache-tokens", "memory is taken as it is needed"),
    Synonym("threads num-threads n-threads num-workers dataloader-num-workers num-proc workers jobs", "", _THREADS),
    Synonym("max-num-seqs parallel-requests np concurrency max-concurrent-requests", "--max-running --batch-size"),
    Synonym("max-num-batched-tokens", "--max-batch-tokens"),
    Synonym("speculative-model draft-model model-draft assistant-model", "--draft"),
    Synonym("num-speculative-tokens draft-max num-assistant-tokens", "--draft-tokens"),
    # Places.
    Synonym(
        "output output-dir out-dir o outfile output-file output-path save-dir save-path save-to dest destination",
        "--out --workspace",
        "it prints to standard output: write `> FILE`",
    ),
    Synonym("model-name run-name name-or-path experiment", "--name", f"the model {PLACE}"),
    Synonym("name", "--name", "an index is named by --index, and a served model by place, as NAME=FOLDER"),
    Synonym("workspace", "--workspace", "the environment variable LAVRA_WORKSPACE names the workspace"),
    Synonym(
        "model m model-path model-name-or-path base-model pretrained pretrained-model model-id checkpoint-path teacher",
        "--model --start",
        f"the model {PLACE}",
    ),
    Synonym(
        "train-file dataset train-data data-path dataset-name train data-dir dataset-path train-dataset input-file"
        " corpus files input input-dir in",
        "--data --input --text",
        f"what is read {PLACE}",
    ),
    Synonym("text-column label-column text-field label-field input-column", "--columns"),
    Synonym("overwrite overwrite-output-dir force f y yes", "--replace", "nothing is overwritten"),
    Synonym("workdir work-dir project root", "--workspace"),
    Synonym("cache-dir hf-home", "", "models of the hub are where HF_HOME says"),
    Synonym("trust-remote-code", "", "no code in a model's folder is ever run"),
    Synonym("token hf-token auth-token use-auth-token", "", "the hub's own login or HF_TOKEN is used"),
    Synonym("revision branch", "", "the main revision is opened; download another one and name its folder"),
    # Writing.
    Synonym("temp t", "--temperature"),
    Synonym("do-sample sample sampling", "--temperature", "answers are the likeliest ones"),
    Synonym("repeat-penalty repetition penalty-repeat", "--repetition-penalty"),
    Synonym("beam-size beams num-beam", "--num-beams"),
    Synonym("num-return-sequences best-of num-samples num-completions", "--n --samples"),
    Synonym("stop-sequences stop-sequence stop-words stop-strings eos reverse-prompt", "--stop"),
    Synonym("system-prompt sys system-message instructions", "--system"),
    Synonym("prompt p query", "--prompt-text", "the prompt is given by place, after the model"),
    Synonym("prompt-file", "--file --data", "the prompt is given by place, after the model"),
    Synonym("instruct conversation cnv apply-chat-template interactive", "--chat", "`lavra chat MODEL` talks"),
    Synonym("stream streaming no-stream", "", "text is shown as it comes; with --json when it is done"),
    # Serving.
    Synonym("listen bind address ip", "--host"),
    Synonym("api-key api-keys", "--key-file --key-variable", "no key is asked for"),
    Synonym("served-model-name alias model-alias", "", "a model is named by place, as NAME=FOLDER"),
    Synonym("cors allowed-origins allow-origins", "--cors-origins"),
    Synonym("base-url api-base endpoint openai-api-base server", "--url"),
    Synonym("otlp-traces-endpoint otel", "--traces"),
    # The program.
    Synonym("verbose debug v", "", "LAVRA_DEBUG=1 shows the traceback behind an error"),
    Synonym("quiet silent q", "", "what is said about the work goes to standard error: write `2> FILE`"),
    Synonym("random-seed manual-seed random-state", "--seed"),
    Synonym("config-file yaml params", "--config"),
    Synonym("as-json output-format", "--json"),
)

_BY_WORD: Final[Mapping[str, Synonym]] = {word: one for one in SYNONYMS for word in one.words.split()}


def meant(flag: str, known: Collection[str]) -> str | None:
    """A remedy for a flag that a verb does not have; None for an unknown word.

    Args:
        flag: the flag as it was typed, such as `--max_new_tokens` or `-o`.
        known: flags of the verb.
    """
    word = re.sub(r"_", "-", flag).lstrip("-").lower()
    if f"--{word}" in known:
        return f"write --{word}"
    negated = word.removeprefix("no-")
    synonym = _BY_WORD.get(word) or _BY_WORD.get(negated)
    if synonym is None:
        return None
    found = next((one for one in synonym.flags.split() if one in known), None)
    if found is not None:
        return f"here it is {found}"
    return synonym.otherwise or None


def is_flag(argument: str, known: Collection[str]) -> bool:
    """Whether an argument is meant as a flag: two dashes, or a dash and a letter that some program has as a flag."""
    short = re.fullmatch(r"-[a-zA-Z]", argument) is not None and argument[1:] in _BY_WORD
    return (argument.startswith("--") or short) and argument not in known
