"""Floor 1: conformance suites of the ports; an implementation is right when its suite passes."""
