"""Great Expectations' suites, language identification, the page of a validation."""
