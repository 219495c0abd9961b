"""llama.cpp's own endpoints: `/completion`, `/infill` (for editors), `/props`.

Source: https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md.  Absent: slots, multimodal data,
several prompts in one request.  Its other endpoints are OpenAI's, or answer in lavra's form.
"""
