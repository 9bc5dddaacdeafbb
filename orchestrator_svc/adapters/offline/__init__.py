"""What can be understood of an English question without a language model: requests, values, order.

Reading order: words -> mentions (values) -> grammar, clauses (parts and their order) -> asked (all of that together) ->
arguments, skill_index (what the catalog says) -> evidence, imperatives, thresholds (which skills are meant) -> filling
(values to arguments) -> drafting, naming, conditions (what comes from earlier steps) -> steps -> chains, composition
(the plan) -> follow_ups. `embeddings` is optional.
"""
