"""LangChain's standard tests of a chat model, run against a lavra server; `scripts/outside_suites.py` runs them."""

from __future__ import annotations

import os
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests


class TestServed(ChatModelIntegrationTests):
    """Every test that applies to a model that reads and writes text."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        """OpenAI's client, as LangChain's users call it."""
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """The server, and answers of at most 200 tokens."""
        return {
            "model": os.environ["LAVRA_MODEL"],
            "base_url": os.environ["LAVRA_URL"] + "/v1",
            "api_key": "unused",
            "max_tokens": 200,
            "temperature": 0,
            "stream_usage": True,
        }

    @property
    def supports_json_mode(self) -> bool:
        """The server accepts `response_format` of type json_object."""
        return True
