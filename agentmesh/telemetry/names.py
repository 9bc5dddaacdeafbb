"""Every name in telemetry: spans, events, attributes, metrics. The one module to change when a convention moves.

Sources: the semantic conventions of OpenTelemetry for RPC and for generative AI
(https://opentelemetry.io/docs/specs/semconv/), the latter still in development. What they have no name for is in our
own namespace `agentmesh.`; nothing is invented under `gen_ai.` or `rpc.`. docs/observability.md says what each means.
"""

from __future__ import annotations

from typing import Final

SCOPE: Final = "agentmesh"
"""The instrumentation scope of every span and metric."""

# --- spans -----------------------------------------------------------------------------------------------------------
# A span of an rpc is named as its method: agentmesh.v1.Agent/Execute.
WORKFLOW_SPAN: Final = "invoke_workflow ask"
PLAN_SPAN: Final = "plan orchestrator"
SYNTHESIZE_SPAN: Final = "synthesize"
CHAT_SPAN: Final = "chat {model}"
INVOKE_AGENT_SPAN: Final = "invoke_agent {agent}"
EXECUTE_TOOL_SPAN: Final = "execute_tool {skill}"

# --- events of spans -------------------------------------------------------------------------------------------------
STEP_SKIPPED_EVENT: Final = "agentmesh.step.skipped"
"""On the workflow: a step that was not called; with its id and reason."""
STEP_FAILED_EVENT: Final = "agentmesh.step.failed"
"""On the workflow: a step that failed before there was anything to call; with its id and reason."""
CONDITION_EVENT: Final = "agentmesh.step.condition"
"""On the workflow: the condition of a step was evaluated; with its id and whether it was met."""
RETRY_EVENT: Final = "agentmesh.retry"
"""On a step: another attempt follows; with the number of the one that failed, its reason and the pause."""

# --- attributes of the conventions -----------------------------------------------------------------------------------
ERROR_TYPE: Final = "error.type"
EXCEPTION_EVENT: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
RPC_SYSTEM: Final = "rpc.system.name"
RPC_METHOD: Final = "rpc.method"
RPC_STATUS_CODE: Final = "rpc.status_code"

GEN_AI_OPERATION: Final = "gen_ai.operation.name"
GEN_AI_WORKFLOW_NAME: Final = "gen_ai.workflow.name"
GEN_AI_PROVIDER: Final = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
GEN_AI_REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
GEN_AI_REQUEST_STREAM: Final = "gen_ai.request.stream"
GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
GEN_AI_USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
GEN_AI_TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - no secret
GEN_AI_AGENT_NAME: Final = "gen_ai.agent.name"
GEN_AI_AGENT_VERSION: Final = "gen_ai.agent.version"
GEN_AI_TOOL_NAME: Final = "gen_ai.tool.name"
GEN_AI_CALLER_TYPE: Final = "gen_ai.caller.type"
GEN_AI_CONVERSATION_ID: Final = "gen_ai.conversation.id"
GEN_AI_PROMPT_NAME: Final = "gen_ai.prompt.name"
GEN_AI_INPUT_MESSAGES: Final = "gen_ai.input.messages"
GEN_AI_OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
GEN_AI_TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
GEN_AI_TOOL_RESULT: Final = "gen_ai.tool.call.result"

# --- our own attributes ----------------------------------------------------------------------------------------------

RUN_ID: Final = "agentmesh.run.id"
RUN_REPLAYED: Final = "agentmesh.run.replayed"
RUN_JOINED: Final = "agentmesh.run.joined"
MODE: Final = "agentmesh.mode"
OUTCOME: Final = "agentmesh.outcome"
PLAN_STEPS: Final = "agentmesh.plan.steps"
PLAN_SOURCE: Final = "agentmesh.plan.source"
PLAN_HASH: Final = "agentmesh.plan.hash"
CATALOG_FINGERPRINT: Final = "agentmesh.catalog.fingerprint"
LLM_CALLS: Final = "agentmesh.llm_calls"
ANSWER_SOURCE: Final = "agentmesh.answer.source"
STEP_ID: Final = "agentmesh.step.id"
STEP_ITEM: Final = "agentmesh.step.item"
STEP_OUTCOME: Final = "agentmesh.step.outcome"
STEP_REASON: Final = "agentmesh.step.reason"
STEP_BECAUSE_OF: Final = "agentmesh.step.because_of"
CONDITION_MET: Final = "agentmesh.step.condition.met"
STEP_ATTEMPTS: Final = "agentmesh.step.attempts"
ATTEMPT: Final = "agentmesh.attempt"
RETRY_PAUSE_SECONDS: Final = "agentmesh.retry.pause_seconds"
PROMPT_VERSION: Final = "agentmesh.prompt.version"
CACHE_RESULT: Final = "agentmesh.cache.result"
ENDPOINT_STATE: Final = "agentmesh.endpoint.state"
REGISTRY_CHANGE: Final = "agentmesh.registry.change"
QUESTION: Final = "agentmesh.question"
ANSWER: Final = "agentmesh.answer"

# --- metrics ---------------------------------------------------------------------------------------------------------
RPC_SERVER_DURATION: Final = "rpc.server.call.duration"
RPC_CLIENT_DURATION: Final = "rpc.client.call.duration"
GEN_AI_OPERATION_DURATION: Final = "gen_ai.client.operation.duration"
GEN_AI_TOKEN_USAGE: Final = "gen_ai.client.token.usage"  # noqa: S105 - no secret
WORKFLOW_DURATION: Final = "gen_ai.workflow.duration"
LLM_CALLS_PER_ASK: Final = "agentmesh.llm.calls_per_ask"
OVERHEAD_DURATION: Final = "agentmesh.overhead.duration"
STEPS: Final = "agentmesh.steps"
PLAN_CACHE: Final = "agentmesh.plan_cache"
ASKS_ACTIVE: Final = "agentmesh.asks.active"
ASKS_SHED: Final = "agentmesh.asks.shed"
REGISTRY_ENDPOINTS: Final = "agentmesh.registry.endpoints"
REGISTRY_CHANGES: Final = "agentmesh.registry.changes"
