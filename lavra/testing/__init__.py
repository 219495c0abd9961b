"""Floor 1: conformance suites of the ports, and of tasks' specs; an implementation is right when its suite passes."""
