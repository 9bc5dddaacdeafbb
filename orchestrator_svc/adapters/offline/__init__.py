"""What can be understood of an English question without a language model: requests, values, order."""
