"""How well the anomaly detector of analytics_agent finds what is known to be there: precision and recall a class."""
