"""What the use cases need from outside, one Protocol a module. Adapters implement them, and so do the tests' fakes."""
