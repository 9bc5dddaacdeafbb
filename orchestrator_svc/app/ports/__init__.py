"""What the use cases need from outside, one Protocol a module. Adapters implement them; so do the fakes of the tests."""
