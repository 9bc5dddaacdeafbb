"""Makes the recording that analytics_agent ships: real processes, a light load, and a real fault in one of them."""
