"""How often the offline planner routes a question right: 96 questions over two catalogs, written before the planner."""
