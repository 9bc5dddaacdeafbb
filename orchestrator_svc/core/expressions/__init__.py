"""Expressions of plans (CEL), and arguments with expressions in them.

Reading order: environment (compile, evaluate) -> references (what an expression mentions) -> template -> scanner ->
text (how values are written). `syntax` alone reads the engine's tree; `binding` and `growth` keep evaluation cheap and
bounded; `explain` words the errors; `names` are what no step may be called.
"""

from orchestrator_svc.core.expressions.environment import Environment, Expression
from orchestrator_svc.core.expressions.names import RESERVED
from orchestrator_svc.core.expressions.problems import (
    EvaluationFailed,
    ExpressionInvalid,
    ExpressionTooLong,
    UnknownName,
)
from orchestrator_svc.core.expressions.references import Reference
from orchestrator_svc.core.expressions.template import (
    Embedded,
    Template,
    TemplateProblem,
    compile_template,
    escape,
    unwrap,
)
from orchestrator_svc.core.expressions.text import format_text

__all__ = [
    "RESERVED",
    "Embedded",
    "Environment",
    "EvaluationFailed",
    "Expression",
    "ExpressionInvalid",
    "ExpressionTooLong",
    "Reference",
    "Template",
    "TemplateProblem",
    "UnknownName",
    "compile_template",
    "escape",
    "format_text",
    "unwrap",
]
