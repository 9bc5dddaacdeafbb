"""Results as text that reads well in a terminal and as markdown, without a language model.

Reading order: answer (what is said, in which order) -> titles, endings, abilities -> items -> fields -> tables ->
order (of fields) -> figures (how one value is written) -> clean (what may not pass) and budget (how much may).
"""
