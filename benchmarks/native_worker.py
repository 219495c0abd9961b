"""A side of the native runner's benchmark, in a separate process: `native_worker.py SIDE MODEL SETTINGS`.

It answers each line of JSON that it reads.  `{"prompts": [[1, 2]], "tokens": 128, "sampled": false}` gives the seconds
of writing and the number of tokens; `{"memory": true}` gives its resident bytes.  torch is imported only where the side
needs it.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

Prompts = Sequence[Sequence[int]]


class Side(Protocol):
    """A program that writes tokens."""

    def write(self, prompts: Prompts, tokens: int, sampled: bool) -> int:
        """Continue every prompt by this many tokens, never ending early; returns the number of tokens written."""
        ...

    def facts(self) -> dict[str, Any]:
        """Facts for the record."""
        ...


class Lavra:
    """`lavra.load` and the engine, as `lavra serve` starts them."""

    def __init__(self, model: str, settings: dict[str, Any]) -> None:
        load = import_module("lavra.api.load").load
        start_engine = import_module("lavra.api.serving").start_engine
        engine = import_module("lavra.engine.config")
        cache = import_module("lavra.api.cache_config").ServingCacheConfig
        self.types = import_module("lavra.base.types")
        self.model = load(model, **({"dtype": settings["dtype"]} if settings.get("dtype") else {}))
        kept = cache(cache_tokens=settings["cache_tokens"], cache_type=settings.get("cache_type", "model"))
        self.engine = start_engine(self.model, engine.EngineConfig(prefix_cache=False), kept)

    def write(self, prompts: Prompts, tokens: int, sampled: bool) -> int:
        chosen = {"temperature": 0.8, "top_p": 0.95, "seed": 1} if sampled else {}
        sampling = self.types.SamplingConfig(**chosen)
        requests = [
            self.types.GenerateRequest(
                prompt=tuple(one), max_tokens=tokens, sampling=sampling, ignore_eos=True, logprobs=False
            )
            for one in prompts
        ]
        return sum(len(one.tokens) for [one] in self.engine.generate(requests))

    def facts(self) -> dict[str, Any]:
        native = import_module("lavra.base.native_library").native_library()
        weights = getattr(getattr(self.model, "held", None), "num_bytes", 0)
        runner = getattr(self.model, "runner", "torch")
        return {"runner": runner, "isa": native.isa if native else "", "weights": weights}


class LlamaCpp:
    """llama.cpp's server, in this process; every stream is a request of its own."""

    def __init__(self, model: str, settings: dict[str, Any]) -> None:
        peer = import_module("xllamacpp")
        params = peer.CommonParams()
        params.model.path = model
        params.n_parallel, params.n_ctx = settings["streams"], settings["streams"] * settings["context"]
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings["threads"]
        params.n_ubatch = settings["batch"]
        names = {True: "LLAMA_FLASH_ATTN_TYPE_ENABLED", False: "LLAMA_FLASH_ATTN_TYPE_DISABLED"}
        params.flash_attn_type = getattr(peer.llama_flash_attn_type, names[settings["flash"]])
        params.cache_ram_mib, params.verbosity = 0, 0
        self.server, self.system = peer.Server(params), peer.get_system_info()
        self.pool = ThreadPoolExecutor(settings["streams"])

    def write(self, prompts: Prompts, tokens: int, sampled: bool) -> int:
        chosen = {"temperature": 0.8, "top_p": 0.95, "seed": 1} if sampled else {"temperature": 0.0}
        fixed = {"max_tokens": tokens, "ignore_eos": True, "cache_prompt": False, "top_k": 0, "min_p": 0.0, **chosen}
        bodies = [{"prompt": list(one), **fixed} for one in prompts]
        return sum(
            int(one["usage"]["completion_tokens"]) for one in self.pool.map(self.server.handle_completions, bodies)
        )

    def facts(self) -> dict[str, Any]:
        return {"system": self.system}


class CTranslate2:
    """CTranslate2's generator over a converted folder."""

    def __init__(self, model: str, settings: dict[str, Any]) -> None:
        peer = import_module("ctranslate2")
        threads = {"inter_threads": 1, "intra_threads": settings["threads"]}
        self.generator = peer.Generator(model, device="cpu", compute_type=settings["type"], **threads)
        self.words = json.loads((Path(model) / "vocabulary.json").read_text(encoding="utf-8"))

    def write(self, prompts: Prompts, tokens: int, sampled: bool) -> int:
        chosen = {"sampling_temperature": 0.8, "sampling_topp": 0.95, "sampling_topk": 0} if sampled else {}
        made = self.generator.generate_batch(
            [[self.words[token] for token in one] for one in prompts],
            max_length=tokens,
            min_length=tokens,
            include_prompt_in_result=False,
            **chosen,
        )
        return sum(len(one.sequences_ids[0]) for one in made)

    def facts(self) -> dict[str, Any]:
        return {}


class OrtGenAi:
    """ONNX Runtime GenAI over a folder written by its builder."""

    def __init__(self, model: str, settings: dict[str, Any]) -> None:
        self.peer = import_module("onnxruntime_genai")
        config = self.peer.Config(model)
        self.model = self.peer.Model(config)

    def write(self, prompts: Prompts, tokens: int, sampled: bool) -> int:
        params = self.peer.GeneratorParams(self.model)
        length = len(prompts[0]) + tokens
        chosen = {"do_sample": True, "temperature": 0.8, "top_p": 0.95} if sampled else {"do_sample": False}
        params.set_search_options(max_length=length, min_length=length, batch_size=len(prompts), **chosen)
        generator = self.peer.Generator(self.model, params)
        generator.append_tokens([list(one) for one in prompts])
        for _ in range(tokens):
            generator.generate_next_token()
        return tokens * len(prompts)

    def facts(self) -> dict[str, Any]:
        return {}


class Generate:
    """`generate` of transformers, one padded batch."""

    def __init__(self, model: str, settings: dict[str, Any]) -> None:
        self.torch = import_module("torch")
        self.torch.set_num_threads(settings["threads"])
        kind = getattr(self.torch, settings["type"])
        self.model = import_module("transformers").AutoModelForCausalLM.from_pretrained(model, dtype=kind).eval()

    def write(self, prompts: Prompts, tokens: int, sampled: bool) -> int:
        chosen = {"do_sample": True, "temperature": 0.8, "top_p": 0.95, "top_k": 0} if sampled else {"do_sample": False}
        with self.torch.inference_mode():
            ids = self.torch.tensor([list(one) for one in prompts])
            mask = self.torch.ones_like(ids)
            self.model.generate(ids, attention_mask=mask, max_new_tokens=tokens, min_new_tokens=tokens, **chosen)
        return tokens * len(prompts)

    def facts(self) -> dict[str, Any]:
        return {}


SIDES: dict[str, Any] = {
    "lavra": Lavra,
    "llama.cpp": LlamaCpp,
    "ctranslate2": CTranslate2,
    "ort-genai": OrtGenAi,
    "generate": Generate,
}


def resident_bytes() -> int:
    """Resident bytes of this process."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s*(\d+) kB", text)
    return 1024 * int(found[1]) if found else 0


def answer(side: Side, asked: dict[str, Any]) -> dict[str, Any]:
    """Answer one line."""
    if asked.get("memory"):
        return {"bytes": resident_bytes()}
    began = time.perf_counter()
    written = side.write(asked["prompts"], asked["tokens"], asked["sampled"])
    return {"seconds": time.perf_counter() - began, "tokens": written}


def serve(name: str, model: str, settings: str) -> None:
    """Answer lines until the input ends."""
    out = sys.stdout
    sys.stdout = sys.stderr  # output of libraries must not mix with answers
    bare = resident_bytes()
    side: Side = SIDES[name](model, json.loads(settings))
    print(json.dumps({"ready": True, "bare": bare, **side.facts()}), file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(side, json.loads(line))), file=out, flush=True)


serve(*sys.argv[1:])
