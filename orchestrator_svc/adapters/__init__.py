"""Implementations of the ports, named `<implementation>_<port>.py`. Plain values in; only bootstrap reads config.

Beside them is what several modules make together:
- a language model: openai_client over openai_completion (one completion), llm_attempts (which model next), llm_budget
  (what a request may use), openai_requests, openai_replies and openai_failures (the wire), pricing, prompts, brief_text
  (results as data for a model);
- without one: `offline` understands a question, `rendering` writes an answer.
"""
