"""The definition of a sampling parameter, and the checks and the seed derived from it."""

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, get_type_hints

import pytest

from lavra.api.options import Options, make_request
from lavra.base.bounds import ParameterBounds, check_parameters, parameters
from lavra.base.config import field_docs, from_mapping
from lavra.base.errors import ConfigError
from lavra.base.native_library import NativeSampling
from lavra.base.sampling import DRAWN_NAMES, SAMPLING_NAMES, check_request, settle_seed
from lavra.base.types import GenerateRequest, SamplingConfig, SamplingOptions
from lavra.cli.arguments.chat import ChatConfig
from lavra.cli.arguments.generate import GenerateConfig
from lavra.remote.asking import body_of
from lavra.remote.config import RemoteConfig

PARAMETERS = [*parameters(SamplingConfig), *parameters(GenerateRequest)]
PLAIN = GenerateRequest(prompt="x")


@dataclass(frozen=True, kw_only=True)
class Oven:
    """A toy.

    Attributes:
        heat: of the oven.
        trays: in it.
    """

    heat: Annotated[float, ParameterBounds(least=0, most=2.5, above_least=True, remedy="1 is mild")] = 1.0
    trays: Annotated[int, ParameterBounds(least=-1, most=2**31 - 1, remedy="leave it out")] | None = None
    color: str = "black"


def test_parameters_are_read_from_the_fields_of_a_dataclass():
    heat, trays = parameters(Oven)
    assert (heat.name, heat.kind, heat.optional, heat.default) == ("heat", float, False, 1.0)
    assert (trays.name, trays.kind, trays.optional, trays.default) == ("trays", int, True, None)
    assert str(trays.bounds) == "at least -1, at most 2^31-1"


@pytest.mark.parametrize("values", [{"heat": 2.5}, {"heat": 1}, {"trays": -1}, {"trays": 2**31 - 1}, {"trays": None}])
def test_numbers_within_the_bounds_pass(values):
    check_parameters(Oven(**values))


@pytest.mark.parametrize(
    ("name", "value"),
    [("heat", 0.0), ("heat", 2.6), ("heat", math.nan), ("heat", math.inf), ("heat", "1"), ("heat", None),
     ("trays", -2), ("trays", 2**31), ("trays", 1.5)],
)  # fmt: skip
def test_others_are_refused_with_value_bounds_and_remedy(name, value):
    remedy = {"heat": r"over 0, at most 2.5\); 1 is mild", "trays": r"at least -1, at most 2\^31-1\); leave it out"}
    with pytest.raises(ConfigError, match=f"^{name}={value!r} is .*{remedy[name]}"):
        check_parameters(replace(Oven(), **{name: value}))


def test_files_and_flags_are_held_to_the_bounds():
    assert from_mapping(Oven, {"heat": "2"}) == Oven(heat=2.0)
    with pytest.raises(ConfigError, match=r"run.yaml: trays=-2 is out of range"):
        from_mapping(Oven, {"trays": -2}, where="run.yaml")


@pytest.mark.parametrize("one", PARAMETERS, ids=lambda one: one.name)
def test_every_parameter_of_a_request_is_checked(one):
    past = math.nextafter(one.bounds.most, math.inf) if one.kind is float else one.bounds.most + 1
    config = SamplingConfig if one.name in SAMPLING_NAMES else GenerateRequest
    changed = {one.name: past}
    request = (
        replace(PLAIN, sampling=SamplingConfig(**changed)) if config is SamplingConfig else replace(PLAIN, **changed)
    )
    with pytest.raises(ConfigError, match=f"^{one.name}="):
        check_request(request)
    assert one.name in field_docs(config)
    defaults = {field.name: field.default for field in fields(config)}
    assert one.default == defaults[one.name]


def test_numbers_of_a_request_all_have_bounds():
    numbers = {
        field.name
        for config in (SamplingConfig, GenerateRequest)
        for field in fields(config)
        if isinstance(field.default, (int, float)) and not isinstance(field.default, bool)
    }
    assert numbers | {"seed"} == {one.name for one in PARAMETERS}


def test_keyword_options_have_every_parameter_with_its_type():
    hints = get_type_hints(Options)
    assert get_type_hints(SamplingOptions) == get_type_hints(SamplingConfig)
    own = {field.name for field in fields(GenerateRequest)} - {"prompt", "sampling", "n"}
    assert set(hints) == {*SAMPLING_NAMES, *own}
    typed = get_type_hints(GenerateRequest)
    assert {name for name in own if hints[name] != typed[name]} == {"stop", "stop_token_ids"}  # lists are taken too


@pytest.mark.parametrize("config", [GenerateConfig, ChatConfig])
def test_flags_have_every_parameter_with_its_sentence(config):
    assert {field.name for field in fields(config)} >= set(SAMPLING_NAMES)
    assert field_docs(config).items() >= {name: field_docs(SamplingConfig)[name] for name in SAMPLING_NAMES}.items()


def test_flags_of_generate_have_the_defaults_of_a_request():
    shared = {field.name: field.default for field in fields(GenerateRequest)}
    for field in fields(GenerateConfig):
        if field.name in shared.keys() - {"prompt", "sampling"}:
            assert field.default == shared[field.name], field.name


def test_a_remote_server_is_sent_every_parameter():
    given = dict.fromkeys(SAMPLING_NAMES, 0.5)
    sent = body_of(make_request("x", given), RemoteConfig(url="http://here/v1", model="m"))
    assert {name: sent[name] for name in SAMPLING_NAMES} == given


def test_the_native_sampler_has_a_field_for_every_parameter():
    names = {name for name, _ in NativeSampling._fields_}
    assert set(SAMPLING_NAMES) - names == {"seed"}  # the numbers that follow from it are handed over


def test_the_documentation_has_the_table_of_the_definition():
    docs = field_docs(SamplingConfig)
    rows = [
        f"| `{one.name}` | {'drawn' if one.default is None else f'{one.default:g}'} | {one.bounds} | {docs[one.name]} |"
        for one in parameters(SamplingConfig)
    ]
    table = "\n".join(["| parameter | default | bounds | |", "|---|---|---|---|", *rows])
    assert table in Path("docs/generate.md").read_text(), f"docs/generate.md needs this table:\n{table}"


def test_a_seed_is_drawn_and_reported_only_when_it_matters():
    settled, warnings = settle_seed(SamplingConfig(temperature=1.0))
    assert str(settled.seed) in warnings[0]
    assert settle_seed(SamplingConfig(temperature=1.0, seed=4)) == (SamplingConfig(temperature=1.0, seed=4), ())
    assert settle_seed(SamplingConfig()) == (SamplingConfig(), ())
    assert "top_p, seed" in settle_seed(SamplingConfig(top_p=0.5, seed=1))[1][0]
    assert DRAWN_NAMES == ("top_k", "top_p", "min_p", "seed")


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"n": 3, "num_beams": 2}, "n=3 is over num_beams=2"), ({"min_tokens": 9, "max_tokens": 8}, "min_tokens=9 is"),
     ({"stop": ("a", "")}, "empty string"), ({"logit_bias": {7: 1001.0}}, r"logit_bias\[7\]=1001")],
)  # fmt: skip
def test_parameters_that_exclude_one_another_are_refused(changed, said):
    with pytest.raises(ConfigError, match=said):
        check_request(replace(PLAIN, **changed))
